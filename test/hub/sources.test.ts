import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decodeHubConfig } from '../../src/hub/config.ts';
import { touchedChanges } from '../../src/hub/peers.ts';
import {
  allPeers,
  filesOf,
  peerAt,
  readSources,
  refuseSharedKeys,
  type Sources,
  touchedAddresses,
} from '../../src/hub/sources.ts';
import { derivePresharedKey } from '../../src/keys/derivation.ts';
import { formatPrefix, parseAddress } from '../../src/wireguard/address.ts';
import { decodeBase64 } from '../../src/wireguard/base64.ts';
import type { PublicKey } from '../../src/wireguard/key.ts';
import { Secret } from '../../src/wireguard/secret.ts';

const folder = mkdtempSync(join(tmpdir(), 'wgdriver-sources-'));
after(() => rmSync(folder, { recursive: true }));
const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
/** The article's worked example, and a seed to come. */
const [seed, additional] = ['dGVzdHNlZWQK', 'dGVzdGFkZGl0aW9uYWwK'];
const firstKey = '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=';
write('old.seed', seed);
write('new.seed', 'bmV3c2VlZG5ld3NlZWRuZXdzZWVk');
write('additional', `bmV3\n${additional}\n`);
write('psk', 'xy/E4uqJb45RI4OKtF9q1/v+fhv7ePpq0hFPiPtlrg4=');

const configOf = (text: string) => decodeHubConfig(text, join(folder, 'hub.yaml'));
const read = (text: string, before?: Sources) => readSources(configOf(text), before);
const network = (more = '') =>
  `networks:\n  app: { subnet: 192.168.5.0/24, seedfile: old.seed, additional: ${additional}, peers: 5${more} }`;

test('a peer for each address, with the article’s keys', async () => {
  const sources = await read(network());
  assert.deepEqual(
    [...allPeers(sources)].map(({ allowedIps }) => allowedIps.map(formatPrefix).join()),
    [2, 3, 4, 5, 6].map((host) => `192.168.5.${host}/32`),
  );
  assert.deepEqual(peerAt(sources, '192.168.5.2')?.keys, [{ publicKey: firstKey }]);
});

test('subnets, ranges, exceptions, IPv6', async () => {
  const sources = await read(`networks:
  app:
    subnet: [192.168.5.0/29, 192.168.6.0/24]
    ipv6: fd12::/64
    seedfile: old.seed
    peers: [192.168.5.0/29, 192.168.6.10-192.168.6.11]
    except: 192.168.5.3-192.168.5.5
    keepalive: 25
  six: { subnet: 'fd77::/64', seedfile: old.seed, peers: 2 }`);
  assert.deepEqual(
    [...allPeers(sources)].map(({ allowedIps }) => allowedIps.map(formatPrefix).join()),
    [
      '192.168.5.2/32,fd12::c0a8:502/128',
      '192.168.5.6/32,fd12::c0a8:506/128',
      '192.168.6.10/32,fd12::c0a8:60a/128',
      '192.168.6.11/32,fd12::c0a8:60b/128',
      'fd77::2/128',
      'fd77::3/128',
    ],
  );
  assert.equal(peerAt(sources, '192.168.5.2')?.keepalive, 25);
});

test('both epochs of a seed and of an additional file, the newest first', async () => {
  const base = 'networks:\n  app: { subnet: 192.168.5.0/24, peers: 1,';
  const bySeed = await read(`${base} seedfiles: [new.seed, old.seed], additional: ${additional} }`);
  const byAdditional = await read(`${base} seedfile: old.seed, additionalfile: additional }`);
  for (const sources of [bySeed, byAdditional]) {
    const keys = peerAt(sources, '192.168.5.2')?.keys ?? [];
    assert.equal(keys.length, 2);
    assert.equal(keys[1]?.publicKey, firstKey);
    assert.notEqual(keys[0]?.publicKey, firstKey);
  }
});

test('preshared keys: derived, or one for the network', async () => {
  const derived = await read(network(', presharedkey: derived'));
  const scheme = {
    seed: new Secret(decodeBase64(seed) ?? new Uint8Array()),
    additional: decodeBase64(additional) ?? new Uint8Array(),
  };
  const address = parseAddress('192.168.5.2') ?? assert.fail();
  assert.equal(
    peerAt(derived, '192.168.5.2')?.keys[0]?.presharedKey?.toBase64(),
    derivePresharedKey(scheme, address).toBase64(),
  );
  const shared = await read(network(', presharedkeyfile: psk'));
  assert.equal(
    peerAt(shared, '192.168.5.6')?.keys[0]?.presharedKey?.toBase64(),
    'xy/E4uqJb45RI4OKtF9q1/v+fhv7ePpq0hFPiPtlrg4=',
  );
});

test('a file of public keys instead of a seed', async () => {
  const inHexadecimal = Buffer.from(firstKey, 'base64').toString('hex');
  write('keys', `ADDRESS PUBLIC KEY\n# none\n192.168.5.2  ${firstKey}\n\n`);
  const text = 'networks:\n  app: { subnet: 192.168.5.0/24, publickeysfile: keys }';
  const sources = await read(text);
  assert.deepEqual(
    [...allPeers(sources)].map(({ keys }) => keys),
    [[{ publicKey: firstKey }]],
  );
  for (const [line, expected] of [
    [`192.168.5.x ${firstKey}`, /keys:2: expected an address, its public key/],
    ['192.168.5.2', /keys:2: expected an address, its public key/],
    [`192.168.5.2 ${firstKey} ${firstKey} more`, /keys:2: expected an address, its public key/],
    [`192.168.5.2 ${firstKey.slice(1)}`, /keys:2: expected a public key, 32 bytes.*; it is cut short/],
    [`192.168.5.2 ${inHexadecimal}`, /keys:2: expected a public key, .*; it is hexadecimal/],
    [`192.168.5.2 ${firstKey} ${inHexadecimal}`, /keys:2: expected a preshared key, .*; it is hexadecimal/],
    [`192.168.9.2 ${firstKey}`, /network app: 192\.168\.9\.2 is in none of its subnets/],
    [`192.168.5.2 ${firstKey}\n192.168.5.3 ${firstKey}`, /keys:3: this public key is already in line 2/],
    // Cut off, it would take every peer away.
    ['', /file of public keys .*keys: expected lines of ADDRESS PUBLICKEY, got none/],
  ] as const) {
    write('keys', `\n${line}\n`);
    await assert.rejects(read(text), ({ message }: Error) => {
      assert.match(message, expected);
      assert(!message.includes(firstKey.slice(1, 20)) && !message.includes(inHexadecimal));
      return true;
    });
  }
});

test('`peers` and `except` count with a file of public keys, which may list clients beside them', async () => {
  const keys = [...allPeers(await read(network()))].map((peer) => peer.keys[0]?.publicKey);
  write('keys', keys.map((key, index) => `192.168.5.${index + 2} ${key}\n`).join(''));
  const text = (peers: string) =>
    `networks:\n  app: { subnet: 192.168.5.0/24, publickeysfile: keys, except: 192.168.5.3, peers: ${peers} }`;
  const addresses = async (peers: string) =>
    [...allPeers(await read(text(peers)))].map(({ allowedIps }) => allowedIps.map(formatPrefix).join());
  assert.deepEqual(await addresses('2'), ['192.168.5.2/32', '192.168.5.4/32']);
  assert.deepEqual(await addresses('[192.168.5.3-192.168.5.4, 192.168.5.6]'), [
    '192.168.5.4/32',
    '192.168.5.6/32',
  ]);
  const clients = '\nclients: { pc: { address: 192.168.5.3 }, phone: { address: 192.168.5.6 } }';
  const sources = await read(text('2') + clients);
  assert.deepEqual(
    ['192.168.5.3', '192.168.5.6'].map((address) => peerAt(sources, address)?.keys),
    [[{ publicKey: keys[1] }], [{ publicKey: keys[4] }]],
  );
});

test('a client’s key that is another peer’s or the hub’s own', async () => {
  const refuse = async (client: string, hubKey?: string) => {
    const config = configOf(`${network()}\nclients: { pc: { ${client} } }`);
    refuseSharedKeys(config, await readSources(config), hubKey as PublicKey);
  };
  // In the container's place it is the only one.
  await refuse(`address: 192.168.5.2, publickey: ${firstKey}`);
  await assert.rejects(
    refuse(`address: 192.168.5.9, publickey: ${firstKey}`),
    /client pc: 192\.168\.5\.2 and 192\.168\.5\.9 both have its publickey: each needs its own/,
  );
  await assert.rejects(
    refuse(`address: 192.168.5.2, publickey: ${firstKey}`, firstKey),
    /client pc has the hub’s own public key: expected the peer’s/,
  );
  await assert.rejects(
    refuse('address: 192.168.5.9', firstKey),
    /the peer at 192\.168\.5\.2 has the hub’s own public key/,
  );
});

test('a new seed that is a copy of the old one makes no second key', async () => {
  write('copy.seed', `${seed}\n`);
  const sources = await read(network().replace('seedfile: old.seed', 'seedfiles: [copy.seed, old.seed]'));
  assert.deepEqual(peerAt(sources, '192.168.5.2')?.keys, [{ publicKey: firstKey }]);
  assert.equal(sources.networks.get('app')?.isRotating, false);
});

test('a client in a container’s place, with its own key or the one that is derived', async () => {
  const own = 'L4pT5gXVcyoK5xRkC5GM4uEfz2e0BkOUQ6Xo1+1q2jU=';
  const sources = await read(`${network()}
clients:
  laptop: { address: 192.168.5.3, publickey: ${own}, keepalive: 25, allowedips: 10.7.0.0/16 }
  phone: { address: 192.168.5.200 }
  first: { address: 192.168.5.2 }`);
  assert.equal([...allPeers(sources)].length, 6);
  const laptop = peerAt(sources, '192.168.5.3');
  assert.deepEqual(laptop?.keys, [{ publicKey: own }]);
  assert.deepEqual(laptop.allowedIps.map(formatPrefix), ['192.168.5.3/32', '10.7.0.0/16']);
  assert.equal(laptop.keepalive, 25);
  assert.equal(peerAt(sources, '192.168.5.2')?.keys[0]?.publicKey, firstKey);
  assert.equal(peerAt(sources, '192.168.5.200')?.keys.length, 1);
});

test('a client of several addresses stands in the place of each container that would have one', async () => {
  const own = 'L4pT5gXVcyoK5xRkC5GM4uEfz2e0BkOUQ6Xo1+1q2jU=';
  const base = network(", ipv6: 'fd12::/64'");
  const before = await read(base);
  const after = await read(
    `${base}\nclients: { laptop: { address: [192.168.5.3, 192.168.5.5], publickey: ${own} } }`,
    before,
  );
  const owners = [...allPeers(after)].flatMap(({ allowedIps }) => allowedIps.map(formatPrefix));
  assert.equal(new Set(owners).size, owners.length);
  assert.equal(peerAt(after, '192.168.5.5'), peerAt(after, '192.168.5.3'));
  assert.deepEqual(peerAt(after, '192.168.5.5')?.allowedIps.map(formatPrefix), [
    '192.168.5.3/32',
    'fd12::c0a8:503/128',
    '192.168.5.5/32',
    'fd12::c0a8:505/128',
  ]);
  const changes = touchedChanges(
    [...touchedAddresses(before, after)].map((address) => [peerAt(before, address), peerAt(after, address)]),
  );
  assert.deepEqual(
    changes.map(({ publicKey, remove = false }) => [publicKey === own, remove]),
    [
      [false, true],
      [false, true],
      [true, false],
    ],
  );
});

test('a client’s own preshared key counts, also beside a file of public keys', async () => {
  write('keys', `192.168.5.2 ${firstKey}\n`);
  const sources = await read(`networks:\n  app: { subnet: 192.168.5.0/24, publickeysfile: keys }
clients: { phone: { address: 192.168.5.2, presharedkeyfile: psk } }`);
  assert.equal(
    peerAt(sources, '192.168.5.2')?.keys[0]?.presharedKey?.toBase64(),
    'xy/E4uqJb45RI4OKtF9q1/v+fhv7ePpq0hFPiPtlrg4=',
  );
});

test('one more client touches its own address alone, and derives nothing anew', async () => {
  const before = await read(network());
  const after = await read(`${network()}\nclients: { pc: { address: 192.168.5.4 } }`, before);
  assert.equal(before.networks.get('app'), after.networks.get('app'));
  assert.deepEqual([...touchedAddresses(before, after)], ['192.168.5.4']);
  assert.deepEqual([...touchedAddresses(before, await read(network(), before))], []);
  const more = await read(network().replace('peers: 5', 'peers: 6'), before);
  assert.equal([...touchedAddresses(before, more)].length, 6);
});

test('a file that is missing or wrong is named, and what is in it is not', async () => {
  for (const [text, expected] of [
    [network().replace('old.seed', 'none.seed'), /seed file .*none\.seed: there is no such file \(ENOENT\)/],
    [
      network().replace('peers: 5', 'presharedkeyfile: additional'),
      /preshared key file .*: expected a preshared key, 32 bytes/,
    ],
    [
      'networks: { app: { subnet: 10.0.0.0/24, seedfile: old.seed, additionalfile: hub.yaml } }',
      /additional file/,
    ],
    ['networks: { app: { subnet: 10.0.0.0/8, seedfile: old.seed } }', /at most 1048576 addresses.*`peers`/],
  ] as const) {
    await assert.rejects(read(text), expected);
  }
});

test('the files to watch', () => {
  const config = configOf(`networks:
  a: { subnet: 10.1.0.0/24, seedfiles: [n, o], additionalfile: x, presharedkeyfile: p }
  b: { subnet: 10.2.0.0/24, publickeysfile: k }
clients: { c: { address: 10.1.0.9, presharedkeyfile: q } }`);
  assert.deepEqual(
    filesOf(config).map((file) => file.slice(folder.length + 1)),
    ['n', 'o', 'x', 'p', 'k', 'q'],
  );
});
