import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { createHubLinks } from '../../src/driver/hub-links.ts';
import { createHubNames } from '../../src/driver/hub-names.ts';
import { createLifecycle, type Lifecycle } from '../../src/driver/lifecycle.ts';
import { createReload } from '../../src/driver/reload.ts';
import { sharedIdOf } from '../../src/driver/shared-tunnels.ts';
import { createStatus } from '../../src/driver/status.ts';
import { openStore, type Store } from '../../src/state/store.ts';
import { formatPrefix, prefixOf } from '../../src/wireguard/address.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import { articleOptions, network, peerKeyText } from '../support/networks.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { type RecordingGateways, recordingGateways } from '../support/recording-gateways.ts';
import { type RecordingGuard, recordingGuard } from '../support/recording-guard.ts';
import { type RecordingLinks, recordingLinks } from '../support/recording-links.ts';

const shared = network({ options: { conffile: 'app.conf' } });
const link = linkName(sharedIdOf('network'));
const [firstKey, secondKey] = [
  'OD0JlvJhFEG9g2hSLJ3qYKccX2nZRefM8ha8p7T1U1I=',
  'KPGLBti04NrpSWcdjDVRXQm0HHtsd9CTf8IbMNEb91c=',
];

let folder: string;
let links: RecordingLinks;
let gateways: RecordingGateways;
let store: Store;
let guard: RecordingGuard;
let lifecycle: Lifecycle;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-shared-'));
  links = recordingLinks();
  gateways = recordingGateways(links);
  await writeConffile(firstKey, '10.64.0.7/32');
  await start();
  await lifecycle.createNetwork(shared);
});
afterEach(() => rm(folder, { recursive: true }));

const writeConffile = (
  privateKey = '',
  address = '',
  allowedIps = '0.0.0.0/0',
  hub = '192.0.2.1',
  file = 'app.conf',
) =>
  writeFile(
    join(folder, file),
    `[Interface]\nPrivateKey = ${privateKey}\nAddress = ${address}\nDNS = 10.64.0.1\n` +
      `[Peer]\nPublicKey = ${peerKeyText}\nAllowedIPs = ${allowedIps}\nEndpoint = ${hub}:51820\n`,
    { mode: 0o600 },
  );

const log = recordedLog();
const hubNames = createHubNames({ resolve: async () => [], log });

/** A driver that starts on what another has left. */
async function start(): Promise<void> {
  store = await openStore(join(folder, 'state'), log);
  guard = recordingGuard();
  lifecycle = createLifecycle({
    store,
    links,
    guard,
    gateways,
    hubNames,
    hubLinks: createHubLinks({ links, store, log, hasIpv6: true }),
    log,
    hasIpv6: true,
    secretsFolder: folder,
    uplinksTo: async (addresses) => addresses.map(() => undefined),
  });
}

async function join1(endpointId: string, address: string, sandbox = `/sandbox-${endpointId}`): Promise<void> {
  await lifecycle.createEndpoint({ endpointId, networkId: 'network', addresses: [prefixOf(address)] });
  await lifecycle.join('network', endpointId, sandbox);
}

const loseNamespace = () => gateways.lose([...gateways.kept.keys()].at(-1) ?? assert.fail());

function reloadOf() {
  return createReload({
    lifecycle,
    networks: () => store.networks(),
    links,
    hubLinks: createHubLinks({ links, store, log, hasIpv6: true }),
    hubNames,
    log,
  }).reload;
}

const ports = () => [...gateways.kept.values()].map(({ ports }) => [...ports.keys()]);
const created = () => links.asked.filter((asked) => asked === `create ${link}`).length;

test('the first container makes the link, and others come to it, after a restart of the driver too', async () => {
  assert.equal(gateways.kept.size, 0);
  await join1('e1', '192.168.5.2/24');
  await join1('e2', '192.168.5.3/24');
  await start();
  await join1('e3', '192.168.5.4/24');
  assert.equal(created(), 1);
  assert.deepEqual(ports(), [['e1', 'e2', 'e3'].map(linkName)]);
  assert.deepEqual([...links.taken.keys()], [link]);
  assert.equal(links.taken.get(link)?.device?.privateKey.toBase64(), firstKey);
  const [{ gateway } = assert.fail()] = gateways.kept.values();
  assert.deepEqual(gateway?.gateways.map(String).slice(0, 1), ['192.168.5.1']);
  assert.deepEqual(gateway?.dns.map(String), ['10.64.0.1']);
});

test('a network that the engine does not have goes with its tunnel, unless it is in use or came anew', async () => {
  await join1('e1', '192.168.5.2/24');
  const seen = store.network('network') ?? assert.fail();
  assert.equal(await lifecycle.deleteLostNetwork(seen), false);
  await lifecycle.deleteEndpoint('e1');
  await lifecycle.createNetwork(network({ options: { conffile: 'app.conf' } }));
  assert.equal(await lifecycle.deleteLostNetwork(seen), false);
  assert.equal(gateways.kept.size, 1);
  assert.equal(await lifecycle.deleteLostNetwork(store.network('network') ?? assert.fail()), true);
  assert.equal(gateways.kept.size, 0);
  assert.deepEqual(store.networks(), []);
});

test('two that begin at once get one link', async () => {
  await Promise.all([join1('e1', '192.168.5.2/24'), join1('e2', '192.168.5.3/24')]);
  assert.equal(created(), 1);
  assert.deepEqual(ports().flat().sort(), ['e1', 'e2'].map(linkName).sort());
});

test('a container’s end leaves the tunnel, and the network’s takes it along', async () => {
  await join1('e1', '192.168.5.2/24');
  await join1('e2', '192.168.5.3/24');
  await lifecycle.deleteEndpoint('e1');
  assert.deepEqual(ports(), [[linkName('e2')]]);
  await lifecycle.deleteNetwork('network');
  assert.equal(gateways.kept.size, 0);
  assert.deepEqual(store.gateways(), []);
  assert.deepEqual(store.endpoints(), []);
});

test('what cannot be set up leaves nothing, and works the next time', async () => {
  gateways.failToOpen();
  await assert.rejects(join1('e1', '192.168.5.2/24'), /set up the gateway: Operation not permitted/);
  assert.equal(gateways.kept.size, 0);
  assert.deepEqual([store.gateways(), [...links.present.keys()]], [[], []]);
  await lifecycle.join('network', 'e1', '');
  assert.deepEqual(ports(), [[linkName('e1')]]);
});

test('a kill between the parts: the next driver ends what is there, and makes it anew', async () => {
  await lifecycle.createEndpoint({
    endpointId: 'e1',
    networkId: 'network',
    addresses: [prefixOf('192.168.5.2/24')],
  });
  const held = links.hold('configure');
  // Of the driver that is killed here, nothing goes on.
  void lifecycle.join('network', 'e1', '').catch(() => {});
  await held;
  assert.deepEqual([...links.present.keys()], [link]);
  await start();
  assert.deepEqual(await lifecycle.deleteBrokenTunnels(), ['network']);
  assert.deepEqual([gateways.kept.size, [...links.present.keys()]], [0, []]);
  await lifecycle.join('network', 'e1', '');
  assert.deepEqual(ports(), [[linkName('e1')]]);
});

test('a namespace that is lost is forgotten, and made anew for whoever starts', async () => {
  await join1('e1', '192.168.5.2/24');
  assert.deepEqual(await lifecycle.deleteBrokenTunnels(), []);
  gateways.lose([...gateways.kept.keys()][0] ?? 0);
  await join1('e2', '192.168.5.3/24');
  assert.deepEqual(ports(), [[linkName('e2')]]);
  await lifecycle.deleteEndpoint('e1');
  gateways.lose([...gateways.kept.keys()][0] ?? 0);
  assert.deepEqual(await lifecycle.deleteBrokenTunnels(), ['network']);
});

test('somebody else’s link of the name is left alone', async () => {
  links.addForeign(link);
  await assert.rejects(join1('e1', '192.168.5.2/24'));
  assert.deepEqual([gateways.kept.size, store.gateways()], [0, []]);
});

test('all containers have the one link’s status, and it is looked after once', async () => {
  await join1('e1', '192.168.5.2/24');
  await join1('e2', '192.168.5.3/24');
  const [tunnel, ...others] = lifecycle.tunnels();
  assert.deepEqual(others, []);
  assert.equal(tunnel?.place.name, link);
  for (const { place } of lifecycle.endpoints()) {
    assert.deepEqual(place, tunnel?.place);
  }
  const readStatus = createStatus({
    lifecycle,
    links,
    follow: { seen: () => undefined },
    hubNames: { isFailing: () => false },
    guard,
    now: () => 0,
    unixNow: Date.now,
  });
  assert.deepEqual(
    (await readStatus()).map(({ isLinkShared }) => isLinkShared),
    [true, true],
  );
  assert(await lifecycle.changeLink(tunnel ?? assert.fail(), { fwmark: 7 }));
  await lifecycle.deleteNetwork('network');
  assert.equal(await lifecycle.changeLink(tunnel, { fwmark: 8 }), false);
});

test('a reload gives the link the key, and its namespace the addresses, that the file has now', async () => {
  await join1('e1', '192.168.5.2/24');
  await writeConffile(secondKey, '10.64.0.8/32');
  assert.deepEqual(await reloadOf()([]), [{ networkId: 'network', links: 1, newKeys: 1, failures: [] }]);
  assert.equal(links.taken.get(link)?.device?.privateKey.toBase64(), secondKey);
  const [{ gateway } = assert.fail()] = gateways.kept.values();
  assert.deepEqual(
    gateway?.addresses.map(({ address }) => address.toString()),
    ['10.64.0.8'],
  );
});

test('a reload gives the tunnel, its namespace and the kill switch of its containers other AllowedIPs', async () => {
  await join1('e1', '192.168.5.2/24');
  assert(guard.guarded.get('e1')?.prefixes.includes('0.0.0.0/0'));
  await writeConffile(firstKey, '10.64.0.7/32', '10.0.0.0/8, 172.16.0.0/12');
  assert.deepEqual(await reloadOf()([]), [{ networkId: 'network', links: 1, newKeys: 0, failures: [] }]);
  const texts = ['10.0.0.0/8', '172.16.0.0/12'];
  const { device } = links.taken.get(link) ?? assert.fail();
  assert.deepEqual(device?.peers[0]?.allowedIps.map(formatPrefix), texts);
  const [{ gateway } = assert.fail()] = gateways.kept.values();
  assert.deepEqual(gateway?.prefixes.map(formatPrefix), texts);
  assert.deepEqual(guard.guarded.get('e1')?.prefixes.slice(0, 2), texts);
});

test('a reload does not protect a container for the shared tunnel alone', async () => {
  await join1('e1', '192.168.5.2/24');
  const split = join(folder, 'split.conf');
  await writeFile(split, `[Peer]\nPublicKey = ${peerKeyText}\nAllowedIPs = 10.0.0.0/8\n`, { mode: 0o600 });
  const { seed, additional } = articleOptions;
  await lifecycle.createNetwork(
    network({ id: 'split', options: { conffile: 'split.conf', seed, additional } }),
  );
  await lifecycle.createEndpoint({
    endpointId: 's1',
    networkId: 'split',
    addresses: [prefixOf('192.168.5.2/24')],
  });
  await lifecycle.join('split', 's1', '/sandbox-e1');
  await rm(split);
  await start();
  await writeConffile(firstKey, '10.64.0.7/32', '172.16.0.0/12');
  const [reloaded] = await reloadOf()(['network']);
  assert.match(reloaded?.failures[0]?.cause ?? '', /would open the kill switch of .* network split, /);
  assert.equal(guard.guarded.size, 0);
});

test('a container that starts finds the tunnel as the file has it now', async () => {
  await join1('e1', '192.168.5.2/24');
  const { length } = links.asked;
  await join1('e2', '192.168.5.3/24');
  assert(!links.asked.slice(length).includes(`change ${link}`));
  await writeConffile(secondKey, '10.64.0.8/32');
  await join1('e3', '192.168.5.4/24');
  assert.equal(links.taken.get(link)?.device?.privateKey.toBase64(), secondKey);
  assert.equal(created(), 1);
});

test('a new Endpoint reaches the tunnel by the next container that starts, after a restart of the driver too', async () => {
  const hub = () => String(links.taken.get(link)?.device?.peers[0]?.endpoint?.address);
  await join1('e1', '192.168.5.2/24');
  await writeConffile(firstKey, '10.64.0.7/32', '0.0.0.0/0', '192.0.2.2');
  await join1('e2', '192.168.5.3/24');
  assert.equal(hub(), '192.0.2.2');
  await writeConffile(firstKey, '10.64.0.7/32', '0.0.0.0/0', '192.0.2.3');
  await start();
  await lifecycle.protectAll();
  await join1('e3', '192.168.5.4/24');
  assert.equal(hub(), '192.0.2.3');
});

test('a tunnel is not made, and not changed, with a key that another network’s tunnel has', async () => {
  await join1('e1', '192.168.5.2/24');
  await writeConffile(secondKey, '10.64.0.7/32', '0.0.0.0/0', '192.0.2.1', 'other.conf');
  await lifecycle.createNetwork(network({ id: 'other', options: { conffile: 'other.conf' } }));
  await writeConffile(firstKey, '10.64.0.7/32', '0.0.0.0/0', '192.0.2.1', 'other.conf');
  const joinOther = (endpointId: string, address: string) =>
    lifecycle
      .createEndpoint({ endpointId, networkId: 'other', addresses: [prefixOf(address)] })
      .then(() => lifecycle.join('other', endpointId, '/sandbox'));
  const message =
    /configuration file other\.conf: a running tunnel of network network has the same PrivateKey/;
  await assert.rejects(joinOther('o1', '192.168.5.2/24'), message);
  assert.equal(gateways.kept.size, 1);
  await writeConffile(secondKey, '10.64.0.7/32', '0.0.0.0/0', '192.0.2.1', 'other.conf');
  await joinOther('o1', '192.168.5.2/24');
  await writeConffile(firstKey, '10.64.0.7/32', '0.0.0.0/0', '192.0.2.1', 'other.conf');
  await assert.rejects(joinOther('o2', '192.168.5.3/24'), message);
  assert.match((await reloadOf()(['other']))[0]?.failures[0]?.cause ?? '', message);
  const keys = [...links.taken.values()].map(({ device }) => device?.privateKey.toBase64());
  assert.deepEqual(keys.sort(), [firstKey, secondKey].sort());
});

test('a lost namespace is made anew, and running containers get their links again', async () => {
  await join1('e1', '192.168.5.2/24', '/sandbox-e1');
  await join1('e2', '192.168.5.3/24', '/gone');
  assert.deepEqual(await lifecycle.healSharedTunnels(), []);
  loseNamespace();
  const healed = { networkId: 'network', containers: 1, failures: [] };
  assert.deepEqual(await lifecycle.healSharedTunnels(), [healed]);
  assert.deepEqual(ports(), [[linkName('e1')]]);
  const [{ inside, ...again } = assert.fail()] = gateways.reattached;
  assert.equal(again.sandbox, '/sandbox-e1');
  assert.deepEqual(inside.addresses.map(formatPrefix), ['192.168.5.2/24']);
  assert.deepEqual(
    inside.routes.map(({ destination, gateway }) => `${formatPrefix(destination)} ${gateway}`),
    ['0.0.0.0/0 192.168.5.1'],
  );
  assert.deepEqual(await lifecycle.healSharedTunnels(), []);

  // Another container was first to have it made anew; or the driver was dead meanwhile.
  loseNamespace();
  await join1('e3', '192.168.5.4/24');
  assert.deepEqual(await lifecycle.healSharedTunnels(), [healed]);
  await lifecycle.deleteEndpoint('e3');
  loseNamespace();
  await start();
  assert.deepEqual(await lifecycle.healSharedTunnels(), [healed]);

  loseNamespace();
  await rm(join(folder, 'app.conf'));
  const [{ failures } = assert.fail()] = await lifecycle.healSharedTunnels();
  assert.match(failures[0]?.cause ?? '', /app\.conf/);
  await writeConffile(firstKey, '10.64.0.7/32');
  assert.deepEqual(await lifecycle.healSharedTunnels(), [healed]);
});
