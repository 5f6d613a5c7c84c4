import type { PeerStatus } from './status.ts';

/** The handshakes of a link's peers at an earlier look, by the peers' public keys. */
export interface SeenHandshakes {
  /** On a clock that only goes forward. */
  readonly atMs: number;
  readonly peers: ReadonlyMap<string, SeenHandshake>;
}

export interface SeenHandshake {
  /** UNIX time, in milliseconds; undefined if there was none yet. */
  readonly handshake: number | undefined;
  /** Its age at that look. */
  readonly ageMs: number | undefined;
}

/**
 * The age of a peer's last handshake; undefined if there was none. WireGuard keeps handshakes in UNIX time, and somebody may
 * have set that clock since. So a handshake that was seen before has its age of then plus the time since, and a handshake that is
 * new is younger than the look before.
 */
export function handshakeAgeMs(
  { publicKey, lastHandshake }: Pick<PeerStatus, 'publicKey' | 'lastHandshake'>,
  before: SeenHandshakes | undefined,
  atMs: number,
  unixMs: number,
): number | undefined {
  if (lastHandshake === undefined) {
    return undefined;
  }
  const handshake = lastHandshake.getTime();
  const unixAgeMs = Math.max(0, unixMs - handshake);
  const old = before?.peers.get(publicKey);
  if (before === undefined || old === undefined) {
    return unixAgeMs;
  }
  const passedMs = atMs - before.atMs;
  return isSame(handshake, old.handshake) && old.ageMs !== undefined
    ? old.ageMs + passedMs
    : Math.min(unixAgeMs, passedMs);
}

/** `wg` shows whole seconds, and netlink more; two handshakes of a peer are further apart than that (REKEY_TIMEOUT, 5 s). */
function isSame(handshake: number, other: number | undefined): boolean {
  return other !== undefined && Math.floor(handshake / 1000) === Math.floor(other / 1000);
}
