import type { Address, Prefix } from './address.ts';
import type { PrivateKey, PublicKey } from './key.ts';

/** Where a peer's UDP packets go. */
export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

/** A peer as WireGuard's configuration protocol has it; absent means unset. */
export interface Peer {
  readonly publicKey: PublicKey;
  readonly endpoint?: Endpoint;
  /** Seconds, 0 to 65535; 0 is off. */
  readonly persistentKeepaliveInterval?: number;
  readonly allowedIps: readonly Prefix[];
}

/** The whole configuration of a WireGuard link; absent means left to WireGuard. */
export interface Device {
  readonly privateKey: PrivateKey;
  readonly listenPort?: number;
  readonly peers: readonly Peer[];
}

/** How a peer fares. */
export interface PeerStatus {
  /** Undefined if there was none yet. */
  readonly lastHandshake: Date | undefined;
  /** Seconds; 0 is off. */
  readonly persistentKeepaliveInterval: number;
}

/** `192.0.2.1:51820` or `[2001:db8::1]:51820`, as `wg` reads it. */
export function formatEndpoint({ address, port }: Endpoint): string {
  return address.kind() === 'ipv4' ? `${address.toString()}:${port}` : `[${address.toString()}]:${port}`;
}
