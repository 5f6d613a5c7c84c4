import { type Address, sameAddress } from '../wireguard/address.ts';
import type { PeerChange } from '../wireguard/change.ts';
import type { PeerEndpoint } from '../wireguard/device.ts';
import type { SeenHandshake } from '../wireguard/handshake-age.ts';
import type { PeerStatus } from '../wireguard/status.ts';

/** A peer as it was seen. */
export interface SeenPeer extends SeenHandshake {
  /** More was sent than at the look before: somebody wants an answer. */
  readonly hasSent: boolean;
  readonly hasReceived: boolean;
}

/** A link that never shook hands has been trying for long enough (a handshake is sent every 5 s). */
const untriedMs = 14_000;

/** linux/drivers/net/wireguard/messages.h: a session is made anew after REKEY_AFTER_TIME, if anything is sent. */
const rekeyAfterMs = 120_000;

/** Then it was tried three times in vain. */
const silentMs = 135_000;

/** Has a peer shaken hands so lately that its endpoint is right? */
export function isInTouch({ ageMs }: SeenPeer): boolean {
  return ageMs !== undefined && ageMs < rekeyAfterMs;
}

/** What is known of a peer that is not in touch with its hub. */
export interface Silence {
  readonly present: PeerStatus;
  readonly endpoint: PeerEndpoint;
  readonly seen: SeenPeer;
  /** Since the first look at its link. */
  readonly watchedMs: number;
  /** All of its hub's name. */
  readonly addresses: readonly Address[];
  /** The port that its network asks for. */
  readonly port: number;
  hasWayTo(address: Address): Promise<boolean>;
}

/** What to do about it: another address of its name, or another handshake, or nothing. */
export async function remedyFor(silence: Silence): Promise<PeerChange[]> {
  const { present, endpoint, seen, watchedMs, hasWayTo } = silence;
  const { ageMs, hasSent, hasReceived } = seen;
  const keepsAlive = present.persistentKeepaliveInterval > 0;
  const isSilent = ageMs === undefined ? watchedMs >= untriedMs : ageMs > silentMs;
  // WireGuard does not count what it has no route for.
  const isTrying = keepsAlive || hasSent || (isSilent && !(await hasWayTo(endpoint.address)));
  if (hasReceived || !isTrying) {
    return [];
  }
  const next = isSilent ? await nextEndpoint(silence) : undefined;
  // With keepalives alone the kernel tries for 90 s, and then waits for the next.
  return next !== undefined || (keepsAlive && (isSilent || ageMs !== undefined))
    ? prompted(present, next)
    : [];
}

/**
 * A peer's new endpoint, and a handshake at once where it sends keepalives: WireGuard sends one when they are switched
 * on, and both are done in one step.
 */
export function prompted(
  { publicKey, persistentKeepaliveInterval }: PeerStatus,
  endpoint: PeerEndpoint | undefined,
): PeerChange[] {
  const change = { publicKey, updateOnly: true, ...(endpoint && { endpoint }) };
  return persistentKeepaliveInterval === 0
    ? [change]
    : [
        { ...change, persistentKeepaliveInterval: 0 },
        { publicKey, updateOnly: true, persistentKeepaliveInterval },
      ];
}

/** The address behind the one in use, or the first, that this host has a way to; undefined if there is no other. */
async function nextEndpoint({
  endpoint,
  addresses,
  port,
  hasWayTo,
}: Silence): Promise<PeerEndpoint | undefined> {
  const index = addresses.findIndex((address) => sameAddress(address, endpoint.address));
  for (const address of [...addresses.slice(index + 1), ...addresses.slice(0, index + 1)]) {
    const isOther = !(sameAddress(address, endpoint.address) && port === endpoint.port);
    if (isOther && (await hasWayTo(address))) {
      return { address, port };
    }
  }
  return undefined;
}
