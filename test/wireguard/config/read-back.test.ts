// What the configuration writers write, read by the programs that it is for.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { type Address, formatPrefix, masked, parseAddress } from '../../../src/wireguard/address.ts';
import { setconf } from '../../../src/wireguard/config/setconf.ts';
import { wgQuick, wgSetconf } from '../../../src/wireguard/config/wg-quick.ts';
import { readWgQuick } from '../../../src/wireguard/config/wg-quick-reader.ts';
import { type Device, formatEndpoint, type Peer } from '../../../src/wireguard/device.ts';
import { clamp, type PresharedKey, PrivateKey, publicKeyOf } from '../../../src/wireguard/key.ts';
import { anyIpv4, anyIpv6, anyPrefix } from '../../support/addresses.ts';
import { enterFreshNamespace } from '../../support/fresh-namespace.ts';
import {
  hub,
  ownPublicKeyText,
  prefix,
  privateKeyText,
  publicKeyTexts,
  whole,
  withoutKey,
} from '../../support/hubs.ts';
import { shapes } from '../../support/shapes.ts';

const { skip } = await enterFreshNamespace('wg', 'wg-quick', 'wireguard-go');
const link = 'wgtest';
const folder = mkdtempSync(join(tmpdir(), 'wgdriver-config-'));
const file = join(folder, `${link}.conf`);

before(() => {
  if (skip === undefined) {
    execFileSync('wireguard-go', [link], { stdio: 'ignore' });
  }
});
after(() => {
  if (skip === undefined) {
    execFileSync('ip', ['link', 'delete', link]);
  }
  execFileSync('rm', ['-r', folder]);
});

const none = { presharedKey: '(none)', endpoint: '(none)', keepalive: 'off' };

test('`wg setconf` takes the hub’s file', { skip }, async () => {
  feed('setconf', await whole(wgSetconf(hub)));
  assert.deepEqual(dump(), {
    privateKey: privateKeyText,
    publicKey: ownPublicKeyText,
    listenPort: '51820',
    fwmark: 'off',
    peers: new Map([
      [publicKeyTexts[0], { ...none, allowedIps: ['192.168.5.2/32'] }],
      [publicKeyTexts[1], { ...none, allowedIps: ['192.168.5.3/32', 'fd00::3/128'] }],
    ]),
  });
});

test('`wg syncconf` of a file with fewer peers removes the others', { skip }, async () => {
  feed('setconf', await whole(wgSetconf(hub)));
  feed('syncconf', await whole(wgSetconf({ ...hub, peers: hub.peers.slice(1) })));
  assert.deepEqual([...dump().peers.keys()], [publicKeyTexts[1]]);
});

test('`wg addconf` takes the hub’s file without a key, and leaves the key', { skip }, async () => {
  feed('setconf', await whole(wgSetconf({ ...hub, peers: [] })));
  feed('addconf', await whole(wgSetconf(withoutKey(hub))));
  assert.equal(dump().privateKey, privateKeyText);
  assert.equal(dump().peers.size, 2);
});

test('wg-quick reads its file, and passes on to wg what is wg’s', { skip }, async () => {
  writeFileSync(file, await whole(wgQuick(hub)), { mode: 0o600 });
  const stripped = execFileSync('wg-quick', ['strip', file], { encoding: 'utf8' });
  assert.doesNotMatch(stripped, /Address|PostUp|Table/);
  feed('setconf', stripped);
  const fromQuick = dump();
  feed('setconf', await whole(wgSetconf(hub)));
  assert.deepEqual(fromQuick, dump());
});

for (const { who, text } of shapes) {
  test(`what readWgQuick reads in a file as of ${who} is what wg-quick and wg read`, { skip }, () => {
    // wg-quick knows no byte order mark, and nobody resolves names here.
    const readable = text.replace('\ufeff', '').replace(/(?<=Endpoint = ?)[a-z][\w.-]+(?=:)/, '192.0.2.99');
    writeFileSync(file, readable, { mode: 0o600 });
    feed('setconf', execFileSync('wg-quick', ['strip', file], { encoding: 'utf8' }));
    const theirs = dump();
    const ours = readWgQuick(readable);
    assert.equal(theirs.privateKey, ours.privateKey?.toBase64());
    if (ours.listenPort) {
      assert.equal(theirs.listenPort, String(ours.listenPort));
    }
    assert.equal(Number(theirs.fwmark.replace('off', '0')), ours.fwmark ?? 0);
    const peers = ours.peers.map(({ endpoint, ...peer }) => {
      const address = endpoint && parseAddress(endpoint.host);
      return endpoint && address ? { ...peer, endpoint: { address, port: endpoint.port } } : peer;
    });
    assert.deepEqual(theirs.peers, expectedPeers({ peers }));
  });
}

test('wg-quick brings the hub up without a key yet, and where /proc/sys cannot be written', {
  skip,
}, async () => {
  const name = 'wgquick';
  const path = join(folder, `${name}.conf`);
  const key = join(folder, 'hub.key');
  const file = { ...withoutKey(hub), listenPort: 51821, privateKeyFile: key };
  writeFileSync(path, await whole(wgQuick(file)), { mode: 0o600 });
  execFileSync('sh', ['-c', 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys']);
  const quick = (verb: string) => spawnSync('wg-quick', [verb, path], { encoding: 'utf8' });
  try {
    const { status, stderr } = quick('up');
    assert.equal(status, 0, stderr);
    assert.match(
      stderr,
      /^wgdriver: wgquick has no private key yet: put it into .*hub\.key, and run wg set wgquick/m,
    );
    assert.match(
      stderr,
      /^wgdriver: containers reach wgquick alone until net\/ipv4\/conf\/wgquick\/forwarding is 1/m,
    );
    const shown = execFileSync('wg', ['show', name, 'peers'], { encoding: 'utf8' });
    assert.deepEqual(shown.trim().split('\n').sort(), [...publicKeyTexts].sort());
    assert.match(
      execFileSync('ip', ['address', 'show', name], { encoding: 'utf8' }),
      /inet 192\.168\.5\.1\/24/,
    );
    // One route, of the subnet, and none of each peer.
    const routes = execFileSync('ip', ['route', 'show', 'dev', name], { encoding: 'utf8' });
    assert.equal(routes.trim().split('\n').length, 1, routes);
    quick('down');
    writeFileSync(key, privateKeyText, { mode: 0o600 });
    assert.equal(quick('up').status, 0);
    const publicKey = execFileSync('wg', ['show', name, 'public-key'], { encoding: 'utf8' });
    assert.equal(publicKey.trim(), ownPublicKeyText);
  } finally {
    quick('down');
    execFileSync('umount', ['/proc/sys']);
  }
});

test('wg-quick gives what is kept and outside the subnets its routes, and our peers none of their own', {
  skip,
}, async () => {
  const name = 'wgkept';
  const path = join(folder, `${name}.conf`);
  const text = ['[Peer]', `PublicKey = ${ownPublicKeyText}`];
  const peer = (...allowedIps: string[]) => ({
    text: [...text, `AllowedIPs = ${allowedIps.join(', ')}`],
    allowedIps: allowedIps.map(prefix),
  });
  const write = async (...allowedIps: string[]) =>
    whole(wgQuick({ ...hub, listenPort: 51822, kept: { interfaceLines: [], peers: [peer(...allowedIps)] } }));
  writeFileSync(path, await write('10.9.0.0/24', 'fd09::/64', '192.168.5.9/32'), { mode: 0o600 });
  const quick = (verb: string) => spawnSync('wg-quick', [verb, path], { encoding: 'utf8' });
  try {
    const { status, stderr } = quick('up');
    assert.equal(status, 0, stderr);
    assert.doesNotMatch(stderr, /^wgdriver: wgkept has no route/m);
    const routes = (family: string) =>
      execFileSync('ip', [family, 'route', 'show', 'dev', name], { encoding: 'utf8' })
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[0])
        .filter((destination) => destination !== 'fe80::/64');
    assert.deepEqual(routes('-4').sort(), ['10.9.0.0/24', '192.168.5.0/24']);
    assert.deepEqual(routes('-6'), ['fd09::/64']);
  } finally {
    quick('down');
  }
  // A default route needs wg-quick's own rules and table.
  assert.doesNotMatch(await write('0.0.0.0/0'), /Table|route add/);
});

const anyKey = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => new PrivateKey(clamp(bytes)));
const anyPeer = fc.record(
  {
    publicKey: anyKey.map(publicKeyOf),
    endpoint: fc.record({
      address: fc.oneof(anyIpv4, anyIpv6).filter(canBeEndpoint),
      port: fc.integer({ min: 1, max: 65535 }),
    }),
    persistentKeepaliveInterval: fc.integer({ min: 0, max: 65535 }),
    allowedIps: fc.array(anyPrefix.map(masked), { minLength: 1, maxLength: 8 }),
  },
  { requiredKeys: ['publicKey', 'allowedIps'] },
);
const anyDevice: fc.Arbitrary<Device> = fc.record(
  {
    privateKey: anyKey,
    listenPort: fc.integer({ min: 1024, max: 65535 }),
    peers: fc.uniqueArray(anyPeer, { maxLength: 4, selector: ({ publicKey }) => publicKey }),
  },
  { requiredKeys: ['privateKey', 'peers'] },
) as fc.Arbitrary<Device>;

test('any device goes through `wg setconf` and comes back whole from `wg show`', { skip }, () => {
  fc.assert(
    fc.property(anyDevice, (device) => {
      feed('setconf', setconf(device));
      const shown = dump();
      assert.equal(shown.privateKey, device.privateKey.toBase64());
      assert.equal(shown.publicKey, publicKeyOf(device.privateKey));
      if (device.listenPort !== undefined) {
        assert.equal(shown.listenPort, String(device.listenPort));
      }
      assert.deepEqual(shown.peers, expectedPeers(device));
    }),
    { numRuns: 40 },
  );
});

test('a hundred peers of one key each', { skip }, async () => {
  const peers = Array.from({ length: 100 }, (_, index) => ({
    publicKey: publicKeyOf(new PrivateKey(clamp(new Uint8Array(32).fill(index)))),
    allowedIps: [prefix('192.168.5.1/32')],
  }));
  feed('setconf', await whole(wgSetconf({ ...hub, peers })));
  assert.deepEqual([...dump().peers.keys()].sort(), peers.map(({ publicKey }) => String(publicKey)).sort());
});

function feed(verb: 'setconf' | 'syncconf' | 'addconf', text: string): void {
  writeFileSync(file, text, { mode: 0o600 });
  execFileSync('wg', [verb, link, file], { stdio: ['ignore', 'pipe', 'pipe'] });
}

interface ShownPeer {
  readonly presharedKey: string;
  readonly endpoint: string;
  readonly allowedIps: string[];
  readonly keepalive: string;
}

/** `wg show LINK dump` (wg(8)): tabs between fields, the first line the interface's. */
function dump() {
  const [own = '', ...lines] = execFileSync('wg', ['show', link, 'dump'], { encoding: 'utf8' })
    .trimEnd()
    .split('\n');
  const [privateKey, publicKey, listenPort, fwmark = ''] = own.split('\t');
  const peers = new Map<string, ShownPeer>();
  for (const line of lines) {
    const [key = '', presharedKey = '', endpoint = '', allowedIps = '', , , , keepalive = ''] =
      line.split('\t');
    peers.set(key, { presharedKey, endpoint, allowedIps: allowedIps.split(',').sort(), keepalive });
  }
  return { privateKey, publicKey, listenPort, fwmark, peers };
}

/** What WireGuard keeps: an allowed IP belongs to the last peer that asked for it. */
function expectedPeers({
  peers,
}: {
  readonly peers: readonly (Peer & { readonly presharedKey?: PresharedKey })[];
}): Map<string, ShownPeer> {
  const owners = new Map<string, string>();
  for (const { publicKey, allowedIps } of peers) {
    for (const prefix of allowedIps) {
      owners.set(formatPrefix(prefix), publicKey);
    }
  }
  return new Map(
    peers.map(({ publicKey, presharedKey, endpoint, persistentKeepaliveInterval: keepalive }) => {
      const allowedIps = [...owners].filter(([, owner]) => owner === publicKey).map(([text]) => text);
      return [
        publicKey,
        {
          presharedKey: presharedKey?.toBase64() ?? '(none)',
          endpoint: endpoint === undefined ? '(none)' : formatEndpoint(endpoint),
          allowedIps: allowedIps.length === 0 ? ['(none)'] : allowedIps.sort(),
          keepalive: keepalive === undefined || keepalive === 0 ? 'off' : String(keepalive),
        },
      ];
    }),
  );
}

/** wg prints an IPv4-mapped endpoint as IPv4, and a link-local one with its zone. */
function canBeEndpoint(address: Address): boolean {
  return address.kind() === 'ipv4' || address.range() === 'unicast' || address.range() === 'uniqueLocal';
}
