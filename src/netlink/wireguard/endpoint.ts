import ipaddr from 'ipaddr.js';
import { addressBytes } from '../../wireguard/address.ts';
import type { PeerEndpoint } from '../../wireguard/device.ts';
import { concat, readU16, u16, u32 } from '../bytes.ts';
import { malformed } from '../error.ts';
import { AF_INET, AF_INET6 } from '../family.ts';

/** sizeof(struct sockaddr_in), with its padding */
const sockaddrInLength = 16;
/** sizeof(struct sockaddr_in6) */
const sockaddrIn6Length = 28;

/** A `struct sockaddr_in` or, without flow information and scope, `struct sockaddr_in6`. */
export function encodeEndpoint({ address, port }: PeerEndpoint): Uint8Array {
  const portBytes = Uint8Array.of(port >> 8, port & 0xff);
  return address.kind() === 'ipv4'
    ? concat([u16(AF_INET), portBytes, addressBytes(address), new Uint8Array(8)])
    : concat([u16(AF_INET6), portBytes, u32(0), addressBytes(address), u32(0)]);
}

/** @throws NetlinkError if it is neither */
export function decodeEndpoint(bytes: Uint8Array): PeerEndpoint {
  const family = bytes.length < 2 ? undefined : readU16(bytes);
  if (family === AF_INET && bytes.length === sockaddrInLength) {
    return { address: ipaddr.fromByteArray([...bytes.subarray(4, 8)]), port: networkOrderPort(bytes) };
  }
  if (family === AF_INET6 && bytes.length === sockaddrIn6Length) {
    return { address: ipaddr.fromByteArray([...bytes.subarray(8, 24)]), port: networkOrderPort(bytes) };
  }
  throw malformed(
    'WGPEER_A_ENDPOINT',
    `expected a sockaddr of IPv4 or IPv6, got ${bytes.length} bytes of family ${family}`,
  );
}

function networkOrderPort(bytes: Uint8Array): number {
  const [, , high = 0, low = 0] = bytes;
  return (high << 8) | low;
}
