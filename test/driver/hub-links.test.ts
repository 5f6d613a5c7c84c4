import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { createHubLinks, type HubLinks } from '../../src/driver/hub-links.ts';
import { createHubNames } from '../../src/driver/hub-names.ts';
import { createLifecycle, type Lifecycle } from '../../src/driver/lifecycle.ts';
import { readSecrets } from '../../src/driver/secrets.ts';
import { openStore, type Store } from '../../src/state/store.ts';
import { formatPrefix, parseAddress, prefixOf } from '../../src/wireguard/address.ts';
import { encodeBase64 } from '../../src/wireguard/base64.ts';
import { clamp, PrivateKey, type PublicKey, publicKeyOf } from '../../src/wireguard/key.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import { network } from '../support/networks.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { recordingGateways } from '../support/recording-gateways.ts';
import { recordingGuard } from '../support/recording-guard.ts';
import { type RecordingLinks, recordingLinks } from '../support/recording-links.ts';
import { usualUplinks } from '../support/uplinks.ts';

/** The article's worked example. */
const options = {
  hublink: 'wg-hub',
  seed: 'dGVzdHNlZWQK',
  additional: 'dGVzdGFkZGl0aW9uYWwK',
};
const firstKey = '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=';
const hubKey = new PrivateKey(clamp(randomBytes(32)));
const laptop = encodeBase64(randomBytes(32)) as PublicKey;

let folder: string;
let links: RecordingLinks;
let lifecycle: Lifecycle;
let hubLinks: HubLinks;
let store: Store;
/** How often the files of a network or of an endpoint were read. */
let reads = 0;
const log = recordedLog();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-hub-links-'));
  links = recordingLinks();
  await makeHub();
  await start();
  await lifecycle.createNetwork(network({ options }));
  await lifecycle.createEndpoint(endpoint('e1', '192.168.5.2/24'));
});
afterEach(() => rm(folder, { recursive: true }));

async function makeHub(): Promise<void> {
  await links.create({ name: 'wg-hub', mtu: 1420, endpointId: '' });
  await links.configure('wg-hub', {
    privateKey: hubKey,
    listenPort: 4500,
    peers: [{ publicKey: laptop, allowedIps: [prefixOf('192.168.5.99/32')] }],
  });
}

async function start(): Promise<void> {
  const addressesOf = () => [parseAddress('192.168.5.1') ?? assert.fail()];
  store = await openStore(folder, log);
  hubLinks = createHubLinks({ links, store, log, hasIpv6: true, addressesOf });
  lifecycle = createLifecycle({
    store,
    links,
    guard: recordingGuard(),
    gateways: recordingGateways(),
    hubNames: createHubNames({ resolve: async (host) => [parseAddress(host) ?? assert.fail()], log }),
    hubLinks,
    log,
    hasIpv6: true,
    secretsFolder: folder,
    uplinksTo: usualUplinks,
  });
}

function endpoint(endpointId: string, ...addresses: string[]) {
  return { endpointId, networkId: 'network', addresses: addresses.map(prefixOf) };
}

const hubPeers = () =>
  (links.present.get('wg-hub')?.device?.peers ?? []).map(
    ({ publicKey, allowedIps }) => `${publicKey} ${allowedIps.map(formatPrefix).join()}`,
  );
const withLaptop = (...others: string[]) => [`${laptop} 192.168.5.99/32`, ...others];
const check = (read = readSecrets) =>
  hubLinks.check({ endpoints: lifecycle.endpoints, networks: store.networks }, (asked, own) => {
    reads += 1;
    return read(asked, folder, own);
  });
const warnings = () => log.lines.filter(({ level }) => level === 'warn').map(({ fields }) => fields.cause);
/** Where the container of a peer was reached. */
const reachedAt = (host: string) => ({
  endpoint: { address: parseAddress(host) ?? assert.fail(), port: 40_000 },
});

test('a container’s peer is on the hub’s link before its own link is handed over, and goes with it', async () => {
  const { link, tunnel } = await lifecycle.join('network', 'e1', '');
  assert.deepEqual(hubPeers(), withLaptop(`${firstKey} 192.168.5.2/32`));
  const [peer] = links.present.get(link)?.device?.peers ?? [];
  assert.equal(peer?.publicKey, publicKeyOf(hubKey));
  assert.deepEqual(tunnel.peers[0]?.endpoint, { host: '127.0.0.1', port: 4500 });
  assert.equal(peer.endpoint?.port, 4500);
  await lifecycle.deleteEndpoint('e1');
  assert.deepEqual(hubPeers(), withLaptop());
});

test('an address that another peer has refuses the Join, and leaves nothing', async () => {
  await lifecycle.createEndpoint(endpoint('e2', '192.168.5.99/24'));
  await assert.rejects(
    lifecycle.join('network', 'e2', ''),
    new RegExp(
      `hublink=wg-hub: peer ${laptop.replaceAll('+', '\\+')} of the link already has 192\\.168\\.5\\.99/32;`,
    ),
  );
  assert.deepEqual(hubPeers(), withLaptop());
  assert.equal(links.present.has(linkName('e2')), false);
});

test('a link that was made anew gets its peers, also from a driver that was started meanwhile', async () => {
  await lifecycle.join('network', 'e1', '');
  for (const restart of [async () => {}, start]) {
    await links.deleteRecorded('wg-hub');
    await makeHub();
    await restart();
    await check();
    assert.deepEqual(hubPeers(), withLaptop(`${firstKey} 192.168.5.2/32`));
  }
  const { length } = links.asked;
  await check();
  assert.deepEqual(links.asked.slice(length), ['read wg-hub']);
});

test('one of ours that somebody brought back goes, and nobody else’s', async () => {
  await lifecycle.createEndpoint(endpoint('e2', '192.168.5.3/24'));
  await lifecycle.join('network', 'e2', '');
  const [, second = ''] = hubPeers();
  const saved = {
    publicKey: firstKey as PublicKey,
    allowedIps: [prefixOf('192.168.5.2/32')],
    ...reachedAt('127.0.0.1'),
  };
  const broad = {
    publicKey: encodeBase64(randomBytes(32)) as PublicKey,
    allowedIps: [prefixOf('10.0.0.0/8')],
    ...reachedAt('127.0.0.1'),
  };
  await links.change({ name: 'wg-hub' }, { peers: [saved, broad] });
  await check();
  assert.deepEqual(hubPeers(), withLaptop(second, `${broad.publicKey} 10.0.0.0/8`));
});

test('a link with another key or port is told of once, and one that is being made is none', async () => {
  await lifecycle.join('network', 'e1', '');
  assert.deepEqual([await check(), await check()], [[], []]);
  await links.deleteRecorded('wg-hub');
  assert.deepEqual(await check(), []);
  await links.create({ name: 'wg-hub', mtu: 1420, endpointId: '' });
  assert.deepEqual(await check(), []);
  const privateKey = new PrivateKey(clamp(randomBytes(32)));
  for (const device of [
    { privateKey: hubKey, listenPort: 4501, peers: [] },
    { privateKey, listenPort: 4501, peers: [] },
  ]) {
    await links.configure('wg-hub', device);
    assert.deepEqual([await check(), await check()], [['network'], []]);
  }
  assert.deepEqual(hubPeers(), [`${firstKey} 192.168.5.2/32`]);
});

test('one of another host with the same seed stays, where it was reached and before', async () => {
  const other = { publicKey: firstKey as PublicKey, allowedIps: [prefixOf('192.168.5.2/32')] };
  for (const reached of [{}, reachedAt('192.0.2.7')]) {
    await links.change({ name: 'wg-hub' }, { peers: [{ ...other, ...reached }] });
    await check();
    assert.deepEqual(hubPeers(), withLaptop(`${firstKey} 192.168.5.2/32`));
  }
});

test('of a network without containers, what was left goes as well; its files are read once for all peers', async () => {
  await lifecycle.createEndpoint(endpoint('e2', '192.168.5.3/24'));
  await lifecycle.join('network', 'e1', '');
  await lifecycle.join('network', 'e2', '');
  const left = (links.present.get('wg-hub')?.device?.peers ?? []).filter(
    ({ publicKey }) => publicKey !== laptop,
  );
  await lifecycle.deleteEndpoint('e1');
  await lifecycle.deleteEndpoint('e2');
  await links.change(
    { name: 'wg-hub' },
    {
      peers: left.map(({ publicKey, allowedIps }) => ({
        publicKey,
        allowedIps,
        ...reachedAt('127.0.0.1'),
      })),
    },
  );
  assert.equal(hubPeers().length, 3);
  reads = 0;
  await check();
  assert.deepEqual(hubPeers(), withLaptop());
  assert.equal(reads, 1);
});

test('without such a network nothing is looked at', async () => {
  await lifecycle.deleteNetwork('network');
  await lifecycle.createNetwork(network({ id: 'plain' }));
  const { length } = links.asked;
  await hubLinks.check(
    { networks: store.networks, endpoints: () => assert.fail('endpoints are looked at') },
    () => assert.fail('files are read'),
  );
  assert.equal(links.asked.length, length);
});

test('a seed replaced without a reload: the peer stays as the container has it after a restart, and goes with it', async () => {
  const { seed, ...others } = options;
  await lifecycle.deleteNetwork('network');
  for (const restart of [check, async () => {}]) {
    await writeFile(join(folder, 'app.seed'), seed, { mode: 0o600 });
    await lifecycle.createNetwork(network({ options: { ...others, seedfile: 'app.seed' } }));
    await lifecycle.createEndpoint(endpoint('e1', '192.168.5.2/24'));
    await lifecycle.join('network', 'e1', '');
    await writeFile(join(folder, 'app.seed'), 'bmV3bmV3bmV3bmV3bmV3bmV3', { mode: 0o600 });
    await start();
    await restart();
    assert.deepEqual(hubPeers(), withLaptop(`${firstKey} 192.168.5.2/32`));
    await lifecycle.deleteEndpoint('e1');
    assert.deepEqual(hubPeers(), withLaptop());
    // So the address is free for the next, which has the new key.
    await lifecycle.createEndpoint(endpoint('e2', '192.168.5.2/24'));
    await lifecycle.join('network', 'e2', '');
    assert.equal(hubPeers().length, 2);
    await lifecycle.deleteNetwork('network');
    assert.deepEqual(hubPeers(), withLaptop());
  }
});

test('a container that goes while the files are read gets no peer again', async () => {
  await lifecycle.createEndpoint(endpoint('e2', '192.168.5.3/24'));
  await lifecycle.join('network', 'e1', '');
  await lifecycle.join('network', 'e2', '');
  const [, , second = ''] = hubPeers();
  await start();
  let deleted: Promise<unknown> | undefined;
  await check(async (...asked) => {
    deleted ??= lifecycle.deleteEndpoint('e1');
    await deleted;
    return readSecrets(...asked);
  });
  await links.deleteRecorded('wg-hub');
  await makeHub();
  await check();
  assert.deepEqual(hubPeers(), withLaptop(second));
});

test('what is wrong with one container is told once, however many others are well', async () => {
  const privatekeyfile = 'own.key';
  await writeFile(join(folder, privatekeyfile), hubKey.toBase64(), { mode: 0o600 });
  await lifecycle.createEndpoint({ ...endpoint('e2', '192.168.5.3/24'), options: { privatekeyfile } });
  await lifecycle.join('network', 'e2', '');
  await lifecycle.join('network', 'e1', '');
  await start();
  await rm(join(folder, privatekeyfile));
  const before = warnings().length;
  await check();
  await check();
  assert.match(String(warnings().at(-1)), /private key file .*own\.key/);
  assert.equal(warnings().length, before + 1);
});

test('a link that is missing, has no key, or not the network’s gateway', async () => {
  const make = (more: object) => hubLinks.completed(network({ options: { ...options, ...more } }));
  await assert.rejects(make({ hublink: 'wg9' }), /hublink=wg9: this host has no WireGuard link of that name/);
  await links.create({ name: 'wg8', mtu: 1420, endpointId: '' });
  await assert.rejects(make({ hublink: 'wg8' }), /hublink=wg8/);
  const having = (...texts: string[]) => {
    const addressesOf = () => texts.map((text) => parseAddress(text) ?? assert.fail());
    hubLinks = createHubLinks({ links, store, log, hasIpv6: true, addressesOf });
  };
  having('192.168.7.1');
  await assert.rejects(make({}), /gateway 192\.168\.5\.1 is not an address of the link/);
  having();
  await assert.rejects(
    make({}),
    /the link is down or has no address; give it the .* 192\.168\.5\.1, and bring/,
  );
  await links.deleteRecorded('wg-hub');
  const { length } = log.lines;
  await lifecycle.createEndpoint(endpoint('e2', '192.168.5.3/24'));
  await check();
  await check();
  assert.equal(log.lines.slice(length).filter(({ level }) => level === 'warn').length, 1);
});

test('with IPv6 in the tunnel the link has both gateways; on a kernel without IPv6 the one is enough', async () => {
  const both = network({ options: { ...options, ipv6: 'fd12:3456::/64' } });
  const having = (hasIpv6: boolean, ...addresses: string[]) => {
    const addressesOf = () => addresses.map((text) => parseAddress(text) ?? assert.fail());
    return createHubLinks({ links, store, log, hasIpv6, addressesOf }).completed(both);
  };
  const { options: completed } = await having(true, '192.168.5.1', 'fd12:3456::c0a8:501');
  assert.deepEqual(completed.peer, { host: '127.0.0.1', port: 4500 });
  await assert.rejects(
    having(true, '192.168.5.1'),
    /gateway fd12:3456::c0a8:501 is not an address of the link/,
  );
  assert.equal((await having(false, '192.168.5.1')).options.peerkey, publicKeyOf(hubKey));
  await assert.rejects(having(false, '192.168.7.1'), /gateway 192\.168\.5\.1 is not an address of the link/);
});
