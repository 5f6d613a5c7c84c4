import { type Address, type Prefix, parseAddress } from './address.ts';
import type { PresharedKey, PrivateKey, PublicKey } from './key.ts';

/** Where a peer's UDP packets go. */
export interface PeerEndpoint {
  readonly address: Address;
  readonly port: number;
}

/** A peer as WireGuard's configuration protocol has it; absent means unset. */
export interface Peer {
  readonly publicKey: PublicKey;
  readonly presharedKey?: PresharedKey;
  readonly endpoint?: PeerEndpoint;
  /** Seconds, 0 to 65535; 0 is off. */
  readonly persistentKeepaliveInterval?: number;
  readonly allowedIps: readonly Prefix[];
}

/** The whole configuration of a WireGuard link; absent means left to WireGuard. */
export interface Device {
  readonly privateKey: PrivateKey;
  readonly listenPort?: number;
  /** Mark of the outer packets; 0 is none. */
  readonly fwmark?: number;
  readonly peers: readonly Peer[];
}

/** `192.0.2.1:51820` or `[2001:db8::1]:51820`, as `wg` reads it. */
export function formatEndpoint({ address, port }: PeerEndpoint): string {
  return address.kind() === 'ipv4' ? `${address.toString()}:${port}` : `[${address.toString()}]:${port}`;
}

/** Parses what formatEndpoint and `wg` write; without the scope of a link-local address. Undefined if it is none. */
export function parseEndpoint(text: string): PeerEndpoint | undefined {
  const [, bracketed, plain, port] = /^(?:\[([^\]%]+)(?:%[^\]]*)?\]|([^:]+)):(\d+)$/.exec(text) ?? [];
  const address = parseAddress(bracketed ?? plain ?? '');
  return address && { address, port: Number(port) };
}
