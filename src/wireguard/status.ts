import type { Prefix } from './address.ts';
import type { PeerEndpoint } from './device.ts';
import type { PublicKey } from './key.ts';

/** A peer as a link has it now. Holds no secret. */
export interface PeerStatus {
  readonly publicKey: PublicKey;
  readonly hasPresharedKey: boolean;
  /** Where its packets go now: WireGuard follows a peer that sends from elsewhere. */
  readonly endpoint: PeerEndpoint | undefined;
  /** Seconds; 0 is off. */
  readonly persistentKeepaliveInterval: number;
  /** Undefined if there was none yet. */
  readonly lastHandshake: Date | undefined;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly allowedIps: readonly Prefix[];
}

/** A WireGuard device as it is now. Holds no secret: the private key shows by its public key. */
export interface DeviceStatus {
  /** Undefined before it is given a private key. */
  readonly publicKey: PublicKey | undefined;
  /** 0 while the device has never been up and was given none. */
  readonly listenPort: number;
  /** 0 is none. */
  readonly fwmark: number;
  readonly peers: readonly PeerStatus[];
}

/** A link as it is now. */
export interface LinkStatus extends DeviceStatus {
  /** In the namespace where it is: the engine renames it in the container. */
  readonly name: string;
  /** Undefined if a userspace link has lost its mark, as a container's root may have it: nothing else tells. */
  readonly mtu: number | undefined;
}

/** linux/drivers/net/wireguard/messages.h: REJECT_AFTER_TIME, after which a session is over. */
export const rejectAfterMs = 180_000;

/** Peers by their keys: a configuration file may have thousands. */
export function byPublicKey<Peer extends { readonly publicKey: PublicKey }>(
  peers: readonly Peer[],
): ReadonlyMap<PublicKey, Peer> {
  return new Map(peers.map((peer) => [peer.publicKey, peer]));
}
