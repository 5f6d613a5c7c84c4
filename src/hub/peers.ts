import { type Prefix, samePrefixes } from '../wireguard/address.ts';
import type { PeerChange } from '../wireguard/change.ts';
import type { PresharedKey, PublicKey } from '../wireguard/key.ts';
import type { PeerStatus } from '../wireguard/status.ts';

/** A public key that may stand for an address, and its preshared key. */
export interface WantedKey {
  readonly publicKey: PublicKey;
  readonly presharedKey?: PresharedKey;
}

/** Addresses that belong to one peer, by whichever of its keys. */
export interface WantedPeer {
  readonly allowedIps: readonly Prefix[];
  /** Seconds; absent is off. */
  readonly keepalive?: number;
  /** The newest first; more than one while a key is rotated. */
  readonly keys: readonly WantedKey[];
}

/** A link's peers as they are, by their public keys. */
export type PresentPeers = ReadonlyMap<PublicKey, PeerStatus>;

/** How far a rotation has come, by public keys: those that have got their addresses. */
export type MovedKeys = ReadonlySet<PublicKey>;

/**
 * The place in the list of the key that has the addresses: the newest that has shown itself, and until then the oldest.
 * One that has had them keeps them: what is older may have leaked.
 */
export function holderOf(keys: readonly WantedKey[], present: PresentPeers, moved: MovedKeys): number {
  const last = keys.length - 1;
  const shown = keys.findIndex(({ publicKey }) => {
    const peer = present.get(publicKey);
    return moved.has(publicKey) || peer?.lastHandshake !== undefined || (peer?.allowedIps.length ?? 0) > 0;
  });
  return shown === -1 ? last : shown;
}

/**
 * What makes a link's peers the wanted ones and no others.
 * @param withPresharedKeys also of peers that are there: which one they have cannot be seen
 */
export function* peerChanges(
  wanted: Iterable<WantedPeer>,
  present: PresentPeers,
  moved: MovedKeys,
  withPresharedKeys: boolean,
): Generator<PeerChange> {
  const unwanted = new Set(present.keys());
  for (const { keys, allowedIps, keepalive = 0 } of wanted) {
    const holder = holderOf(keys, present, moved);
    for (const [place, key] of keys.slice(0, holder + 1).entries()) {
      unwanted.delete(key.publicKey);
      const target = { key, allowedIps: place === holder ? allowedIps : [], keepalive };
      const change = peerChange(target, present.get(key.publicKey), withPresharedKeys);
      if (change !== undefined) {
        yield change;
      }
    }
  }
  for (const publicKey of unwanted) {
    yield { publicKey, remove: true };
  }
}

interface Target {
  readonly key: WantedKey;
  readonly allowedIps: readonly Prefix[];
  readonly keepalive: number;
}

/** Field by field, without copies of objects: a hub may have 65,000 of them. */
function peerChange(
  { key: { publicKey, presharedKey }, allowedIps, keepalive }: Target,
  present: PeerStatus | undefined,
  withPresharedKeys: boolean,
): PeerChange | undefined {
  const change: { -readonly [Field in keyof PeerChange]: PeerChange[Field] } = { publicKey };
  if (presharedKey !== undefined && (withPresharedKeys || !present?.hasPresharedKey)) {
    change.presharedKey = presharedKey;
  }
  if (presharedKey === undefined && present?.hasPresharedKey) {
    change.presharedKey = 'none';
  }
  if (keepalive !== (present?.persistentKeepaliveInterval ?? 0)) {
    change.persistentKeepaliveInterval = keepalive;
  }
  if (present === undefined || !samePrefixes(allowedIps, present.allowedIps)) {
    change.allowedIps = allowedIps;
  }
  return present !== undefined && Object.keys(change).length === 1 ? undefined : change;
}

/** A peer that has an older key than the newest. */
export interface Rotation {
  readonly peer: WantedPeer;
  /** The place of the key that has the addresses now. */
  readonly holder: number;
}

/** The peers whose newest key has not shown itself yet. */
export function rotationsOf(
  wanted: Iterable<WantedPeer>,
  present: PresentPeers,
  moved: MovedKeys,
): Rotation[] {
  const rotations: Rotation[] = [];
  for (const peer of wanted) {
    const holder = peer.keys.length === 1 ? 0 : holderOf(peer.keys, present, moved);
    if (holder > 0) {
      rotations.push({ peer, holder });
    }
  }
  return rotations;
}

/** An address that goes to a newer key. */
export interface Move {
  readonly rotation: Rotation;
  readonly to: number;
}

/** Which addresses have to move, since a newer key than theirs has shaken hands. */
export function movesOf(rotations: readonly Rotation[], present: PresentPeers): Move[] {
  return rotations.flatMap((rotation) => {
    const { peer, holder } = rotation;
    const to = peer.keys.findIndex(
      ({ publicKey }, place) => place < holder && present.get(publicKey)?.lastHandshake !== undefined,
    );
    return to === -1 ? [] : [{ rotation, to }];
  });
}

/** A prefix goes from one peer to another in one step; then the older ones go, and answer to nobody any more. */
export function moveChanges({ rotation: { peer }, to }: Move): PeerChange[] {
  return peer.keys
    .slice(to)
    .map(({ publicKey }, place) =>
      place === 0 ? { publicKey, allowedIps: peer.allowedIps } : { publicKey, remove: true },
    );
}

/**
 * The changes from some peers to others at the same addresses, without a look at the link: as many as there are
 * differences, however many peers the link has. For peers of one key each.
 */
export function touchedChanges(
  pairs: Iterable<readonly [before: WantedPeer | undefined, after: WantedPeer | undefined]>,
): PeerChange[] {
  const removed = new Set<PublicKey>();
  const set: PeerChange[] = [];
  // A client is at several addresses.
  const seen = new Set<WantedPeer>();
  for (const [before, after] of pairs) {
    if (before !== after) {
      before?.keys.forEach(({ publicKey }) => {
        removed.add(publicKey);
      });
      if (after !== undefined && !seen.has(after)) {
        seen.add(after);
        const { keys, allowedIps, keepalive = 0 } = after;
        for (const { publicKey, presharedKey = 'none' as const } of keys) {
          set.push({ publicKey, presharedKey, persistentKeepaliveInterval: keepalive, allowedIps });
        }
      }
    }
  }
  // A key that went to another address is not one that has gone.
  for (const { publicKey } of set) {
    removed.delete(publicKey);
  }
  return [...[...removed].map((publicKey) => ({ publicKey, remove: true as const })), ...set];
}
