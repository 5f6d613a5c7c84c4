import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createHubLinks } from '../../src/driver/hub-links.ts';
import { createHubNames } from '../../src/driver/hub-names.ts';
import { createLifecycle, type Lifecycle } from '../../src/driver/lifecycle.ts';
import { createReload, type Reload } from '../../src/driver/reload.ts';
import type { Place } from '../../src/links/links.ts';
import { createMarker } from '../../src/state/marker.ts';
import { openStore, type Store } from '../../src/state/store.ts';
import { formatPrefix, parseAddress, prefixOf } from '../../src/wireguard/address.ts';
import { clamp, PrivateKey, type PublicKey, publicKeyOf } from '../../src/wireguard/key.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import { network, peerKeyText, seedText } from '../support/networks.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { recordingGateways } from '../support/recording-gateways.ts';
import { recordingGuard } from '../support/recording-guard.ts';
import { type RecordingLinks, recordingLinks } from '../support/recording-links.ts';
import { usualUplinks } from '../support/uplinks.ts';

/** The article's keys, and those of another seed. */
const [firstKey, newSeed] = ['+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=', 'bmV3c2VlZG5ld3NlZWRuZXdzZWVk'];
const options = {
  peer: '192.0.2.1:51820',
  peerkey: peerKeyText,
  seedfile: 'app.seed',
  additional: 'dGVzdGFkZGl0aW9uYWwK',
  presharedkey: 'derived',
};
const hubKey = new PrivateKey(clamp(randomBytes(32)));

let folder: string;
let links: RecordingLinks;
let lifecycle: Lifecycle;
let store: Store;
let reload: Reload;
let log: ReturnType<typeof recordedLog>;
const marker = () => createMarker(join(folder, 'reload'));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-reload-'));
  links = recordingLinks();
  log = recordedLog();
  await start();
  await writeFile(join(folder, 'app.seed'), seedText);
});
afterEach(() => rm(folder, { recursive: true }));

async function start(): Promise<void> {
  store = await openStore(join(folder, 'state'), log);
  const addressesOf = () => [parseAddress('192.168.5.1') ?? assert.fail()];
  const hubLinks = createHubLinks({ links, store, log, hasIpv6: true, addressesOf });
  const hubNames = createHubNames({ resolve: async (host) => [parseAddress(host) ?? assert.fail()], log });
  lifecycle = createLifecycle({
    store,
    links,
    guard: recordingGuard(),
    gateways: recordingGateways(links),
    hubNames,
    hubLinks,
    log,
    hasIpv6: true,
    secretsFolder: folder,
    uplinksTo: usualUplinks,
  });
  reload = createReload({
    lifecycle,
    networks: () => store.networks(),
    links,
    hubLinks,
    hubNames,
    log,
    marker: marker(),
  });
}

async function run(endpointId: string, address: string, networkId = 'network', own = {}): Promise<void> {
  await lifecycle.createEndpoint({ endpointId, networkId, addresses: [prefixOf(address)], ...own });
  await lifecycle.join(networkId, endpointId, '');
  links.take(linkName(endpointId));
}

const deviceOf = (endpointId: string) => links.taken.get(linkName(endpointId))?.device ?? assert.fail();
const keyOf = (endpointId: string) => publicKeyOf(deviceOf(endpointId).privateKey);
const pskOf = (endpointId: string) => deviceOf(endpointId).peers[0]?.presharedKey?.toBase64();

test('running containers get the keys of a new seed, with its preshared keys', async () => {
  await lifecycle.createNetwork(network({ options }));
  await run('e1', '192.168.5.2/24');
  await run('e2', '192.168.5.3/24');
  assert.equal(keyOf('e1'), firstKey);
  const before = pskOf('e1');
  assert.deepEqual(await reload.reload([]), [{ networkId: 'network', links: 2, newKeys: 0, failures: [] }]);
  await writeFile(join(folder, 'app.seed'), newSeed);
  assert.deepEqual(await reload.reload([]), [{ networkId: 'network', links: 2, newKeys: 2, failures: [] }]);
  assert.notEqual(keyOf('e1'), firstKey);
  assert.notEqual(pskOf('e1'), before);
  assert.equal(deviceOf('e1').peers[0]?.endpoint?.port, 51820);
  assert.equal(await marker().unfinished(), undefined);
  // The secrets are nobody's news.
  assert(!JSON.stringify(log.lines).includes(deviceOf('e1').privateKey.toBase64()));
});

for (const [what, ofNetwork] of [
  ['with the old seed', options],
  ['with the old file of a shared tunnel', { conffile: 'shared.conf' }],
] as const) {
  test(`a container that is starting ${what} gets the new key`, async () => {
    await writePeer('192.0.2.1:51820', 'shared.conf', oneKey);
    await lifecycle.createNetwork(network({ options: ofNetwork }));
    const held = links.hold('create');
    const starting = run('e1', '192.168.5.2/24');
    const goOn = await held;
    await writeFile(join(folder, 'app.seed'), newSeed);
    await writePeer('192.0.2.1:51820', 'shared.conf', twoKey);
    const reloaded = reload.reload([]);
    // Without waiting it has ended by then.
    await Promise.race([reloaded, sleep(100)]);
    goOn();
    await starting;
    assert.deepEqual(await reloaded, [{ networkId: 'network', links: 1, newKeys: 1, failures: [] }]);
    assert.equal((await reload.reload([]))[0]?.newKeys, 0);
  });
}

test('a link that moves into its container while it is read is not passed over', async () => {
  await lifecycle.createNetwork(network({ options }));
  await run('e1', '192.168.5.2/24');
  await writeFile(join(folder, 'app.seed'), newSeed);
  const { read } = links;
  let reads = 0;
  Object.assign(links, {
    read: async (place: Place) => (++reads === 1 ? undefined : read(place)),
  });
  assert.equal((await reload.reload([]))[0]?.newKeys, 1);
});

test('a wrong file changes nothing of its network, and the others are reloaded', async () => {
  await lifecycle.createNetwork(network({ options }));
  const others = { ...options, seedfile: 'other.seed' };
  await writeFile(join(folder, 'other.seed'), seedText);
  await lifecycle.createNetwork(
    network({ id: 'second', subnets: [['192.168.6.0/24', '192.168.6.1/24']], options: others }),
  );
  await run('e1', '192.168.5.2/24');
  await run('e2', '192.168.6.2/24', 'second');
  const other = keyOf('e2');
  await writeFile(join(folder, 'app.seed'), 'not base64!');
  await writeFile(join(folder, 'other.seed'), newSeed);
  const [first, second] = await reload.reload([]);
  assert.equal(first?.links, 0);
  assert.match(first.failures[0]?.cause ?? '', /seed file .*app\.seed: expected base64/);
  assert.equal(keyOf('e1'), firstKey);
  assert.equal(second?.newKeys, 1);
  assert.notEqual(keyOf('e2'), other);
});

test('one network, by the beginning of its id; another word is refused', async () => {
  await lifecycle.createNetwork(network({ id: 'abc', options }));
  await lifecycle.createNetwork(
    network({ id: 'def', subnets: [['192.168.6.0/24', '192.168.6.1/24']], options }),
  );
  assert.deepEqual(
    (await reload.reload(['ab'])).map(({ networkId }) => networkId),
    ['abc'],
  );
  await assert.rejects(reload.reload(['ab', 'x']), /this driver has no network x/);
});

test('a container’s own key file is read again, too', async () => {
  await writeFile(join(folder, 'own.key'), hubKey.toBase64());
  await lifecycle.createNetwork(network({ options }));
  await run('e1', '192.168.5.2/24', 'network', { options: { privatekeyfile: 'own.key' } });
  const next = new PrivateKey(clamp(randomBytes(32)));
  await writeFile(join(folder, 'own.key'), next.toBase64());
  assert.equal((await reload.reload([]))[0]?.newKeys, 1);
  assert.equal(keyOf('e1'), publicKeyOf(next));
});

test('a link that cannot be changed is told of, and the others are', async () => {
  await lifecycle.createNetwork(network({ options }));
  await run('e1', '192.168.5.2/24');
  await writeFile(join(folder, 'app.seed'), newSeed);
  links.fail('change', new Error('change link: EPERM'));
  const [failed] = await reload.reload([]);
  assert.deepEqual(failed?.failures, [{ endpointId: 'e1', cause: 'change link: EPERM' }]);
  links.fail('change', undefined);
  assert.equal((await reload.reload([]))[0]?.newKeys, 1);
  // A container that has ended is no failure.
  await lifecycle.deleteEndpoint('e1');
  assert.equal((await reload.reload([]))[0]?.links, 0);
});

test('what a kill has cut short is completed at the next start', async () => {
  await lifecycle.createNetwork(network({ options }));
  await run('e1', '192.168.5.2/24');
  await run('e2', '192.168.5.3/24');
  await writeFile(join(folder, 'app.seed'), newSeed);
  const held = links.hold('change');
  void reload.reload([]);
  await held;
  // The kill: nothing of this driver goes on.
  assert.deepEqual(await marker().unfinished(), ['network']);
  await start();
  await reload.resume();
  assert.notEqual(keyOf('e1'), firstKey);
  assert.equal((await reload.reload([]))[0]?.newKeys, 0);
  assert.equal(await marker().unfinished(), undefined);
  const { length } = links.asked;
  await reload.resume();
  assert.equal(links.asked.length, length);
});

test('with hublink the driver does both ends, also right after a start', async () => {
  await links.create({ name: 'wg-hub', mtu: 1420, endpointId: '' });
  await links.configure('wg-hub', { privateKey: hubKey, listenPort: 4500, peers: [] });
  const { peer: _, peerkey: __, ...rest } = options;
  await lifecycle.createNetwork(network({ options: { ...rest, hublink: 'wg-hub' } }));
  await run('e1', '192.168.5.2/24');
  await start();
  await writeFile(join(folder, 'app.seed'), newSeed);
  assert.deepEqual((await reload.reload([]))[0], {
    networkId: 'network',
    links: 1,
    newKeys: 1,
    failures: [],
  });
  assert.notEqual(keyOf('e1'), firstKey);
  const peers = links.present.get('wg-hub')?.device?.peers ?? [];
  assert.deepEqual(
    peers.map(({ publicKey, allowedIps, presharedKey }) => [
      publicKey,
      allowedIps.map(formatPrefix),
      presharedKey?.toBase64(),
    ]),
    [[keyOf('e1'), ['192.168.5.2/32'], pskOf('e1')]],
  );
});

test('a hub’s link on this host that is made anew with another key or port: a reload brings the containers to it', async () => {
  const makeHub = (privateKey: PrivateKey, listenPort: number) =>
    links
      .create({ name: 'wg-hub', mtu: 1420, endpointId: '' })
      .then(() => links.configure('wg-hub', { privateKey, listenPort, peers: [] }));
  const { peer: _, peerkey: __, ...rest } = options;
  await makeHub(hubKey, 4500);
  await lifecycle.createNetwork(network({ options: { ...rest, hublink: 'wg-hub' } }));
  await run('e1', '192.168.5.2/24');
  for (const [privateKey, port] of [
    [hubKey, 4501],
    [newKey(), 4502],
  ] as const) {
    await links.deleteRecorded('wg-hub');
    await makeHub(privateKey, port);
    await reload.reload([]);
    const peers = links.taken.get(linkName('e1'))?.device?.peers ?? [];
    assert.deepEqual(
      peers.map(({ publicKey, endpoint }) => [publicKey, endpoint?.port]),
      [[publicKeyOf(privateKey), port]],
    );
  }
});

test('MTU and FwMark of a configuration file, and what is there without them', async () => {
  const write = (lines: string) =>
    writeFile(
      join(folder, 'hub.conf'),
      `[Interface]\n${lines}\n[Peer]\nPublicKey = ${peerKeyText}\nEndpoint = 192.0.2.1:51820\nAllowedIPs = 0.0.0.0/0\n`,
    );
  const { seedfile, additional } = options;
  await write('MTU = 1300');
  await lifecycle.createNetwork(network({ options: { seedfile, additional, conffile: 'hub.conf' } }));
  await run('e1', '192.168.5.2/24');
  const made = () => links.taken.get(linkName('e1')) ?? assert.fail();
  assert.deepEqual([made().link.mtu, made().device?.fwmark], [1300, undefined]);
  await write('MTU = 1340\nFwMark = 0xca6c');
  assert.deepEqual(await reload.reload([]), [{ networkId: 'network', links: 1, newKeys: 0, failures: [] }]);
  assert.deepEqual([made().link.mtu, made().device?.fwmark], [1340, 0xca6c]);
  // Now it is computed, which is done by whoever follows the way to the hub.
  await write('');
  await reload.reload([]);
  assert.deepEqual([made().link.mtu, made().device?.fwmark], [1340, 0]);
  const [state = assert.fail()] = lifecycle.tunnels();
  assert(lifecycle.hasAutoMtu(state.endpoint));
});

const [oneKey, twoKey] = [newKey(), newKey()];
function newKey(): PrivateKey {
  return new PrivateKey(clamp(randomBytes(32)));
}
const writePeer = (endpoint: string, file = 'hub.conf', privateKey?: PrivateKey) =>
  writeFile(
    join(folder, file),
    `[Interface]\n${privateKey === undefined ? '' : `PrivateKey = ${privateKey.toBase64()}\nAddress = 10.64.0.7/32\n`}` +
      `[Peer]\nPublicKey = ${peerKeyText}\nEndpoint = ${endpoint}\nAllowedIPs = 0.0.0.0/0\n`,
  );
const hubOf = (endpointId: string) => {
  const { address, port } = deviceOf(endpointId).peers[0]?.endpoint ?? assert.fail();
  return `${address} ${port}`;
};
/** As WireGuard does when the hub answers from there. */
const roam = (endpointId: string, address: string) =>
  links.change(
    { name: linkName(endpointId), endpointId, sandbox: '' },
    {
      peers: [
        {
          publicKey: peerKeyText as PublicKey,
          endpoint: { address: parseAddress(address) ?? assert.fail(), port: 4500 },
        },
      ],
    },
  );

test('a new Endpoint in a file reaches every link, whoever has read the file meanwhile', async () => {
  const { seedfile, additional } = options;
  await writePeer('192.0.2.1:51820');
  await lifecycle.createNetwork(network({ options: { seedfile, additional, conffile: 'hub.conf' } }));
  await run('e1', '192.168.5.2/24');
  // Another container reads it.
  await writePeer('192.0.2.2:51820');
  await run('e2', '192.168.5.3/24');
  const ofE1 = links.hold('change');
  const failed = reload.reload([]);
  assert.equal(await Promise.race([ofE1.then(() => 'changed'), failed.then(() => 'left')]), 'changed');
  // A kill, and a driver that reads it before it goes on with the reload.
  await start();
  await lifecycle.protectAll();
  await reload.resume();
  assert.deepEqual(['e1', 'e2'].map(hubOf), ['192.0.2.2 51820', '192.0.2.2 51820']);
  // Edited while there was no driver.
  await writePeer('192.0.2.3:51820');
  await start();
  await lifecycle.protectAll();
  await reload.reload([]);
  assert.deepEqual(['e1', 'e2'].map(hubOf), ['192.0.2.3 51820', '192.0.2.3 51820']);
});

test('a hub that has moved by itself stays where WireGuard has found it, while its file says the same', async () => {
  const { seedfile, additional } = options;
  await writePeer('192.0.2.1:51820');
  await lifecycle.createNetwork(network({ options: { seedfile, additional, conffile: 'hub.conf' } }));
  await run('e1', '192.168.5.2/24');
  await roam('e1', '198.51.100.7');
  await reload.reload([]);
  assert.equal(hubOf('e1'), '198.51.100.7 4500');
  // With a new driver one reload trusts the file, and those that follow do not.
  await start();
  await reload.reload([]);
  assert.equal(hubOf('e1'), '192.0.2.1 51820');
  await roam('e1', '198.51.100.7');
  await reload.reload([]);
  assert.equal(hubOf('e1'), '198.51.100.7 4500');
});

test('a file that got the key of a running tunnel is refused, by reload and for a container that starts', async () => {
  const onePeer = (id: string) =>
    network({ id, subnets: [['0.0.0.0/0', '']], options: { conffile: `${id}.conf` } });
  await writePeer('192.0.2.1:51820', 'a.conf', oneKey);
  await writePeer('192.0.2.1:51820', 'b.conf', twoKey);
  await lifecycle.createNetwork(onePeer('a'));
  await lifecycle.createNetwork(onePeer('b'));
  await run('e1', '10.64.0.7/32', 'a');
  await run('e2', '10.64.0.7/32', 'b');
  const copyOfA = () => writePeer('192.0.2.1:51820', 'b.conf', oneKey);
  for (const isSameDriver of [true, false]) {
    await copyOfA();
    if (!isSameDriver) {
      await start();
    }
    const reloaded = await reload.reload([]);
    const failuresOf = (id: string) =>
      reloaded.find(({ networkId }) => networkId === id)?.failures ?? assert.fail();
    assert.deepEqual(failuresOf('a'), []);
    assert.match(
      failuresOf('b')[0]?.cause ?? '',
      /^configuration file b\.conf: a running tunnel of network a has the same PrivateKey, .* a file of its own$/,
    );
    assert.deepEqual(['e1', 'e2'].map(keyOf), [oneKey, twoKey].map(publicKeyOf));
  }
  links.giveBack(linkName('e2'));
  await lifecycle.deleteEndpoint('e2');
  await assert.rejects(
    run('e3', '10.64.0.7/32', 'b'),
    /a running tunnel of network a has the same PrivateKey/,
  );
  assert.deepEqual([...links.present.keys()], []);
  // Two that change places would both have one key for a moment.
  await lifecycle.deleteEndpoint('e3');
  await writePeer('192.0.2.1:51820', 'b.conf', twoKey);
  await run('e4', '10.64.0.7/32', 'b');
  await copyOfA();
  await writePeer('192.0.2.1:51820', 'a.conf', twoKey);
  assert.deepEqual(
    (await reload.reload([])).map(({ failures }) => failures.length),
    [1, 1],
  );
  // Without the one container the other may.
  links.giveBack(linkName('e1'));
  await lifecycle.deleteEndpoint('e1');
  assert.equal((await reload.reload(['b']))[0]?.newKeys, 1);
});
