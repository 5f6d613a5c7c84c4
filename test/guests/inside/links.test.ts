/** In a guest, as root: links of the kernel's WireGuard, by netlink and by programs, on the host and in containers. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { afterEach, test } from 'node:test';
import { inFullRun } from '../../../build/host/scenarios.ts';
import { createLimit } from '../../../src/concurrency.ts';
import { iprouteLinks } from '../../../src/links/iproute/links.ts';
import { netlinkLinks } from '../../../src/links/netlink/links.ts';
import { linkReader } from '../../../src/links/select.ts';
import { parseAddress, prefixOf } from '../../../src/wireguard/address.ts';
import { encodeBase64 } from '../../../src/wireguard/base64.ts';
import { clamp, PrivateKey, publicKeyOf } from '../../../src/wireguard/key.ts';
import { markOf } from '../../../src/wireguard/link-alias.ts';
import { assertReadsAndChanges } from '../../support/links-in-containers.ts';
import { anyAliases, setAlias } from '../../support/namespace-links.ts';

const mark = markOf('own');
const link = { name: 'wgd1a2b3c', mtu: 1380, endpointId: 'e'.repeat(64) };
const privateKey = new PrivateKey(clamp(new Uint8Array(32).fill(1)));
const publicKey = publicKeyOf(privateKey);
const endpoint = { address: parseAddress('192.0.2.1') ?? assert.fail(), port: 51820 };
const device = { privateKey, peers: [{ publicKey, endpoint, allowedIps: [prefixOf('0.0.0.0/0')] }] };

function run(command: string): string {
  return execFileSync('sh', ['-euc', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

run('ip link set lo up');
afterEach(() => {
  run('for l in $(ip -o link show type wireguard | cut -d: -f2); do ip link delete $l; done');
});

const backends = { netlink: netlinkLinks(mark), iproute: iprouteLinks(mark) };
for (const [backend, links] of Object.entries(backends)) {
  // test/links/iproute/links.test.ts has the same with wireguard-go.
  const skip = backend === 'iproute' && inFullRun;
  test(
    `${backend}: a link in a container is read and changed while it carries traffic`,
    { skip, timeout: 900_000 },
    () => assertReadsAndChanges(links),
  );

  test(`${backend}: a recorded link is deleted whatever its alias has become; listing survives any`, {
    skip,
  }, async () => {
    for (const alias of anyAliases) {
      await links.create({ ...link, name: 'wgdother', endpointId: 'other' });
      await links.create(link);
      setAlias(link.name, alias);
      assert.deepEqual(await links.list(), [{ name: 'wgdother', endpointId: 'other' }]);
      await assert.rejects(links.delete(link.name), /it is not this driver’s/);
      await links.deleteRecorded(link.name);
      await links.deleteRecorded(link.name);
      assert.equal(run('ip -o link show type wireguard | wc -l').trim(), '1');
      await links.delete('wgdother');
    }
    run(`ip link add ${link.name} type bridge`);
    await assert.rejects(links.deleteRecorded(link.name), /it is not this driver’s: its kind is bridge$/);
    run(`ip link delete ${link.name}`);
  });

  test(`${backend}: the host’s link of a name, whoever made it`, async () => {
    run('ip link add wg7 mtu 1400 type wireguard');
    await links.change({ name: 'wg7' }, { ...device, listenPort: 7000 });
    const { name, mtu, listenPort, peers } = (await links.read({ name: 'wg7' })) ?? assert.fail();
    assert.deepEqual([name, mtu, listenPort, peers.length], ['wg7', 1400, 7000, 0]);
    // WireGuard keeps no peer with its own key.
    const peer = { publicKey: publicKeyOf(new PrivateKey(clamp(new Uint8Array(32).fill(2)))) };
    const many = Array.from({ length: 1000 }, (_, n) => ({
      publicKey: publicKeyOf(
        new PrivateKey(
          clamp(
            new Uint8Array(32)
              .fill(3)
              .fill(n, 20)
              .fill(n >> 8, 25),
          ),
        ),
      ),
      allowedIps: [prefixOf(`10.3.${n >> 8}.${n & 255}/32`)],
    }));
    await links.change({ name: 'wg7' }, { peers: [peer, ...many] });
    assert.equal((await links.read({ name: 'wg7' }))?.peers.length, 1001);
  });
}

test('with NET_ADMIN in its namespace a process reads the link’s key and has its socket on the host; without, neither', async () => {
  await backends.netlink.create(link);
  await backends.netlink.configure(link.name, device);
  run(`ip netns add box; ip link set ${link.name} netns box name wg0; ip -n box link set wg0 up`);
  const inBox = (capability: string, command: string) =>
    run(
      `nsenter --net=/run/netns/box setpriv --bounding-set=-all,${capability} ${command} 2>&1 || true`,
    ).trim();
  try {
    const readKey = 'wg show wg0 private-key';
    assert.match(inBox('+net_raw', readKey), /Operation not permitted/);
    assert.match(inBox('+net_raw', 'wg set wg0 listen-port 4242'), /Operation not permitted/);
    assert.equal(inBox('+net_admin', readKey), encodeBase64(privateKey.reveal()));

    // A port of the host, and from there to a port of its loopback. WireGuard keeps no peer with its own key.
    const peer = publicKeyOf(new PrivateKey(clamp(new Uint8Array(32).fill(2))));
    const received = run(`timeout 20 tcpdump -i lo -l -c 1 -n udp port 4343 2>/dev/null >/run/seen & seen=$!
      sleep 2
      nsenter --net=/run/netns/box setpriv --bounding-set=-all,+net_admin sh -euc '
        wg set wg0 listen-port 4242 peer ${peer} endpoint 127.0.0.1:4343 persistent-keepalive 1'
      wait $seen || true
      cat /run/seen; ss -Hlun sport = 4242`);
    assert.match(received, /127\.0\.0\.1\.4242 > 127\.0\.0\.1\.4343: /);
    assert.match(received, /^UNCONN .*:4242 /m);
  } finally {
    run('ip netns delete box');
  }
});

test('100 containers’ links are read beside one another, eight at once, and the event loop goes on', {
  timeout: 900_000,
}, async (t) => {
  const count = 100;
  const places = Array.from({ length: count }, (_, n) => ({
    name: `wgd${n}`,
    endpointId: `endpoint${n}`,
    sandbox: `/run/netns/box${n}`,
  }));
  const limit = createLimit(8);
  try {
    await Promise.all(
      places.map((place) =>
        limit(async () => {
          await backends.netlink.create({ ...place, mtu: 1420 });
          await backends.netlink.configure(place.name, device);
        }),
      ),
    );
    run(
      `for n in $(seq 0 ${count - 1}); do ip netns add box$n; ip link set wgd$n netns box$n name wg0; done`,
    );
    for (const [reader, read, some] of [
      ['netlink', backends.netlink.read, places],
      ['whichever made it', linkReader(), places],
      // Five programs for each.
      ['iproute', backends.iproute.read, places.slice(0, 20)],
    ] as const) {
      let last = performance.now();
      let longestMs = 0;
      const ticks = setInterval(() => {
        longestMs = Math.max(longestMs, performance.now() - last);
        last = performance.now();
      }, 1);
      const started = performance.now();
      const statuses = await Promise.all(some.map((place) => limit(() => read(place))));
      const ms = Math.round(performance.now() - started);
      clearInterval(ticks);
      assert(statuses.every((status) => status?.name === 'wg0' && status.publicKey === publicKey));
      t.diagnostic(
        `${reader}: ${some.length} links in ${ms} ms; longest pause of the event loop ${Math.round(longestMs)} ms`,
      );
    }
  } finally {
    run(`for n in $(seq 0 ${count - 1}); do ip netns delete box$n || true; done`);
  }
});
