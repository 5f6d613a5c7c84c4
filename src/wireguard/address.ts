import ipaddr from 'ipaddr.js';

export type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** As an address's `kind()` says it. */
export type Family = 'ipv4' | 'ipv6';

/** An address and its prefix length; host bits may be set (`192.168.5.2/24`) unless masked. */
export interface Prefix {
  readonly address: Address;
  readonly length: number;
}

/** First and last address, both included, of one family. */
export interface AddressRange {
  readonly first: Address;
  readonly last: Address;
}

/**
 * Parses `192.168.5.2` or `fd00::2`; undefined if it is neither. Strict: the octal, hexadecimal and
 * short forms that inet_aton accepts are refused, since a typing error must not become another key.
 */
export function parseAddress(text: string): Address | undefined {
  // Told apart first: the library tells what is not of a family by an exception, which costs more than all else.
  if (text.includes(':')) {
    return !text.includes('%') && ipaddr.IPv6.isValid(text) ? ipaddr.IPv6.parse(text) : undefined;
  }
  const [, a, b, c, d] = ipv4Text.exec(text) ?? [];
  const octets = [Number(a), Number(b), Number(c), Number(d)];
  return octets.every((octet) => octet <= 0xff) ? new ipaddr.IPv4(octets) : undefined;
}

/** The library parses it twice, which a hub's file of 65,000 addresses shows. */
const ipv4Text = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

/** Parses `192.168.5.0/24` or `fd00::/64`; undefined if it is neither. Host bits are kept. */
export function parsePrefix(text: string): Prefix | undefined {
  const [addressText, lengthText, ...rest] = text.split('/');
  const address = parseAddress(addressText ?? '');
  if (address === undefined || rest.length > 0 || !/^\d{1,3}$/.test(lengthText ?? '')) {
    return undefined;
  }
  const length = Number(lengthText);
  return length <= bits(address) ? { address, length } : undefined;
}

export function formatPrefix({ address, length }: Prefix): string {
  return `${address.toString()}/${length}`;
}

/** Number of bits of an address: 32 or 128. */
export function bits(address: Address): 32 | 128 {
  return address.kind() === 'ipv4' ? 32 : 128;
}

/** The address in network byte order: 4 or 16 bytes. */
export function addressBytes(address: Address): Uint8Array {
  return Uint8Array.from(address.toByteArray());
}

/** The address of 4 or 16 bytes in network byte order. */
export function addressOfBytes(bytes: Uint8Array): Address {
  return ipaddr.fromByteArray([...bytes]);
}

/** Can a host have it? No host of others has one that is unspecified, broadcast, multicast or loopback. */
export function isOfHost(address: Address): boolean {
  return !['unspecified', 'broadcast', 'multicast', 'loopback'].includes(address.range());
}

export function sameAddress(a: Address, b: Address): boolean {
  return a.kind() === b.kind() && a.match(b, bits(a));
}

/** The prefix with its host bits cleared: `10.1.0.5/16` becomes `10.1.0.0/16`. */
export function masked(prefix: Prefix): Prefix {
  const bytes = prefix.address.toByteArray();
  const first = maskedBytes(prefix.address, prefix.length);
  return bytes.every((byte, index) => byte === first[index])
    ? prefix
    : { address: ipaddr.fromByteArray(first), length: prefix.length };
}

/** Does `outer` hold every address of `inner`? */
export function covers(outer: Prefix, inner: Prefix): boolean {
  return (
    outer.address.kind() === inner.address.kind() &&
    outer.length <= inner.length &&
    inner.address.match(outer.address, outer.length)
  );
}

/** Is a prefix a part of one of `outer`, and not the whole of it? */
export function isPartOf(outer: readonly Prefix[], inner: Prefix): boolean {
  return outer.some((other) => covers(other, inner) && !covers(inner, other));
}

/** By bytes: lists have thousands of prefixes, and arithmetic on a bigint for each byte takes 90 µs for one. */
function maskedBytes(address: Address, length: number): number[] {
  return address.toByteArray().map((byte, index) => byte & maskByte(index, length));
}

/** A byte of the mask of a prefix of that length. */
function maskByte(index: number, length: number): number {
  return (0xff00 >> Math.min(8, Math.max(0, length - 8 * index))) & 0xff;
}

/** Do the prefixes hold every address of IPv4, or every one of IPv6? In two halves, too. */
export function coverEverything(prefixes: readonly Prefix[]): boolean {
  return wholes.some(([whole, ...halves]) => {
    const isCovered = (part: Prefix) => prefixes.some((prefix) => covers(prefix, part));
    return isCovered(whole) || halves.every(isCovered);
  });
}

const wholes = [
  ['0.0.0.0/0', '0.0.0.0/1', '128.0.0.0/1'],
  ['::/0', '::/1', '8000::/1'],
].map((texts) => texts.map(prefixOf) as [Prefix, Prefix, Prefix]);

/** All addresses of both families. */
export const everything: readonly Prefix[] = [prefixOf('0.0.0.0/0'), prefixOf('::/0')];

/** Are they the same prefixes, in whatever order? */
export function samePrefixes(some: readonly Prefix[], others: readonly Prefix[]): boolean {
  const texts = new Set(some.map(formatPrefix));
  return texts.size === others.length && others.every((prefix) => texts.has(formatPrefix(prefix)));
}

/** Parses what a programmer wrote. @throws RangeError if it is no prefix */
export function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) {
    throw new RangeError(`not a prefix: ${text}`);
  }
  return prefix;
}

/** The mask of a prefix: `255.255.0.0` of a /16. */
export function netmask({ address, length }: Prefix): Address {
  const ones = ipaddr.fromByteArray(new Array(bits(address) / 8).fill(0xff));
  return masked({ address: ones, length }).address;
}

/** A prefix that holds one address alone. */
export function hostPrefix(address: Address): Prefix {
  return { address, length: bits(address) };
}

/** First and last address of a prefix, network and broadcast address included. */
export function rangeOf({ address, length }: Prefix): AddressRange {
  const hostBits = BigInt(bits(address) - length);
  const first = (toNumber(address) >> hostBits) << hostBits;
  return {
    first: fromNumber(first, address.kind()),
    last: fromNumber(first + (1n << hostBits) - 1n, address.kind()),
  };
}

export function isWithin({ first, last }: AddressRange, address: Address): boolean {
  return (
    first.kind() === address.kind() &&
    compareAddresses(first, address) <= 0 &&
    compareAddresses(address, last) <= 0
  );
}

/** How many addresses a range holds. */
export function countOf(range: AddressRange): bigint {
  return toNumber(range.last) - toNumber(range.first) + 1n;
}

/** The addresses of a range, in order, made one at a time: an IPv6 prefix holds more than memory does. */
export function* addressesOf(range: AddressRange): Generator<Address> {
  const last = toNumber(range.last);
  for (let value = toNumber(range.first); value <= last; value += 1n) {
    yield fromNumber(value, range.first.kind());
  }
}

/** The address `offset` after `address`. */
export function plus(address: Address, offset: bigint): Address {
  return fromNumber(toNumber(address) + offset, address.kind());
}

/** -1, 0 or 1, as for Array.sort; both of one family. */
export function compareAddresses(a: Address, b: Address): number {
  const others = b.toByteArray();
  for (const [index, byte] of a.toByteArray().entries()) {
    const difference = byte - (others[index] ?? 0);
    if (difference !== 0) {
      return Math.sign(difference);
    }
  }
  return 0;
}

export function toNumber(address: Address): bigint {
  const bytes = address.toByteArray();
  return address.kind() === 'ipv4' ? BigInt(word(bytes, 0)) : toBigint(bytes);
}

function toBigint(bytes: readonly number[]): bigint {
  return [0, 4, 8, 12].reduce((value, offset) => (value << 32n) | BigInt(word(bytes, offset)), 0n);
}

/** 32 bits in network byte order. */
function word(bytes: readonly number[], offset: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes.slice(offset, offset + 4);
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

export function fromNumber(value: bigint, kind: Family): Address {
  const words = kind === 'ipv4' ? [value] : [value >> 96n, value >> 64n, value >> 32n, value];
  return ipaddr.fromByteArray(
    words.flatMap((each) => {
      const number = Number(each & 0xffff_ffffn);
      return [number >>> 24, (number >>> 16) & 0xff, (number >>> 8) & 0xff, number & 0xff];
    }),
  );
}
