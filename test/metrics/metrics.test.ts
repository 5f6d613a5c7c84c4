import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCounters, type EndpointMetrics } from '../../src/metrics/metrics.ts';
import { parsePrefix } from '../../src/wireguard/address.ts';
import type { PublicKey } from '../../src/wireguard/key.ts';

const build = { version: '0.1.0', runtime: 'node 26.9.0', backend: 'netlink' };
const publicKey = '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=' as PublicKey;
const prefix = (text: string) => parsePrefix(text) ?? assert.fail();

const web: EndpointMetrics = {
  network: 'wgnet',
  container: 'web',
  address: '192.168.5.2',
  isProtected: true,
  isLinkShared: false,
  link: {
    name: 'wg0',
    mtu: 1420,
    publicKey,
    listenPort: 51820,
    fwmark: 0,
    peers: [
      {
        publicKey,
        hasPresharedKey: true,
        endpoint: undefined,
        persistentKeepaliveInterval: 25,
        lastHandshake: new Date(1_732_622_400_900),
        receivedBytes: 3_000_000_000_000,
        sentBytes: 180,
        allowedIps: [prefix('0.0.0.0/0'), prefix('::/0')],
      },
    ],
  },
};

test('everything that there is, as Prometheus scrapes it', () => {
  const counters = createCounters(build);
  counters.observeCall('Join', 'ok', 0.02);
  counters.observeCall('Join', 'error', 40);
  counters.countReconcileFailure();
  const off = {
    network: 'wgnet',
    container: '4f1d',
    address: '192.168.5.3',
    isProtected: undefined,
    isLinkShared: false,
    link: undefined,
  };
  const text = counters.format([web, off]);
  const series = text.split('\n').filter((line) => !line.startsWith('#') && !/_bucket/.test(line));
  const labels = `{interface="wg0",public_key="${publicKey}",allowed_ips="0.0.0.0/0,::/0",network="wgnet",container="web",address="192.168.5.2"}`;
  assert.deepEqual(series, [
    `wireguard_sent_bytes_total${labels} 180`,
    `wireguard_received_bytes_total${labels} 3000000000000`,
    `wireguard_latest_handshake_seconds${labels} 1732622400`,
    'wgdriver_endpoints{network="wgnet"} 2',
    'wgdriver_killswitch_up{network="wgnet",container="web",address="192.168.5.2"} 1',
    'wgdriver_call_duration_seconds_sum{call="Join",outcome="ok"} 0.02',
    'wgdriver_call_duration_seconds_count{call="Join",outcome="ok"} 1',
    'wgdriver_call_duration_seconds_sum{call="Join",outcome="error"} 40',
    'wgdriver_call_duration_seconds_count{call="Join",outcome="error"} 1',
    'wgdriver_reconcile_failures_total 1',
    'wgdriver_healing_failures_total 0',
    'wgdriver_build_info{version="0.1.0",runtime="node 26.9.0",backend="netlink"} 1',
    '',
  ]);
  assert.match(text, /_bucket\{call="Join",outcome="ok",le="0.025"\} 1\n/);
  assert.match(text, /_bucket\{call="Join",outcome="error",le="30"\} 0\n/);
});

test('no handshake yet is 0, and a protection that is not there is 0 as well', () => {
  const [peer = assert.fail()] = web.link?.peers ?? [];
  const link = { ...(web.link ?? assert.fail()), peers: [{ ...peer, lastHandshake: undefined }] };
  const text = createCounters(build).format([{ ...web, isProtected: false, link }]);
  assert.match(text, /^wireguard_latest_handshake_seconds\{.*\} 0$/m);
  assert.match(text, /^wgdriver_killswitch_up\{.*\} 0$/m);
});

test('a link that containers share is counted once, for its network', () => {
  const shared = { ...web, isLinkShared: true };
  const text = createCounters(build).format([shared, { ...shared, container: 'db', address: '192.168.5.3' }]);
  assert.equal(text.match(/^wireguard_sent_bytes_total\{/gm)?.length, 1);
  assert.match(text, /^wireguard_sent_bytes_total\{.*,network="wgnet",container="",address=""\} 180$/m);
  assert.equal(text.match(/^wgdriver_killswitch_up\{/gm)?.length, 2);
});

test('the series are those of containers and peers: 20 scrapes later there are no more', () => {
  const counters = createCounters(build);
  const many = Array.from({ length: 300 }, (_, index) => ({ ...web, container: `c${index}` }));
  const seriesOf = (text: string) => text.split('\n').filter((line) => !line.startsWith('#')).length - 1;
  // Three for each peer, one for each kill switch; the network, two failures and the build.
  assert.equal(seriesOf(counters.format(many)), 300 * 4 + 4);
  for (let scrape = 0; scrape < 20; scrape++) {
    counters.format(many);
  }
  assert.equal(seriesOf(counters.format([])), 3);
});
