// Real tunnels to a hub in the same network namespace, which all of 127.0.0.0/8 leads to. Names and
// clocks are the test's.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { createDriver, type WireGuardDriver } from '../../src/driver/driver.ts';
import type { EndpointState } from '../../src/driver/endpoint-states.ts';
import { createFollow } from '../../src/driver/hub-following.ts';
import { createHubNames, type HubNames } from '../../src/driver/hub-names.ts';
import type { Place } from '../../src/links/links.ts';
import { openStore } from '../../src/state/store.ts';
import { type Address, parseAddress } from '../../src/wireguard/address.ts';
import type { LinkChange } from '../../src/wireguard/change.ts';
import type { PublicKey } from '../../src/wireguard/key.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import type { LinkStatus, PeerStatus } from '../../src/wireguard/status.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { deleteAllLinks } from '../support/namespace-links.ts';
import { articleOptions, createNetworkRequest, network, peerKeyText } from '../support/networks.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { recordingGateways } from '../support/recording-gateways.ts';
import { recordingGuard } from '../support/recording-guard.ts';
import { usualUplinks } from '../support/uplinks.ts';
import { createLink, driverLinks, isKernels, wireguardPrograms } from '../support/wireguard.ts';

const { skip } = await enterFreshNamespace(...wireguardPrograms);

const link = linkName('e1');
/** TEST-NET-1 of RFC 5737: nobody answers there. */
const dead = '192.0.2.1';

let folder: string;
let names: Map<string, string[]>;
let asked: string[];
let hubKey: string;
let driver: WireGuardDriver;
let hubNames: HubNames;
let log: ReturnType<typeof recordedLog>;
/** How far the driver's clocks are ahead. */
let aheadMs: number;
let unixAheadMs: number;

beforeEach(async () => {
  if (skip !== undefined) {
    return;
  }
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-follow-'));
  names = new Map();
  asked = [];
  [aheadMs, unixAheadMs] = [0, 0];
  await startHub();
  await start();
});
afterEach(async () => {
  if (skip === undefined) {
    // With one end of a veth goes the other.
    spawnSync('ip', ['link', 'delete', 'out0']);
    deleteAllLinks();
    await rm(folder, { recursive: true });
  }
});

async function startHub(): Promise<void> {
  const key = join(folder, 'hub.key');
  await writeFile(key, execFileSync('wg', ['genkey']), { mode: 0o600 });
  hubKey = execFileSync('sh', ['-c', 'wg pubkey <"$1"', 'sh', key], { encoding: 'utf8' }).trim();
  execFileSync('sh', ['-c', createLink('hub0')], { stdio: 'ignore' });
  const peer = ['peer', peerKeyText, 'allowed-ips', '192.168.5.2/32'];
  execFileSync('wg', ['set', 'hub0', 'private-key', key, 'listen-port', '51820', ...peer]);
  execFileSync('ip', ['link', 'set', 'hub0', 'up']);
}

/** Also as after a kill: what is in memory is gone. */
async function start(): Promise<void> {
  log = recordedLog();
  hubNames = createHubNames({
    async resolve(host) {
      asked.push(host);
      return (names.get(host) ?? []).map((text) => parseAddress(text) ?? assert.fail(text));
    },
    log,
  });
  driver = createDriver({
    store: await openStore(join(folder, 'state'), log),
    links: driverLinks(),
    guard: recordingGuard(),
    gateways: recordingGateways(),
    hubNames,
    log,
    now: () => performance.now() + aheadMs,
    unixNow: () => Date.now() + unixAheadMs,
  });
}

/** A container's link, up as the engine leaves it. */
async function startContainer(options: Record<string, string> = {}, host = 'hub.example'): Promise<void> {
  const request = { ...articleOptions, peer: `${host}:51820`, peerkey: hubKey, ...options };
  await driver.createNetwork(createNetworkRequest({ options: request }));
  const Interface = { Address: '192.168.5.2/24', AddressIPv6: '', MacAddress: '' };
  const endpoint = { NetworkID: 'network', EndpointID: 'e1' };
  await driver.createEndpoint({ ...endpoint, Interface, Options: {} });
  await driver.join({ ...endpoint, SandboxKey: '', Options: {} });
  execFileSync('ip', ['address', 'add', '192.168.5.2/24', 'dev', link]);
  execFileSync('ip', ['link', 'set', link, 'up']);
  asked = [];
}

function shown(what: string): string {
  const line = execFileSync('wg', ['show', link, what], { encoding: 'utf8' }).trimEnd();
  return line.split('\t')[1] ?? '';
}

async function handshakeAfter(time: number): Promise<number> {
  for (let count = 0; count < 100; count++) {
    const latest = Number(shown('latest-handshakes'));
    if (latest > time) {
      return latest;
    }
    await setTimeout(100);
  }
  return assert.fail(`no handshake: ${execFileSync('wg', ['show'], { encoding: 'utf8' })}`);
}

/** Where the log says that links have gone, away from hubs that are silent. */
function searched(): unknown[] {
  return log.lines.flatMap(({ message, fields }) =>
    message.startsWith('a hub is silent') ? [fields.next] : [],
  );
}

function pass(seconds: number): void {
  aheadMs += seconds * 1000;
  unixAheadMs += seconds * 1000;
}

test('a link without an endpoint gets one when its name resolves, also by the next driver', {
  skip,
}, async () => {
  for (const isKilled of [false, true]) {
    await start();
    await startContainer();
    assert.equal(shown('endpoints'), '(none)');
    if (isKilled) {
      await start();
      await driver.follow.watch();
    }
    await driver.follow.fill();
    assert.equal(shown('endpoints'), '(none)');
    names.set('hub.example', ['127.0.0.1']);
    asked = [];
    await driver.follow.fill();
    assert.deepEqual(asked, ['hub.example']);
    assert.equal(shown('endpoints'), '127.0.0.1:51820');
    await handshakeAfter(0);
    assert.equal(shown('persistent-keepalive'), '25');
    asked = [];
    await driver.follow.fill();
    assert.deepEqual(asked, []);
    await driver.deleteEndpoint({ NetworkID: 'network', EndpointID: 'e1' });
    names.clear();
  }
});

test('a hub that moves is followed at once, with its session', { skip }, async () => {
  names.set('hub.example', ['127.0.0.1']);
  await startContainer();
  await handshakeAfter(0);
  await driver.follow.followNames();
  names.set('hub.example', ['127.0.0.2']);
  await driver.follow.followNames();
  assert.equal(shown('endpoints'), '127.0.0.2:51820');
  assert.deepEqual(asked, ['hub.example', 'hub.example']);
  names.delete('hub.example');
  await driver.follow.followNames();
  assert.equal(shown('endpoints'), '127.0.0.2:51820');
});

test('a hub that moves right after a container has started is followed by the next look-up', {
  skip,
}, async () => {
  names.set('hub.example', ['127.0.0.1']);
  await startContainer();
  names.set('hub.example', ['127.0.0.2']);
  await driver.follow.followNames();
  assert.equal(shown('endpoints'), '127.0.0.2:51820');
});

test('another container that starts before that look-up, with the new address, keeps it from nobody', {
  skip,
}, async () => {
  names.set('hub.example', ['127.0.0.1']);
  await startContainer();
  names.set('hub.example', ['127.0.0.2']);
  // What its Join does.
  await hubNames.addressOf('hub.example');
  await driver.follow.followNames();
  assert.equal(shown('endpoints'), '127.0.0.2:51820');
});

test('of addresses that the name had before, each is left: by a container that started after others had gone', {
  skip,
}, async () => {
  names.set('hub.example', ['127.0.0.1']);
  // What the Join of the one before did.
  await hubNames.addressOf('hub.example');
  names.set('hub.example', ['127.0.0.2']);
  await startContainer();
  names.set('hub.example', ['127.0.0.3']);
  await driver.follow.followNames();
  assert.equal(shown('endpoints'), '127.0.0.3:51820');
});

test('rotating DNS and a hub that roamed are left alone', { skip }, async () => {
  names.set('hub.example', ['127.0.0.1', '127.0.0.2']);
  await startContainer();
  await handshakeAfter(0);
  for (const addresses of [
    ['127.0.0.1', '127.0.0.2'],
    ['127.0.0.2', '127.0.0.1'],
    ['127.0.0.3'],
    ['127.0.0.3'],
  ]) {
    names.set('hub.example', addresses);
    await driver.follow.followNames();
    await driver.follow.watch();
    assert.equal(shown('endpoints'), '127.0.0.1:51820');
  }
  // 127.0.0.1 is not where the name led before.
  names.set('hub.example', ['127.0.0.4']);
  await driver.follow.followNames();
  assert.equal(shown('endpoints'), '127.0.0.1:51820');
});

for (const [which, addresses, alive] of [
  ['IPv4', [dead, '::1'], '[::1]:51820'],
  ['IPv6', ['2001:db8::1', '127.0.0.1'], '127.0.0.1:51820'],
] as const) {
  test(`a name of both families whose ${which} is dead gets through with the other`, { skip }, async () => {
    names.set('hub.example', [...addresses]);
    await startContainer();
    await driver.follow.watch();
    pass(15);
    await driver.follow.watch();
    assert.equal(shown('endpoints'), alive);
    assert.deepEqual(searched(), [alive]);
    const handshake = await handshakeAfter(0);
    pass(15);
    await driver.follow.watch();
    assert.equal(shown('endpoints'), alive);
    assert.equal(Number(shown('latest-handshakes')), handshake);

    // The next container of this name begins with it.
    await driver.deleteEndpoint({ NetworkID: 'network', EndpointID: 'e1' });
    await startContainer();
    assert.equal(shown('endpoints'), alive);
  });
}

test('a hub that comes back is reached by the next look, with keepalives alone', { skip }, async () => {
  names.set('hub.example', ['127.0.0.1']);
  await startContainer();
  const first = await handshakeAfter(0);
  // A prompt goes by the session that there is, and the kernel makes another by its own clock alone.
  const elapse = (seconds: number) => (isKernels ? setTimeout(seconds * 1000) : pass(seconds));
  await driver.follow.watch();
  // Until then WireGuard needs no other handshake.
  await elapse(100);
  await driver.follow.watch();
  await setTimeout(2000);
  assert.equal(Number(shown('latest-handshakes')), first);

  execFileSync('ip', ['link', 'delete', 'hub0']);
  await elapse(25);
  await driver.follow.watch();
  await startHubAgain();
  await elapse(15);
  await driver.follow.watch();
  await handshakeAfter(first);
  assert.equal(shown('persistent-keepalive'), '25');

  async function startHubAgain(): Promise<void> {
    execFileSync('sh', ['-c', createLink('hub0')], { stdio: 'ignore' });
    const peer = ['peer', peerKeyText, 'allowed-ips', '192.168.5.2/32'];
    const key = join(folder, 'hub.key');
    execFileSync('wg', ['set', 'hub0', 'private-key', key, 'listen-port', '51820', ...peer]);
    execFileSync('ip', ['link', 'set', 'hub0', 'up']);
    // wireguard-go answers a second handshake of a peer in 20 ms no more.
    await setTimeout(5100);
  }
});

test('DNS that is dead for five minutes changes nothing, and the hub is followed afterwards', {
  skip,
}, async () => {
  names.set('hub.example', ['127.0.0.1']);
  await startContainer();
  await handshakeAfter(0);
  await driver.follow.followNames();
  names.clear();
  for (let seconds = 0; seconds < 300; seconds += 30) {
    pass(30);
    await driver.follow.followNames();
    await driver.follow.watch();
    assert.equal(shown('endpoints'), '127.0.0.1:51820');
  }
  names.set('hub.example', ['127.0.0.2']);
  await driver.follow.followNames();
  assert.equal(shown('endpoints'), '127.0.0.2:51820');
});

test('a hub that moves while the driver is dead is found by the next one, once it is silent', {
  skip,
}, async () => {
  const hubAt = (address: string) => {
    spawnSync('ip', ['address', 'flush', 'dev', 'lo', 'to', '10.5.0.0/16']);
    execFileSync('ip', ['address', 'add', `${address}/32`, 'dev', 'lo']);
    names.set('hub.example', [address]);
  };
  hubAt('10.5.0.1');
  await startContainer();
  await handshakeAfter(0);
  await driver.follow.followNames();
  hubAt('10.5.0.2');
  await start();
  await driver.follow.followNames();
  await driver.follow.watch();
  assert.equal(shown('endpoints'), '10.5.0.1:51820');
  // A session of this age needs no handshake: the hub hears a keepalive.
  const heard = () =>
    Number(execFileSync('wg', ['show', 'hub0', 'transfer'], { encoding: 'utf8' }).split('\t')[1]);
  const before = heard();
  pass(150);
  await driver.follow.watch();
  assert.equal(shown('endpoints'), '10.5.0.2:51820');
  for (let count = 0; heard() <= before; count++) {
    assert(count < 100, execFileSync('wg', ['show'], { encoding: 'utf8' }));
    await setTimeout(100);
  }
});

test('one that sends without keepalive is helped', { skip }, async () => {
  names.set('hub.example', [dead, '127.0.0.1']);
  execFileSync('ip', ['link', 'add', 'out0', 'type', 'veth', 'peer', 'name', 'out1']);
  for (const name of ['out1', 'out0']) {
    execFileSync('ip', ['link', 'set', name, 'up']);
  }
  execFileSync('ip', ['address', 'add', '198.51.100.1/24', 'dev', 'out0']);
  execFileSync('ip', ['route', 'add', dead, 'dev', 'out0']);
  await startContainer({ keepalive: '0' });
  await driver.follow.watch();
  const send = () => spawnSync('ping', ['-c', '1', '-W', '1', '192.168.5.1']);
  send();
  // A handshake is sent every 5 s at most.
  await setTimeout(6000);
  pass(15);
  await driver.follow.watch();
  assert.equal(shown('endpoints'), '127.0.0.1:51820');
  assert.equal(shown('persistent-keepalive'), 'off');
  send();
  await handshakeAfter(0);
});

test('without keepalive an address that no route leads to is passed over, as its packets are not counted', {
  skip,
}, async () => {
  names.set('hub.example', [dead, '2001:db8::1', '127.0.0.1']);
  await startContainer({ keepalive: '0' });
  await driver.follow.watch();
  assert.notEqual(spawnSync('ping', ['-c', '1', '-W', '1', '192.168.5.1']).status, 0);
  assert.equal(shown('endpoints'), `${dead}:51820`);
  pass(15);
  await driver.follow.watch();
  assert.equal(shown('endpoints'), '127.0.0.1:51820');
  assert.deepEqual(searched(), ['127.0.0.1:51820']);
  spawnSync('ping', ['-c', '1', '-W', '1', '192.168.5.1']);
  await handshakeAfter(0);
  // Nothing leads anywhere while the uplink is gone.
  names.set('hub.example', [dead, '2001:db8::1']);
  await driver.follow.followNames();
  pass(200);
  await driver.follow.watch();
  assert.equal(shown('endpoints'), '127.0.0.1:51820');
});

test('a clock that is set makes no handshake old', { skip }, async () => {
  names.set('hub.example', ['127.0.0.1', dead]);
  await startContainer();
  await handshakeAfter(0);
  await driver.follow.watch();
  unixAheadMs += 3_600_000;
  aheadMs += 15_000;
  await driver.follow.watch();
  assert.equal(shown('endpoints'), '127.0.0.1:51820');
});

function stateOf(endpointId: string): EndpointState {
  return {
    endpoint: { endpointId, networkId: 'network', addresses: [] },
    joined: { endpointId, sandbox: '', stage: 'marked' },
    isUndeleted: false,
    revision: 1,
    touchedMs: undefined,
    sinceMs: undefined,
    place: { name: linkName(endpointId), endpointId },
  };
}

function statusOf(peers: readonly (Partial<PeerStatus> & Pick<PeerStatus, 'publicKey'>)[]): LinkStatus {
  return {
    name: link,
    mtu: 1420,
    publicKey: undefined,
    listenPort: 1,
    fwmark: 0,
    peers: peers.map((peer) => ({
      hasPresharedKey: false,
      endpoint: undefined,
      persistentKeepaliveInterval: 0,
      lastHandshake: undefined,
      receivedBytes: 0,
      sentBytes: 0,
      allowedIps: [],
      ...peer,
    })),
  };
}

test('a link that sends nothing is left alone, however old its handshake', async () => {
  const publicKey = peerKeyText as PublicKey;
  const answer = ['192.0.2.1', '192.0.2.2'].map((text) => parseAddress(text) ?? assert.fail());
  const [address = assert.fail()] = answer;
  let nowMs = 0;
  const status = statusOf([{ publicKey, endpoint: { address, port: 51820 }, sentBytes: 148 }]);
  const follow = createFollow({
    lifecycle: {
      tunnels: () => [stateOf('e1')],
      network: () => network(),
      peers: () => [{ publicKey, endpoint: { host: 'hub.example', port: 51820 }, allowedIps: [] }],
      hasAutoMtu: () => false,
      changeLink: () => assert.fail('it is changed'),
    },
    links: { read: async () => status, readDevice: async () => status },
    hubNames: createHubNames({ resolve: async () => answer, log: recordedLog() }),
    uplinksTo: usualUplinks,
    log: recordedLog(),
    now: () => nowMs,
    unixNow: () => nowMs,
    onFailure: () => assert.fail('it is not looked at'),
  });
  await follow.followNames();
  for (let count = 0; count < 3; count++) {
    await follow.watch();
    nowMs += 60_000;
  }
});

test('the ways to thousands of silent peers are asked for at once, each once', async () => {
  const addresses = Array.from({ length: 2000 }, (_, index) => {
    const text = `192.0.${index >> 8}.${index & 255}`;
    return parseAddress(text) ?? assert.fail();
  });
  const keyOf = (index: number) => `${index}`.padStart(43, 'A').concat('=') as PublicKey;
  const asked: number[] = [];
  let nowMs = 0;
  // Two peers at each of them.
  const endpoints = [...addresses, ...addresses].map((address) => ({ address, port: 51820 }));
  const status = statusOf(endpoints.map((endpoint, index) => ({ publicKey: keyOf(index), endpoint })));
  const follow = createFollow({
    lifecycle: {
      tunnels: () => [stateOf('e1')],
      network: () => network(),
      peers: () =>
        endpoints.map(({ address, port }, index) => ({
          publicKey: keyOf(index),
          endpoint: { host: address.toString(), port },
          allowedIps: [],
        })),
      hasAutoMtu: () => true,
      changeLink: async () => true,
    },
    links: { read: async () => status, readDevice: async () => status },
    hubNames: createHubNames({ resolve: async () => [], log: recordedLog() }),
    async uplinksTo(wanted, mark) {
      asked.push(wanted.length);
      return usualUplinks(wanted, mark);
    },
    log: recordedLog(),
    now: () => nowMs,
    unixNow: () => nowMs,
    onFailure: () => assert.fail('it is not looked at'),
  });
  await follow.watch();
  nowMs += 60_000;
  await follow.watch();
  // For the MTU at the first look; at the second for those that are silent, and the MTU again.
  assert.deepEqual(asked, [2000, 2000]);
});

test('a hub that has moved is followed while a look at hundreds of links takes its time', async () => {
  const publicKey = peerKeyText as PublicKey;
  const [old, moved] = [
    parseAddress('192.0.2.1') ?? assert.fail(),
    parseAddress('192.0.2.2') ?? assert.fail(),
  ];
  let answer = old;
  const changed: string[] = [];
  const status = statusOf([{ publicKey, endpoint: { address: old, port: 51820 } }]);
  const follow = createFollow({
    lifecycle: {
      tunnels: () => Array.from({ length: 100 }, (_, index) => stateOf(`e${index}`)),
      network: () => network(),
      peers: () => [{ publicKey, endpoint: { host: 'hub.example', port: 51820 }, allowedIps: [] }],
      hasAutoMtu: () => false,
      async changeLink({ endpoint: { endpointId } }) {
        changed.push(endpointId);
        return true;
      },
    },
    // The look never ends.
    links: { read: () => new Promise(() => {}), readDevice: async () => status },
    hubNames: createHubNames({ resolve: async () => [answer], log: recordedLog() }),
    uplinksTo: usualUplinks,
    log: recordedLog(),
  });
  await follow.followNames();
  void follow.watch();
  answer = moved;
  await follow.followNames();
  assert.equal(changed.length, 100);
});

test('a link with two peers of one name is changed once', async () => {
  const keys = [peerKeyText, 'XAIxNgBzVzfjVOMaWIR6lvvS8VsZC6qHCdSKkuk77Uk='] as PublicKey[];
  const changes: LinkChange[] = [];
  const status = statusOf(keys.map((publicKey) => ({ publicKey })));
  const follow = createFollow({
    lifecycle: {
      tunnels: () => [stateOf('e1')],
      network: () => network(),
      peers: () =>
        keys.map((publicKey, index) => ({
          publicKey,
          endpoint: { host: 'hub.example', port: 51820 + index },
          allowedIps: [],
        })),
      hasAutoMtu: () => false,
      async changeLink(_, change) {
        changes.push(change);
        return true;
      },
    },
    links: { read: async () => status, readDevice: async () => status },
    hubNames: createHubNames({
      resolve: async () => [parseAddress('192.0.2.7') ?? assert.fail()],
      log: recordedLog(),
    }),
    uplinksTo: usualUplinks,
    log: recordedLog(),
  });
  // It waits for its name from the first look on.
  await follow.watch();
  await follow.fill();
  assert.deepEqual(
    changes.map(({ peers }) => peers?.map(({ publicKey, endpoint }) => [publicKey, endpoint?.port])),
    [keys.map((publicKey, index) => [publicKey, 51820 + index])],
  );
});

test('a driver that is killed between any two links of a hub that has moved: the next one does the others', async () => {
  const ids = ['e1', 'e2', 'e3', 'e4'];
  const publicKey = peerKeyText as PublicKey;
  const [old, moved] = ['192.0.2.1', '192.0.2.2'].map((text) => parseAddress(text) ?? assert.fail()) as [
    Address,
    Address,
  ];
  for (let changesBefore = 0; changesBefore < ids.length; changesBefore += 1) {
    const endpoints = new Map(ids.map((id) => [id, { address: old, port: 51820 }]));
    let answer = old;
    let nowMs = 0;
    /** A driver that is gone after so many changes; what it has asked for then never ends. */
    const startFollow = (most: number) => {
      let left = most;
      const read = async ({ endpointId = '' }: Place) =>
        statusOf([
          {
            publicKey,
            endpoint: endpoints.get(endpointId),
            persistentKeepaliveInterval: 25,
            lastHandshake: new Date(0),
          },
        ]);
      return createFollow({
        lifecycle: {
          tunnels: () => ids.map(stateOf),
          network: () => network(),
          peers: () => [{ publicKey, endpoint: { host: 'hub.example', port: 51820 }, allowedIps: [] }],
          hasAutoMtu: () => false,
          async changeLink({ endpoint: { endpointId } }, { peers }) {
            if (left === 0) {
              return new Promise<never>(() => {});
            }
            left -= 1;
            const given = peers?.find(({ endpoint }) => endpoint !== undefined)?.endpoint;
            if (given !== undefined) {
              endpoints.set(endpointId, given);
            }
            return true;
          },
        },
        links: { read, readDevice: read },
        hubNames: createHubNames({ resolve: async () => [answer], log: recordedLog() }),
        uplinksTo: usualUplinks,
        log: recordedLog(),
        now: () => nowMs,
        unixNow: () => nowMs,
      });
    };
    const onMoved = () => [...endpoints.values()].filter(({ address }) => address === moved).length;

    const killed = startFollow(changesBefore);
    await killed.followNames();
    answer = moved;
    void killed.followNames();
    await setTimeout(20);
    assert.equal(onMoved(), changesBefore);
    const next = startFollow(Number.POSITIVE_INFINITY);
    await next.followNames();
    await next.watch();
    nowMs = 150_000;
    await next.watch();
    assert.equal(onMoved(), ids.length, `killed after ${changesBefore}`);
  }
});
