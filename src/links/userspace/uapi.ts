import { Buffer } from 'node:buffer';
import { formatPrefix, type Prefix, parsePrefix } from '../../wireguard/address.ts';
import { decodeBase64, encodeBase64 } from '../../wireguard/base64.ts';
import type { DeviceConfiguration, PeerChange } from '../../wireguard/change.ts';
import { formatEndpoint, parseEndpoint } from '../../wireguard/device.ts';
import { PrivateKey, type PublicKey, publicKeyOf, WG_KEY_LEN } from '../../wireguard/key.ts';
import type { DeviceStatus, PeerStatus } from '../../wireguard/status.ts';

/**
 * A set operation of WireGuard's cross-platform userspace configuration protocol (wireguard.com/xplatform):
 * `key=value` lines, ended by an empty one. Keys are in hexadecimal. Holds the secrets.
 */
export function encodeSet({
  privateKey,
  listenPort,
  fwmark,
  replacePeers,
  peers = [],
}: DeviceConfiguration): string {
  return lines('set=1', [
    privateKey && `private_key=${hex(privateKey.reveal())}`,
    listenPort !== undefined && `listen_port=${listenPort}`,
    fwmark !== undefined && `fwmark=${fwmark}`,
    replacePeers && 'replace_peers=true',
    ...peers.flatMap(encodePeer),
    '\n',
  ]);
}

function encodePeer(peer: PeerChange): (string | false | undefined)[] {
  const { presharedKey, endpoint, persistentKeepaliveInterval, allowedIps } = peer;
  const publicKey = `public_key=${hex(decodeBase64(peer.publicKey) ?? new Uint8Array())}`;
  if (peer.remove) {
    return [publicKey, 'remove=true'];
  }
  return [
    publicKey,
    peer.updateOnly && 'update_only=true',
    presharedKey &&
      `preshared_key=${hex(presharedKey === 'none' ? new Uint8Array(WG_KEY_LEN) : presharedKey.reveal())}`,
    endpoint && `endpoint=${formatEndpoint(endpoint)}`,
    persistentKeepaliveInterval !== undefined &&
      `persistent_keepalive_interval=${persistentKeepaliveInterval}`,
    allowedIps && 'replace_allowed_ips=true',
    ...(allowedIps ?? []).map((prefix) => `allowed_ip=${formatPrefix(prefix)}`),
  ];
}

function lines(first: string, others: readonly (string | false | undefined)[]): string {
  return [first, ...others.filter((line) => typeof line === 'string')].join('\n');
}

/** A get operation. Its answer holds the secrets. */
export const getRequest = 'get=1\n\n';

/** What the answer to a get operation tells; keys that this does not know are passed over. @throws Error if it is none */
export function decodeGet(answer: string): DeviceStatus {
  const device = new Map<string, string>();
  const peers: PeerStatus[] = [];
  let section = device;
  let allowedIps: Prefix[] = [];
  const endPeer = () => {
    if (section !== device) {
      peers.push(decodePeer(section, allowedIps));
    }
  };
  for (const line of answer.split('\n')) {
    const equals = line.indexOf('=');
    const key = line.slice(0, Math.max(equals, 0));
    const value = line.slice(equals + 1);
    if (key === 'public_key') {
      endPeer();
      section = new Map();
      allowedIps = [];
    }
    if (key === 'allowed_ip') {
      allowedIps.push(decodePrefix(value));
    } else {
      section.set(key, value);
    }
  }
  endPeer();
  const privateKey = device.get('private_key');
  return {
    publicKey: privateKey === undefined ? undefined : publicKeyOf(new PrivateKey(bytesOf(privateKey))),
    listenPort: Number(device.get('listen_port') ?? 0),
    fwmark: Number(device.get('fwmark') ?? 0),
    peers,
  };
}

function decodePeer(peer: ReadonlyMap<string, string>, allowedIps: readonly Prefix[]): PeerStatus {
  const number = (key: string) => Number(peer.get(key) ?? 0);
  const handshakeMs = number('last_handshake_time_sec') * 1e3 + number('last_handshake_time_nsec') / 1e6;
  return {
    publicKey: encodeBase64(bytesOf(peer.get('public_key') ?? '')) as PublicKey,
    // All zero is none.
    hasPresharedKey: /[^0]/.test(peer.get('preshared_key') ?? ''),
    endpoint: parseEndpoint(peer.get('endpoint') ?? ''),
    persistentKeepaliveInterval: number('persistent_keepalive_interval'),
    lastHandshake: handshakeMs === 0 ? undefined : new Date(handshakeMs),
    receivedBytes: number('rx_bytes'),
    sentBytes: number('tx_bytes'),
    allowedIps,
  };
}

function decodePrefix(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) {
    throw new Error(`allowed_ip: expected an address and its prefix length, got ${text}`);
  }
  return prefix;
}

function bytesOf(hexadecimal: string): Uint8Array {
  return new Uint8Array(Buffer.from(hexadecimal, 'hex'));
}

/** The errno of an answer, 0 for success; undefined if it is none. */
export function decodeErrno(answer: string): number | undefined {
  const errno = /^errno=(-?\d+)$/m.exec(answer)?.[1];
  return errno === undefined ? undefined : Number(errno);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
