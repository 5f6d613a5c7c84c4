import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  holderOf,
  moveChanges,
  movesOf,
  type PresentPeers,
  peerChanges,
  rotationsOf,
  type WantedPeer,
} from '../../src/hub/peers.ts';
import { formatPrefix, prefixOf } from '../../src/wireguard/address.ts';
import { encodeBase64 } from '../../src/wireguard/base64.ts';
import type { PeerChange } from '../../src/wireguard/change.ts';
import { PresharedKey, type PublicKey } from '../../src/wireguard/key.ts';
import { byPublicKey, type PeerStatus } from '../../src/wireguard/status.ts';

const keyOf = (number: number) => encodeBase64(new Uint8Array(32).fill(number)) as PublicKey;
const [newest, middle, oldest, other] = [1, 2, 3, 4].map(keyOf) as [
  PublicKey,
  PublicKey,
  PublicKey,
  PublicKey,
];
const presharedKey = new PresharedKey(new Uint8Array(32).fill(9));
const allowedIps = [prefixOf('192.168.5.2/32'), prefixOf('fd12::c0a8:502/128')];
const none: ReadonlySet<PublicKey> = new Set();

function wanted(...keys: PublicKey[]): WantedPeer {
  return { allowedIps, keys: keys.map((publicKey) => ({ publicKey })) };
}

function status(publicKey: PublicKey, more: Partial<PeerStatus> = {}): PeerStatus {
  return {
    publicKey,
    hasPresharedKey: false,
    endpoint: undefined,
    persistentKeepaliveInterval: 0,
    lastHandshake: undefined,
    receivedBytes: 0,
    sentBytes: 0,
    allowedIps: [],
    ...more,
  };
}

const present = (...peers: PeerStatus[]): PresentPeers => byPublicKey(peers);
const changes = (
  ...[peers, there, moved = none, withPresharedKeys = false]: [
    readonly WantedPeer[],
    PresentPeers,
    ReadonlySet<PublicKey>?,
    boolean?,
  ]
): PeerChange[] => [...peerChanges(peers, there, moved, withPresharedKeys)];

test('a link without peers gets what is wanted', () => {
  const peer = { ...wanted(newest), keepalive: 25, keys: [{ publicKey: newest, presharedKey }] };
  assert.deepEqual(changes([peer], present()), [
    { publicKey: newest, presharedKey, persistentKeepaliveInterval: 25, allowedIps },
  ]);
});

test('what is there already is not touched, in whatever order its prefixes are', () => {
  const there = present(status(newest, { allowedIps: allowedIps.toReversed(), lastHandshake: new Date() }));
  assert.deepEqual(changes([wanted(newest)], there), []);
});

test('what nobody wants goes', () => {
  assert.deepEqual(changes([], present(status(other, { allowedIps }))), [{ publicKey: other, remove: true }]);
});

test('a set that was interrupted is completed', () => {
  const peers = [newest, middle, oldest].map((key, index) => ({
    ...wanted(key),
    allowedIps: [prefixOf(`192.168.5.${index + 2}/32`)],
  }));
  const there = present(status(newest, { allowedIps: peers[0]?.allowedIps ?? [] }), status(middle));
  assert.deepEqual(
    changes(peers, there).map(({ publicKey }) => publicKey),
    [middle, oldest],
  );
});

test('what differs of a peer, and nothing else', () => {
  const there = present(
    status(newest, { allowedIps, persistentKeepaliveInterval: 25, hasPresharedKey: true }),
  );
  assert.deepEqual(changes([wanted(newest)], there), [
    { publicKey: newest, presharedKey: 'none', persistentKeepaliveInterval: 0 },
  ]);
});

test('a preshared key cannot be seen: it is given again when it may have changed', () => {
  const there = present(status(newest, { allowedIps, hasPresharedKey: true }));
  const peer = { ...wanted(newest), keys: [{ publicKey: newest, presharedKey }] };
  assert.deepEqual(changes([peer], there, none, false), []);
  assert.deepEqual(changes([peer], there, none, true), [{ publicKey: newest, presharedKey }]);
});

test('of two keys the newer one is there without addresses, until it has shown itself', () => {
  const peer = wanted(newest, oldest);
  const summary = (list: readonly PeerChange[]) =>
    list.map((change) => [change.publicKey, change.remove ?? change.allowedIps?.map(formatPrefix)]);
  const all = allowedIps.map(formatPrefix);
  assert.deepEqual(summary(changes([peer], present())), [
    [newest, []],
    [oldest, all],
  ]);
  const shaken = present(
    status(newest, { lastHandshake: new Date() }),
    status(oldest, { allowedIps, lastHandshake: new Date() }),
  );
  assert.deepEqual(summary(changes([peer], shaken)), [
    [newest, all],
    [oldest, true],
  ]);
});

test('the holder: whoever is newest and has been seen, remembered, or has the addresses', () => {
  const { keys } = wanted(newest, middle, oldest);
  assert.equal(holderOf(keys, present(), none), 2);
  assert.equal(holderOf(keys, present(status(newest), status(middle)), none), 2);
  assert.equal(holderOf(keys, present(status(middle, { lastHandshake: new Date() })), none), 1);
  assert.equal(holderOf(keys, present(status(newest, { allowedIps })), none), 0);
  // Never back: after a boot nothing is present, and the older key may have leaked.
  assert.equal(holderOf(keys, present(), new Set([newest])), 0);
  const oldSpeaks = present(status(oldest, { lastHandshake: new Date(), allowedIps }));
  assert.equal(holderOf(keys, oldSpeaks, new Set([middle])), 1);
});

test('who has to be watched, and what moves', () => {
  const peer = wanted(newest, middle, oldest);
  const peers = [peer, wanted(other)];
  assert.deepEqual(rotationsOf([wanted(other)], present(), none), []);
  const rotations = rotationsOf(peers, present(), none);
  assert.deepEqual(rotations, [{ peer, holder: 2 }]);
  assert.deepEqual(movesOf(rotations, present(status(newest), status(oldest))), []);
  const [move] = movesOf(rotations, present(status(middle, { lastHandshake: new Date() })));
  assert.equal(move?.to, 1);
  assert.deepEqual(moveChanges(move), [
    { publicKey: middle, allowedIps },
    { publicKey: oldest, remove: true },
  ]);
  assert.deepEqual(rotationsOf(peers, present(), new Set([middle])), [{ peer, holder: 1 }]);
  assert.deepEqual(rotationsOf(peers, present(), new Set([newest])), []);
});

test('the oldest that speaks moves nothing', () => {
  const rotations = rotationsOf([wanted(newest, oldest)], present(), none);
  assert.deepEqual(movesOf(rotations, present(status(oldest, { lastHandshake: new Date() }))), []);
});
