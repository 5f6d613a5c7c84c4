import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { createHubLinks, type HubLinks } from '../../src/driver/hub-links.ts';
import { createHubNames } from '../../src/driver/hub-names.ts';
import { createLifecycle, type Lifecycle } from '../../src/driver/lifecycle.ts';
import { readSecrets } from '../../src/driver/secrets.ts';
import { openStore } from '../../src/state/store.ts';
import { formatPrefix, parseAddress, prefixOf } from '../../src/wireguard/address.ts';
import { encodeBase64 } from '../../src/wireguard/base64.ts';
import { clamp, PrivateKey, type PublicKey, publicKeyOf } from '../../src/wireguard/key.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import { network } from '../support/networks.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { recordingGuard } from '../support/recording-guard.ts';
import { type RecordingLinks, recordingLinks } from '../support/recording-links.ts';

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
  hubLinks = createHubLinks({ links, log, addressesOf });
  lifecycle = createLifecycle({
    store: await openStore(folder, log),
    links,
    guard: recordingGuard(),
    hubNames: createHubNames({ resolve: async (host) => [parseAddress(host) ?? assert.fail()], log }),
    hubLinks,
    log,
    secretsFolder: folder,
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
const check = () => hubLinks.check(lifecycle, (asked) => readSecrets(asked, folder));

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
      `hublink=wg-hub: peer ${laptop.replaceAll('+', '\\+')} of the link has 192\\.168\\.5\\.99/32 already`,
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
  const saved = { publicKey: firstKey as PublicKey, allowedIps: [prefixOf('192.168.5.2/32')] };
  const broad = {
    publicKey: encodeBase64(randomBytes(32)) as PublicKey,
    allowedIps: [prefixOf('10.0.0.0/8')],
  };
  await links.change({ name: 'wg-hub' }, { peers: [saved, broad] });
  await check();
  assert.deepEqual(hubPeers(), withLaptop(second, `${broad.publicKey} 10.0.0.0/8`));
});

test('a link that is missing, has no key, or not the network’s gateway', async () => {
  const make = (more: object) => hubLinks.completed(network({ options: { ...options, ...more } }));
  await assert.rejects(make({ hublink: 'wg9' }), /hublink=wg9: there is no such link on this host/);
  await links.create({ name: 'wg8', mtu: 1420, endpointId: '' });
  await assert.rejects(make({ hublink: 'wg8' }), /hublink=wg8/);
  hubLinks = createHubLinks({ links, log, addressesOf: () => [] });
  await assert.rejects(make({}), /gateway 192\.168\.5\.1 is not an address of the link/);
  await links.deleteRecorded('wg-hub');
  const { length } = log.lines;
  await lifecycle.createEndpoint(endpoint('e2', '192.168.5.3/24'));
  await check();
  await check();
  assert.equal(log.lines.slice(length).filter(({ level }) => level === 'warn').length, 1);
});
