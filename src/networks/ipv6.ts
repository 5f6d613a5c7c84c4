import { sha256 } from '@noble/hashes/sha2.js';
import { utf8ToBytes } from '@noble/hashes/utils.js';
import {
  type Address,
  addressBytes,
  addressOfBytes,
  bits,
  covers,
  hostPrefix,
  masked,
  type Prefix,
  parsePrefix,
  plus,
  prefixOf,
  sameAddress,
} from '../wireguard/address.ts';
import { optionPrefix } from './option-names.ts';

/** The last 32 bits are the IPv4 address. */
const maxLength = 96;

/** What containers can have addresses of: unique local addresses (RFC 4193), and global unicast (RFC 4291). */
const unicast = [prefixOf('fc00::/7'), prefixOf('2000::/3')];

export const ipv6PrefixExpectation =
  `expected an IPv6 prefix of at most /${maxLength} without host bits, of unique local or global unicast ` +
  'addresses, such as fd12:3456:789a::/64';

/** Parses a prefix that containers' IPv6 addresses can be made of; undefined if it is none. */
export function parseIpv6Prefix(text: string): Prefix | undefined {
  const prefix = parsePrefix(text);
  const fits =
    prefix !== undefined &&
    prefix.length <= maxLength &&
    sameAddress(prefix.address, masked(prefix).address) &&
    isUnicast(prefix);
  return fits ? prefix : undefined;
}

/** A prefix that a network has for itself (RFC 4193): a hash of its id stands for the random bits. */
export function localPrefixOf(networkId: string): Prefix {
  const hash = sha256(utf8ToBytes(`wgdriver shared ${networkId}`));
  return masked({
    address: addressOfBytes(Uint8Array.from([0xfd, ...hash.subarray(0, 15)])),
    length: maxLength,
  });
}

/** Can containers have addresses of it? Not of link-local or multicast ones, to begin with. */
export function isUnicast(prefix: Prefix): boolean {
  return unicast.some((whole) => covers(whole, prefix));
}

/**
 * The IPv6 address that goes with an IPv4 address: the prefix, and the IPv4 address in the last 32 bits. So the hub
 * can compute it, and two containers with an IPv4 address each have an IPv6 address each.
 */
export function ipv6AddressOf(prefix: Prefix, ipv4: Address): Address {
  const offset = addressBytes(ipv4).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  return plus(prefix.address, offset);
}

/** The IPv4 address in the last 32 bits of an IPv6 address. */
export function ipv4In(ipv6: Address): Address {
  return addressOfBytes(addressBytes(ipv6).subarray(12));
}

/** The same of a subnet, or of an address with the length of its subnet: 192.168.5.0/24 becomes a /120. */
export function ipv6PrefixOf(prefix: Prefix, { address, length }: Prefix): Prefix {
  return { address: ipv6AddressOf(prefix, address), length: bits(prefix.address) - bits(address) + length };
}

/** The same, of a network that may have no IPv6, and of a prefix that may be of IPv6 itself: then none goes with it. */
export function ipv6Counterparts(prefix: Prefix | undefined, own: Prefix): Prefix[] {
  return prefix === undefined || own.address.kind() === 'ipv6' ? [] : [ipv6PrefixOf(prefix, own)];
}

/**
 * @param outside addresses that the tunnel's own packets go from or to
 * @throws Error if the prefix holds one of them: it would have two meanings
 */
export function refuseOverlap(prefix: Prefix, outside: readonly Address[]): void {
  const held = outside.find((address) => covers(prefix, hostPrefix(address)));
  if (held !== undefined) {
    throw new Error(
      `option ${optionPrefix}ipv6: the prefix contains ${held.toString()}, an address outside the tunnel; choose ` +
        'a prefix that is used nowhere else',
    );
  }
}
