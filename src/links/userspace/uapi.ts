import { Buffer } from 'node:buffer';
import { formatPrefix } from '../../wireguard/address.ts';
import { decodeBase64 } from '../../wireguard/base64.ts';
import { type Device, formatEndpoint, type Peer, type PeerStatus } from '../../wireguard/device.ts';

/**
 * A set operation of WireGuard's cross-platform userspace configuration protocol
 * (wireguard.com/xplatform): `key=value` lines, ended by an empty one. Keys are in hexadecimal.
 * Replaces the peers that were there. Holds the private key.
 */
export function encodeSet({ privateKey, listenPort, peers }: Device): string {
  return [
    'set=1',
    `private_key=${hex(privateKey.reveal())}`,
    ...(listenPort === undefined ? [] : [`listen_port=${listenPort}`]),
    'replace_peers=true',
    ...peers.flatMap(encodePeer),
    '\n',
  ].join('\n');
}

function encodePeer({ publicKey, endpoint, persistentKeepaliveInterval, allowedIps }: Peer): string[] {
  return [
    `public_key=${hex(decodeBase64(publicKey) ?? new Uint8Array())}`,
    ...(endpoint === undefined ? [] : [`endpoint=${formatEndpoint(endpoint)}`]),
    ...(persistentKeepaliveInterval === undefined
      ? []
      : [`persistent_keepalive_interval=${persistentKeepaliveInterval}`]),
    'replace_allowed_ips=true',
    ...allowedIps.map((prefix) => `allowed_ip=${formatPrefix(prefix)}`),
  ];
}

/** A get operation. Its answer holds the private key. */
export const getRequest = 'get=1\n\n';

/** What a get operation tells of its first peer. */
export function decodePeer(answer: string): PeerStatus {
  const number = (name: string) => Number(new RegExp(`^${name}=(\\d+)$`, 'm').exec(answer)?.[1] ?? 0);
  const handshakeMs = number('last_handshake_time_sec') * 1e3 + number('last_handshake_time_nsec') / 1e6;
  return {
    lastHandshake: handshakeMs === 0 ? undefined : new Date(handshakeMs),
    persistentKeepaliveInterval: number('persistent_keepalive_interval'),
  };
}

/** The errno of an answer, 0 for success; undefined if it is none. */
export function decodeErrno(answer: string): number | undefined {
  const errno = /^errno=(-?\d+)$/m.exec(answer)?.[1];
  return errno === undefined ? undefined : Number(errno);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
