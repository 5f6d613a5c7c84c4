import { Buffer } from 'node:buffer';
import { formatPrefix } from '../../wireguard/address.ts';
import { decodeBase64 } from '../../wireguard/base64.ts';
import { type Device, formatEndpoint, type Peer } from '../../wireguard/device.ts';

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

/** The errno of an answer, 0 for success; undefined if it is none. */
export function decodeErrno(answer: string): number | undefined {
  const errno = /^errno=(-?\d+)$/m.exec(answer)?.[1];
  return errno === undefined ? undefined : Number(errno);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
