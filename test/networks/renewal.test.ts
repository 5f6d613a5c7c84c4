import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import { hasOtherPrefixes, renewalOf } from '../../src/networks/renewal.ts';
import { prefixOf } from '../../src/wireguard/address.ts';
import { type Device, parseEndpoint } from '../../src/wireguard/device.ts';
import { clamp, PresharedKey, PrivateKey, parsePublicKey, publicKeyOf } from '../../src/wireguard/key.ts';
import type { LinkStatus, PeerStatus } from '../../src/wireguard/status.ts';

const keyOf = (n: number) => new PrivateKey(clamp(new Uint8Array(32).fill(n)));
const [own, next, hub, other] = [1, 2, 3, 4].map(keyOf) as [PrivateKey, PrivateKey, PrivateKey, PrivateKey];
const [hubKey, otherKey] = [publicKeyOf(hub), publicKeyOf(other)];
const psk = new PresharedKey(new Uint8Array(32).fill(5));
const endpoint = parseEndpoint('192.0.2.1:51820') ?? assert.fail();
const allowedIps = [prefixOf('0.0.0.0/0'), prefixOf('10.0.0.0/8')];
const none = new Set<typeof hubKey>();

function statusOf(...peers: (Partial<PeerStatus> & Pick<PeerStatus, 'publicKey'>)[]): LinkStatus {
  return {
    name: 'wg0',
    mtu: 1420,
    publicKey: publicKeyOf(own),
    listenPort: 1,
    fwmark: 0,
    peers: peers.map((peer) => ({
      hasPresharedKey: false,
      endpoint: parseEndpoint('198.51.100.9:4500'),
      persistentKeepaliveInterval: 25,
      lastHandshake: undefined,
      receivedBytes: 0,
      sentBytes: 0,
      allowedIps,
      ...peer,
    })),
  };
}
const peer = { publicKey: hubKey, endpoint, persistentKeepaliveInterval: 25, allowedIps };
const device = (privateKey: PrivateKey, ...peers: Device['peers']) => ({ privateKey, peers });

test('what is as it should be is left alone, and its endpoint is WireGuard’s own affair', () => {
  assert.equal(renewalOf(statusOf({ publicKey: hubKey }), device(own, peer), none, 'auto'), undefined);
  // `10.0.0.5/8` of a configuration file.
  const unmasked = { ...peer, allowedIps: [prefixOf('0.0.0.0/0'), prefixOf('10.0.0.5/8')] };
  assert.equal(renewalOf(statusOf({ publicKey: hubKey }), device(own, unmasked), none, 'auto'), undefined);
});

test('a new key and its preshared key in one change, and a handshake at once', () => {
  assert.deepEqual(
    renewalOf(statusOf({ publicKey: hubKey }), device(next, { ...peer, presharedKey: psk }), none, 'auto'),
    {
      privateKey: next,
      peers: [
        { publicKey: hubKey, presharedKey: psk, persistentKeepaliveInterval: 0 },
        { publicKey: hubKey, persistentKeepaliveInterval: 25 },
      ],
    },
  );
});

test('a handshake at once also where keepalives are off, which they are again', () => {
  const { persistentKeepaliveInterval: _, ...quiet } = peer;
  assert.deepEqual(
    renewalOf(
      statusOf({ publicKey: hubKey, persistentKeepaliveInterval: 0 }),
      device(next, quiet),
      none,
      'auto',
    )?.peers?.map(({ persistentKeepaliveInterval }) => persistentKeepaliveInterval),
    [0, 25, 0],
  );
});

test('a preshared key is given again, as nobody sees which one is there, and taken away', () => {
  const status = statusOf({ publicKey: hubKey, hasPresharedKey: true });
  assert.deepEqual(renewalOf(status, device(own, { ...peer, presharedKey: psk }), none, 'auto'), {
    peers: [{ publicKey: hubKey, presharedKey: psk }],
  });
  assert.deepEqual(renewalOf(status, device(own, peer), none, 'auto'), {
    peers: [{ publicKey: hubKey, presharedKey: 'none' }],
  });
});

test('peers that come, go, move, and change hands', () => {
  const status = statusOf({ publicKey: hubKey });
  const instead = { ...peer, publicKey: otherKey };
  assert.deepEqual(renewalOf(status, device(own, instead), none, 'auto'), {
    peers: [
      { publicKey: hubKey, remove: true },
      { publicKey: otherKey, endpoint, allowedIps, persistentKeepaliveInterval: 0 },
      { publicKey: otherKey, persistentKeepaliveInterval: 25 },
    ],
  });
  assert.deepEqual(
    renewalOf(status, device(own, peer), new Set([hubKey]), 'auto')?.peers?.[0]?.endpoint,
    endpoint,
  );
  assert.deepEqual(
    renewalOf(status, device(own, { ...peer, persistentKeepaliveInterval: 7 }), none, 'auto'),
    {
      peers: [{ publicKey: hubKey, persistentKeepaliveInterval: 7 }],
    },
  );
  const [all = assert.fail(), some = assert.fail()] = allowedIps;
  assert.deepEqual(
    renewalOf(
      statusOf({ publicKey: hubKey, allowedIps: [all] }, { publicKey: otherKey, allowedIps: [some] }),
      device(own, { ...peer, allowedIps: [some] }, { ...instead, allowedIps: [all] }),
      none,
      'auto',
    )?.peers?.map(({ allowedIps: given }) => given),
    [[some], [all]],
  );
});

test('other prefixes than the routes are for are seen, at whichever peer they are', () => {
  const status = statusOf({ publicKey: hubKey });
  assert(
    hasOtherPrefixes(status, device(next, { ...peer, allowedIps: [...allowedIps, prefixOf('fd00::/8')] })),
  );
  const [all = assert.fail(), some = assert.fail()] = allowedIps;
  const moved = [peer, { ...peer, publicKey: otherKey }].map((each, index) => ({
    ...each,
    allowedIps: [index === 0 ? some : all],
  }));
  assert(!hasOtherPrefixes(status, device(next, ...moved)));
});

test('a mark and a port that the file has now; without a port the link keeps its own', () => {
  const status = statusOf({ publicKey: hubKey });
  const change = renewalOf(status, { ...device(own, peer), fwmark: 7, listenPort: 51820 }, none, 'auto');
  assert.deepEqual(change, { fwmark: 7, listenPort: 51820, peers: [] });
  assert.deepEqual(renewalOf({ ...status, fwmark: 7 }, device(own, peer), none, 'auto'), {
    fwmark: 0,
    peers: [],
  });
});

test('an MTU that the file has now; one that is computed is none of it', () => {
  const status = statusOf({ publicKey: hubKey });
  assert.deepEqual(renewalOf(status, device(own, peer), none, 1300), { mtu: 1300, peers: [] });
  for (const [known, mtu] of [
    [status, 1420],
    [{ ...status, mtu: 1300 }, 'auto'],
    // Nobody can tell what it is, nor change it.
    [{ ...status, mtu: undefined }, 1300],
  ] as const) {
    assert.equal(renewalOf(known, device(own, peer), none, mtu), undefined);
  }
});

test('20,000 peers are compared in less than two seconds of the processor’s', () => {
  const peers = Array.from({ length: 20_000 }, (_, index) => {
    const bytes = Buffer.alloc(32);
    bytes.writeUInt32BE(index + 1);
    const publicKey = parsePublicKey(bytes.toString('base64')) ?? assert.fail();
    return { ...peer, publicKey, allowedIps: [] };
  });
  const status = statusOf(...peers);
  const before = process.cpuUsage();
  assert.equal(renewalOf(status, device(own, ...peers), none, 'auto'), undefined);
  const { user } = process.cpuUsage(before);
  assert(user < 2e6, `${user} µs`);
});
