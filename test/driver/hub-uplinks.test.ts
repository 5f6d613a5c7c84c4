// A hub in a network namespace of its own, one router away, and a tunnel whose container’s end is here.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { largestPassing, pingThrough } from '../../src/doctor/path-mtu.ts';
import { createDriver, type WireGuardDriver } from '../../src/driver/driver.ts';
import { createHubNames } from '../../src/driver/hub-names.ts';
import { openStore } from '../../src/state/store.ts';
import { parseAddress, prefixOf } from '../../src/wireguard/address.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { sh } from '../support/hub-namespaces.ts';
import { shownLink } from '../support/namespace-links.ts';
import { articleOptions, createNetworkRequest, peerKeyText } from '../support/networks.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { recordingGateways } from '../support/recording-gateways.ts';
import { recordingGuard } from '../support/recording-guard.ts';
import { createLink, driverLinks, wireguardPrograms } from '../support/wireguard.ts';

const { skip } = await enterFreshNamespace(...wireguardPrograms, 'ip', 'nft', 'ping');

const link = linkName('e1');
let folder: string;
let hubKey: string;
let names: Map<string, string>;
let driver: WireGuardDriver;

beforeEach(async () => {
  if (skip !== undefined) {
    return;
  }
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-mtu-'));
  names = new Map([['hub.example', '10.98.0.2']]);
  const key = join(folder, 'hub.key');
  await writeFile(key, execFileSync('wg', ['genkey']), { mode: 0o600 });
  hubKey = sh('wg pubkey <"$1"', key).trim();
  // The hub’s side drops fragments, as many a firewall does, and nobody sends ICMP about it.
  sh(
    `ip netns add router; ip netns add hub
     ip link add up0 type veth peer name eth0 netns router
     ip -n router link add eth1 type veth peer name eth0 netns hub
     ip address add 10.97.0.1/24 dev up0; ip link set up0 up; ip route add default via 10.97.0.2
     ip -n router address add 10.97.0.2/24 dev eth0; ip -n router link set eth0 up
     ip -n router address add 10.98.0.1/24 dev eth1; ip -n router link set eth1 up
     ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
     ip -n hub address add 10.98.0.2/24 dev eth0; ip -n hub link set lo up; ip -n hub link set eth0 up
     ip -n hub route add default via 10.98.0.1
     ip netns exec hub nft add table netdev t
     ip netns exec hub nft 'add chain netdev t c { type filter hook ingress device eth0 priority 0; }'
     ip netns exec hub nft add rule netdev t c 'ip frag-off & 0x3fff != 0 drop'
     ${createLink('hub0', 'ip netns exec hub')}
     ip netns exec hub wg set hub0 private-key $1 listen-port 51820 peer $2 allowed-ips 192.168.5.2/32
     ip -n hub address add 192.168.5.1/24 dev hub0; ip -n hub link set hub0 mtu 1420 up`,
    key,
    peerKeyText,
  );
  await start();
});
afterEach(async () => {
  if (skip === undefined) {
    spawnSync('ip', ['link', 'delete', link]);
    spawnSync('sh', [
      '-c',
      'ip -n hub link delete hub0; ip link delete up0; ip netns delete hub; ip netns delete router',
    ]);
    await rm(folder, { recursive: true });
  }
});

/** Also as after a kill: what is in memory is gone. */
async function start(): Promise<void> {
  const log = recordedLog();
  driver = createDriver({
    store: await openStore(join(folder, 'state'), log),
    links: driverLinks(),
    guard: recordingGuard(),
    gateways: recordingGateways(),
    hubNames: createHubNames({
      resolve: async (host) => [parseAddress(names.get(host) ?? '') ?? []].flat(),
      log,
    }),
    log,
  });
}

/** @returns the MTU that its link was made with */
async function startContainer(options: Record<string, string> = {}): Promise<number | undefined> {
  const request = { ...articleOptions, peer: 'hub.example:51820', peerkey: hubKey, ...options };
  await driver.createNetwork(createNetworkRequest({ options: request }));
  const Interface = { Address: '192.168.5.2/24', AddressIPv6: '', MacAddress: '' };
  const endpoint = { NetworkID: 'network', EndpointID: 'e1' };
  await driver.createEndpoint({ ...endpoint, Interface, Options: {} });
  await driver.join({ ...endpoint, SandboxKey: '', Options: {} });
  execFileSync('ip', ['address', 'add', '192.168.5.2/24', 'dev', link]);
  execFileSync('ip', ['link', 'set', link, 'up']);
  return shownLink(link)?.mtu;
}

async function mtuAfterLook(): Promise<number | undefined> {
  await driver.follow.watch();
  return shownLink(link)?.mtu;
}

/** Both ways at once, as far as it gets. */
async function transfer(bytes: number, timeoutMs: number): Promise<number> {
  const script = `require('node:net').createServer((socket) => socket.pipe(socket)).listen(7, '192.168.5.1',
    () => console.log('listening'))`;
  const server = spawn('ip', ['netns', 'exec', 'hub', process.execPath, '-e', script]);
  try {
    await once(server.stdout, 'data');
    let received = 0;
    const socket = connect({ host: '192.168.5.1', port: 7, localAddress: '192.168.5.2' });
    socket.on('data', (part) => {
      received += part.length;
      if (received >= bytes) {
        socket.destroy();
      }
    });
    socket.write(Buffer.alloc(bytes));
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    await once(socket, 'close');
    clearTimeout(timer);
    return received;
  } finally {
    server.kill();
  }
}

const megabytes10 = 10_000_000;

test('an uplink of 1400 bytes and no fragments: 10 MB pass both ways, and nothing of them with mtu=1420', {
  skip,
}, async () => {
  sh('ip link set up0 mtu 1400; ip -n router link set eth0 mtu 1400');
  assert.equal(await startContainer({ mtu: '1420' }), 1420);
  assert.equal(await transfer(megabytes10, 4000), 0);
  // WireGuard fills packets up to a multiple of 16: 1328 and 60 of headers are the most below 1400.
  const passes = pingThrough('/proc/self/ns/net', link, prefixOf('192.168.5.1/32').address);
  assert.equal(await largestPassing(passes, 576, 1420), 1328);
  assert.equal(await mtuAfterLook(), 1420);
  await driver.deleteEndpoint({ NetworkID: 'network', EndpointID: 'e1' });
  assert.equal(await startContainer(), 1320);
  assert.equal(await transfer(megabytes10, 60_000), megabytes10);
});

test('a smaller link behind the router, and no ICMP: nothing passes, the measure finds what does, and with it all of 10 MB', {
  skip,
}, async () => {
  sh(
    `ip -n router link set eth1 mtu 1400; ip -n hub link set eth0 mtu 1400
     ip netns exec router nft add table inet t
     ip netns exec router nft 'add chain inet t c { type filter hook output priority 0; }'
     ip netns exec router nft add rule inet t c meta l4proto icmp drop`,
  );
  assert.equal(await startContainer(), 1420);
  assert.equal(await transfer(megabytes10, 4000), 0);
  assert.equal(await mtuAfterLook(), 1420);
  const passes = pingThrough('/proc/self/ns/net', link, prefixOf('192.168.5.1/32').address);
  const largest = await largestPassing(passes, 576, 1420);
  assert.equal(largest, 1328);
  await driver.deleteEndpoint({ NetworkID: 'network', EndpointID: 'e1' });
  await startContainer({ mtu: String(largest) });
  assert.equal(await transfer(megabytes10, 60_000), megabytes10);
});

test('the MTU follows the uplink and the hub, also by the next driver', { skip }, async () => {
  assert.equal(await startContainer(), 1420);
  sh('ip link set up0 mtu 1492');
  await start();
  assert.equal(await mtuAfterLook(), 1412);
  sh('ip link set up0 mtu 9000');
  assert.equal(await mtuAfterLook(), 1420);
  sh('ip route add 10.98.0.0/24 via 10.97.0.2 mtu 1400');
  assert.equal(await mtuAfterLook(), 1320);
  // On the link itself jumbo frames get through.
  sh(
    `ip -n router address add 10.97.0.3/24 dev eth0; wg set ${link} peer ${hubKey} endpoint 10.97.0.3:51820`,
  );
  assert.equal(await mtuAfterLook(), 8920);
  // While there is no way at all, it stays as it is.
  sh('ip link set up0 down');
  assert.equal(await mtuAfterLook(), 8920);
});

test('a name that does not resolve has the MTU of the default route', { skip }, async () => {
  names.clear();
  sh('ip link set up0 mtu 1492; ip route replace default via 10.97.0.2 mtu 1450');
  assert.equal(await startContainer(), 1370);
});

test('fwmark: on the outer packets, and the MTU is that of the route which it leads to', {
  skip,
}, async () => {
  sh(
    `ip rule add fwmark 0xca6c lookup 51820 priority 100
     ip route add default via 10.97.0.2 mtu 1400 table 51820
     ip route replace default dev lo`,
  );
  assert.equal(await startContainer({ fwmark: '0xca6c' }), 1320);
  assert.match(execFileSync('wg', ['show', link, 'fwmark'], { encoding: 'utf8' }), /^0xca6c$/m);
  assert.equal(await transfer(1000, 20_000), 1000);
  sh('ip rule delete priority 100');
});
