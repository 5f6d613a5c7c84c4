import type { Prefix } from './address.ts';
import type { PeerEndpoint } from './device.ts';
import type { PresharedKey, PrivateKey, PublicKey } from './key.ts';

/** What to change of a peer; absent means unchanged. A peer that is not there is added. */
export interface PeerChange {
  readonly publicKey: PublicKey;
  /** Then everything else is ignored. */
  readonly remove?: boolean;
  /** Only if the link has the peer: whoever follows a name must not bring back a peer that was removed. */
  readonly updateOnly?: boolean;
  readonly presharedKey?: PresharedKey | 'none';
  readonly endpoint?: PeerEndpoint;
  /** Seconds, 0 to 65535; 0 is off. */
  readonly persistentKeepaliveInterval?: number;
  /** Replaces the peer's list. */
  readonly allowedIps?: readonly Prefix[];
}

/** What to change of a WireGuard device; absent means unchanged, and so do peers that are not named. */
export interface DeviceChange {
  readonly privateKey?: PrivateKey;
  /** 0 lets the kernel choose. */
  readonly listenPort?: number;
  /** Mark of the outer packets; 0 is none. */
  readonly fwmark?: number;
  /** In their order: an allowed IP belongs to the last peer that it was given to. */
  readonly peers?: readonly PeerChange[];
}

/** A change as WireGuard's configuration protocols have it. */
export interface DeviceConfiguration extends DeviceChange {
  /** Removes all peers first, and with them their sessions. */
  readonly replacePeers?: boolean;
}

/** What to change of a link; absent means unchanged. */
export interface LinkChange extends DeviceChange {
  readonly mtu?: number;
}
