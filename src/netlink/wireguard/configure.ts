import { decodeBase64 } from '../../wireguard/base64.ts';
import type { DeviceConfiguration, PeerChange } from '../../wireguard/change.ts';
import { type PresharedKey, type PublicKey, WG_KEY_LEN } from '../../wireguard/key.ts';
import { type Attribute, encodeAttributes, encodedLength, nested } from '../attribute.ts';
import { cString, u16, u32 } from '../bytes.ts';
import { NetlinkError } from '../error.ts';
import { encodeGeneric } from '../generic.ts';
import { encodeAllowedIp } from './allowed-ip.ts';
import * as wg from './constants.ts';
import { encodeEndpoint } from './endpoint.ts';

/** A prefix takes at most 40 bytes, so this is 10 KiB of a list. */
const allowedIpsInPiece = 256;
/** An attribute, here the list of peers, ends at 64 KiB, a socket's buffer at about 200 KiB. */
const defaultLimit = 0x8000;

/**
 * The payloads of the WG_CMD_SET_DEVICE messages that make the changes, to be sent in their order; each
 * with at most `limit` bytes of peers, unless a single piece of a peer is longer. They hold the keys.
 * @throws NetlinkError if a public key has not 32 bytes
 */
export function encodeSetDevice(
  device: string | number,
  change: DeviceConfiguration,
  limit = defaultLimit,
): Uint8Array[] {
  const [first = [], ...others] = packed((change.peers ?? []).flatMap(encodePeer), limit);
  return [[...encodeDevice(change), ...encodePeers(first)], ...others.map(encodePeers)].map((attributes) =>
    encodeGeneric({
      command: wg.WG_CMD_SET_DEVICE,
      version: wg.WG_GENL_VERSION,
      attributes: encodeAttributes([encodeDeviceId(device), ...attributes]),
    }),
  );
}

/** A device by its name or its index. */
export function encodeDeviceId(device: string | number): Attribute {
  return typeof device === 'number'
    ? { type: wg.WGDEVICE_A_IFINDEX, value: u32(device) }
    : { type: wg.WGDEVICE_A_IFNAME, value: cString(device) };
}

/** For the first message only: repeating the flag would remove the peers of those before. */
function encodeDevice({ privateKey, listenPort, fwmark, replacePeers }: DeviceConfiguration): Attribute[] {
  return [
    ...(privateKey === undefined ? [] : [{ type: wg.WGDEVICE_A_PRIVATE_KEY, value: privateKey.reveal() }]),
    ...(listenPort === undefined ? [] : [{ type: wg.WGDEVICE_A_LISTEN_PORT, value: u16(listenPort) }]),
    ...(fwmark === undefined ? [] : [{ type: wg.WGDEVICE_A_FWMARK, value: u32(fwmark) }]),
    ...(replacePeers ? [{ type: wg.WGDEVICE_A_FLAGS, value: u32(wg.WGDEVICE_F_REPLACE_PEERS) }] : []),
  ];
}

function encodePeers(peers: readonly Attribute[]): Attribute[] {
  return peers.length === 0 ? [] : [nested(wg.WGDEVICE_A_PEERS, peers)];
}

/** A peer in pieces, each of which may be in a message of its own. */
function encodePeer(peer: PeerChange): Attribute[] {
  const key = [{ type: wg.WGPEER_A_PUBLIC_KEY, value: publicKeyBytes(peer.publicKey) }];
  if (peer.remove) {
    return [nested(0, [...key, ...encodeFlags(wg.WGPEER_F_REMOVE_ME)])];
  }
  const allowedIps = (peer.allowedIps ?? []).map(encodeAllowedIp);
  const pieces = [encodePiece([...key, ...encodeSettings(peer)], allowedIps.slice(0, allowedIpsInPiece))];
  for (let start = allowedIpsInPiece; start < allowedIps.length; start += allowedIpsInPiece) {
    const flags = encodeFlags(peer.updateOnly ? wg.WGPEER_F_UPDATE_ONLY : 0);
    pieces.push(encodePiece([...key, ...flags], allowedIps.slice(start, start + allowedIpsInPiece)));
  }
  return pieces;
}

function encodePiece(settings: readonly Attribute[], allowedIps: readonly Attribute[]): Attribute {
  return nested(0, [
    ...settings,
    ...(allowedIps.length === 0 ? [] : [nested(wg.WGPEER_A_ALLOWEDIPS, allowedIps)]),
  ]);
}

/** For the first piece only: repeating its flag would wipe the allowed IPs of those before. */
function encodeSettings(peer: PeerChange): Attribute[] {
  const { presharedKey, endpoint, persistentKeepaliveInterval: interval } = peer;
  return [
    ...(presharedKey === undefined
      ? []
      : [{ type: wg.WGPEER_A_PRESHARED_KEY, value: presharedKeyBytes(presharedKey) }]),
    ...(endpoint === undefined ? [] : [{ type: wg.WGPEER_A_ENDPOINT, value: encodeEndpoint(endpoint) }]),
    ...(interval === undefined
      ? []
      : [{ type: wg.WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, value: u16(interval) }]),
    ...encodeFlags(
      (peer.allowedIps ? wg.WGPEER_F_REPLACE_ALLOWEDIPS : 0) |
        (peer.updateOnly ? wg.WGPEER_F_UPDATE_ONLY : 0),
    ),
  ];
}

function encodeFlags(flags: number): Attribute[] {
  return flags === 0 ? [] : [{ type: wg.WGPEER_A_FLAGS, value: u32(flags) }];
}

function publicKeyBytes(key: PublicKey): Uint8Array {
  const bytes = decodeBase64(key);
  if (bytes?.length !== WG_KEY_LEN) {
    const text = `expected ${WG_KEY_LEN} bytes, got ${bytes?.length ?? 'other than base64'}`;
    throw new NetlinkError('encode', 'public key', { text });
  }
  return bytes;
}

/** "all zeros to remove", as linux/wireguard.h has it. */
function presharedKeyBytes(key: PresharedKey | 'none'): Uint8Array {
  return key === 'none' ? new Uint8Array(WG_KEY_LEN) : key.reveal();
}

/** The pieces in their order, as many to a message as its limit takes. */
function packed(pieces: readonly Attribute[], limit: number): Attribute[][] {
  const messages: Attribute[][] = [];
  let room = 0;
  for (const piece of pieces) {
    const size = encodedLength(piece);
    const last = messages.at(-1);
    if (last === undefined || size > room) {
      messages.push([piece]);
      room = limit - size;
    } else {
      last.push(piece);
      room -= size;
    }
  }
  return messages;
}
