// A host with two uplinks, a hub behind a router, and a tunnel whose container’s end is here and says
// nothing by itself. The driver has no part in what is seen, but that it made the link.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDriver } from '../../src/driver/driver.ts';
import { createHubNames } from '../../src/driver/hub-names.ts';
import { openStore } from '../../src/state/store.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { sh } from '../support/hub-namespaces.ts';
import { articleOptions, createNetworkRequest, peerKeyText } from '../support/networks.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { recordingGateways } from '../support/recording-gateways.ts';
import { recordingGuard } from '../support/recording-guard.ts';
import { createLink, driverLinks, wireguardPrograms } from '../support/wireguard.ts';

const { skip } = await enterFreshNamespace(...wireguardPrograms, 'ip');

const link = linkName('e1');
const keepaliveSeconds = 5;
let folder: string;

before(async () => {
  if (skip !== undefined) {
    return;
  }
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-uplinks-'));
  const key = join(folder, 'hub.key');
  await writeFile(key, execFileSync('wg', ['genkey']), { mode: 0o600 });
  // Ethernet and wireless of one network, and a modem of another.
  sh(
    `ip netns add router; ip netns add hub
     ip -n router link add lan type bridge; ip -n router link set lan up
     ip -n router address add 10.97.0.2/24 dev lan
     for link in up0 up1; do
       ip link add $link type veth peer name $link netns router
       ip -n router link set $link master lan up; ip link set $link up
     done
     ip link add modem type veth peer name modem netns router
     ip -n router address add 10.96.0.2/24 dev modem; ip -n router link set modem up
     ip -n router link add eth1 type veth peer name eth0 netns hub
     ip -n router address add 10.98.0.1/24 dev eth1; ip -n router link set eth1 up
     ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
     ip -n hub address add 10.98.0.2/24 dev eth0; ip -n hub link set eth0 up; ip -n hub route add default via 10.98.0.1
     ${createLink('hub0', 'ip netns exec hub')}
     ip netns exec hub wg set hub0 private-key $1 listen-port 51820 peer $2 allowed-ips 192.168.5.2/32
     ip -n hub address add 192.168.5.1/24 dev hub0; ip -n hub link set hub0 up
     ip address add 10.97.0.1/24 dev up0; ip route add default via 10.97.0.2 dev up0`,
    key,
    peerKeyText,
  );
  const hubKey = sh('wg pubkey <"$1"', key).trim();
  const log = recordedLog();
  const driver = createDriver({
    store: await openStore(join(folder, 'state'), log),
    links: driverLinks(),
    guard: recordingGuard(),
    gateways: recordingGateways(),
    hubNames: createHubNames({ resolve: async () => [], log }),
    log,
  });
  const options = {
    ...articleOptions,
    peer: '10.98.0.2:51820',
    peerkey: hubKey,
    keepalive: String(keepaliveSeconds),
  };
  await driver.createNetwork(createNetworkRequest({ options }));
  const Interface = { Address: '192.168.5.2/24', AddressIPv6: '', MacAddress: '' };
  const endpoint = { NetworkID: 'network', EndpointID: 'e1' };
  await driver.createEndpoint({ ...endpoint, Interface, Options: {} });
  await driver.join({ ...endpoint, SandboxKey: '', Options: {} });
  sh(`ip address add 192.168.5.2/24 dev ${link}; ip link set ${link} up`);
  await secondsUntilHeard();
});
after(async () => {
  if (skip === undefined) {
    sh(`ip link delete ${link}; ip -n hub link delete hub0`);
    await rm(folder, { recursive: true });
  }
});

function heardBytes(): number {
  const line = execFileSync('ip', ['netns', 'exec', 'hub', 'wg', 'show', 'hub0', 'transfer'], {
    encoding: 'utf8',
  });
  return Number(line.split('\t')[1]);
}

/** How long it takes until the hub hears more of the container. */
async function secondsUntilHeard(): Promise<number> {
  const started = performance.now();
  const before = heardBytes();
  const elapsed = () => (performance.now() - started) / 1000;
  while (heardBytes() <= before) {
    assert(elapsed() < 60, `the hub hears nothing: ${execFileSync('wg', ['show'], { encoding: 'utf8' })}`);
    await sleep(100);
  }
  return elapsed();
}

for (const [what, script] of [
  [
    'address and default route move to another interface',
    `ip address delete 10.97.0.1/24 dev up0; ip address add 10.97.0.1/24 dev up1
     ip route replace default via 10.97.0.2 dev up1`,
  ],
  [
    'another address, of another network',
    `ip address delete 10.97.0.1/24 dev up1
     ip address add 10.96.0.1/24 dev modem; ip link set modem up; ip route replace default via 10.96.0.2`,
  ],
  [
    'an uplink that was gone for 12 seconds, as when a laptop sleeps',
    `ip link set modem down; sleep 12; ip link set modem up; ip route replace default via 10.96.0.2`,
  ],
] as const) {
  test(`${what}: back within two keepalives`, { skip }, async (t) => {
    sh(script);
    const seconds = await secondsUntilHeard();
    t.diagnostic(`${seconds.toFixed(1)} s at keepalives of ${keepaliveSeconds} s`);
    // And what a busy machine needs to look.
    assert(seconds < 2 * keepaliveSeconds + 5, `${seconds} s`);
  });
}
