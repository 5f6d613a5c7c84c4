import type { Prefix } from '../../wireguard/address.ts';
import { encodeBase64 } from '../../wireguard/base64.ts';
import { type PublicKey, WG_KEY_LEN } from '../../wireguard/key.ts';
import type { DeviceStatus, PeerStatus } from '../../wireguard/status.ts';
import { AttributeTable, decodeAttributes } from '../attribute.ts';
import { readCString, readI64, readU16, readU32, readU64 } from '../bytes.ts';
import { malformed } from '../error.ts';
import { decodeGeneric } from '../generic.ts';
import { decodeAllowedIp } from './allowed-ip.ts';
import {
  WGDEVICE_A_FWMARK,
  WGDEVICE_A_IFINDEX,
  WGDEVICE_A_IFNAME,
  WGDEVICE_A_LISTEN_PORT,
  WGDEVICE_A_PEERS,
  WGDEVICE_A_PUBLIC_KEY,
  WGPEER_A_ALLOWEDIPS,
  WGPEER_A_ENDPOINT,
  WGPEER_A_LAST_HANDSHAKE_TIME,
  WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL,
  WGPEER_A_PRESHARED_KEY,
  WGPEER_A_PUBLIC_KEY,
  WGPEER_A_RX_BYTES,
  WGPEER_A_TX_BYTES,
} from './constants.ts';
import { decodeEndpoint } from './endpoint.ts';

/** A device as the kernel has it. The kernel tells the secrets too, which stay in its messages. */
export interface KernelDevice extends DeviceStatus {
  readonly ifindex: number;
  readonly ifname: string;
}

/**
 * The device of the payloads that answer a WG_CMD_GET_DEVICE, merged: a device with many peers comes in
 * several messages, and so does a peer with many allowed IPs.
 * @throws NetlinkError if they are malformed, or none
 */
export function parseDevice(payloads: readonly Uint8Array[]): KernelDevice {
  const tables = payloads.map((payload) => new AttributeTable(decodeGeneric(payload).attributes));
  const [first] = tables;
  const ifindex = first?.get({ WGDEVICE_A_IFINDEX }, readU32, 4);
  const ifname = first?.get({ WGDEVICE_A_IFNAME }, readCString);
  if (first === undefined || ifindex === undefined || ifname === undefined) {
    throw malformed('WG_CMD_GET_DEVICE', 'expected a device’s index and name, got none');
  }
  return {
    ifindex,
    ifname,
    publicKey: first.get({ WGDEVICE_A_PUBLIC_KEY }, readPublicKey, WG_KEY_LEN),
    listenPort: first.get({ WGDEVICE_A_LISTEN_PORT }, readU16, 2) ?? 0,
    fwmark: first.get({ WGDEVICE_A_FWMARK }, readU32, 4) ?? 0,
    peers: mergePeers(tables.flatMap((table) => table.get({ WGDEVICE_A_PEERS }, parsePeers) ?? [])),
  };
}

/** A peer whose list was cut off comes again as the first of the next message, with the rest of the list. */
function mergePeers(pieces: readonly PeerStatus[]): PeerStatus[] {
  const peers: PeerStatus[] = [];
  for (const piece of pieces) {
    const last = peers.at(-1);
    if (last?.publicKey === piece.publicKey) {
      peers.splice(-1, 1, { ...last, allowedIps: [...last.allowedIps, ...piece.allowedIps] });
    } else {
      peers.push(piece);
    }
  }
  return peers;
}

function parsePeers(bytes: Uint8Array): PeerStatus[] {
  return decodeAttributes(bytes).map(({ value }) => parsePeer(value));
}

function parsePeer(bytes: Uint8Array): PeerStatus {
  const table = new AttributeTable(bytes);
  const publicKey = table.get({ WGPEER_A_PUBLIC_KEY }, readPublicKey, WG_KEY_LEN);
  if (publicKey === undefined) {
    throw malformed('WGDEVICE_A_PEERS', 'expected a WGPEER_A_PUBLIC_KEY, got none');
  }
  return {
    publicKey,
    hasPresharedKey: table.get({ WGPEER_A_PRESHARED_KEY }, isSet, WG_KEY_LEN) ?? false,
    endpoint: table.get({ WGPEER_A_ENDPOINT }, decodeEndpoint),
    persistentKeepaliveInterval: table.get({ WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL }, readU16, 2) ?? 0,
    lastHandshake: table.get({ WGPEER_A_LAST_HANDSHAKE_TIME }, readTimespec, timespecLength),
    receivedBytes: Number(table.get({ WGPEER_A_RX_BYTES }, readU64, 8) ?? 0),
    sentBytes: Number(table.get({ WGPEER_A_TX_BYTES }, readU64, 8) ?? 0),
    allowedIps: table.get({ WGPEER_A_ALLOWEDIPS }, parseAllowedIps) ?? [],
  };
}

function parseAllowedIps(bytes: Uint8Array): Prefix[] {
  return decodeAttributes(bytes).map(({ value }) => decodeAllowedIp(value));
}

function readPublicKey(bytes: Uint8Array): PublicKey {
  return encodeBase64(bytes) as PublicKey;
}

/** The kernel tells always one; all zero is none. */
function isSet(presharedKey: Uint8Array): boolean {
  return presharedKey.some((byte) => byte !== 0);
}

/** sizeof(struct __kernel_timespec): seconds and nanoseconds, 64 bits each */
const timespecLength = 16;

function readTimespec(bytes: Uint8Array): Date | undefined {
  const milliseconds = Number(readI64(bytes)) * 1e3 + Number(readI64(bytes, 8)) / 1e6;
  return milliseconds === 0 ? undefined : new Date(milliseconds);
}
