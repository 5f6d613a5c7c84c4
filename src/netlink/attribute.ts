import { malformed, NetlinkError } from './error.ts';

// linux/netlink.h
export const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
/** sizeof(struct nlattr) */
export const NLA_HDRLEN = 4;
/** What nla_len, of 16 bits, leaves for a value. */
const longestValue = 0xffff - NLA_HDRLEN;

/** `struct nlattr` and its value. */
export interface Attribute {
  /** Without the flags, if it was decoded. */
  readonly type: number;
  readonly value: Uint8Array;
}

/** An attribute whose value is attributes, marked as such. */
export function nested(type: number, attributes: readonly Attribute[]): Attribute {
  return { type: type | NLA_F_NESTED, value: encodeAttributes(attributes) };
}

/** Each padded to 4 bytes. @throws NetlinkError if one is too long for its length field */
export function encodeAttributes(attributes: readonly Attribute[]): Uint8Array {
  const bytes = new Uint8Array(attributes.reduce((total, attribute) => total + encodedLength(attribute), 0));
  let offset = 0;
  for (const { type, value } of attributes) {
    if (value.length > longestValue) {
      const text = `expected at most ${longestValue} bytes, got ${value.length}`;
      throw new NetlinkError('encode', 'nlattr', { text });
    }
    const length = NLA_HDRLEN + value.length;
    // Byte by byte: a hub has a million of them, and a copy of two bytes costs ten times what they do.
    bytes[offset] = length;
    bytes[offset + 1] = length >>> 8;
    bytes[offset + 2] = type;
    bytes[offset + 3] = type >>> 8;
    bytes.set(value, offset + NLA_HDRLEN);
    offset += NLA_ALIGN(length);
  }
  return bytes;
}

/** With the padding behind it. */
export function encodedLength({ value }: Attribute): number {
  return NLA_ALIGN(NLA_HDRLEN + value.length);
}

/** Attributes in their order, one type any number of times. @throws NetlinkError if they are cut off */
export function decodeAttributes(bytes: Uint8Array): Attribute[] {
  const attributes: Attribute[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const length = lengthAt(bytes, offset);
    attributes.push({
      type: typeAt(bytes, offset),
      value: bytes.subarray(offset + NLA_HDRLEN, offset + length),
    });
    offset += NLA_ALIGN(length);
  }
  return attributes;
}

/** The attributes by type, for reading; the last of a type counts, as in the kernel's nla_parse. */
export class AttributeTable {
  readonly #bytes: Uint8Array;

  /** @throws NetlinkError if they are cut off */
  constructor(bytes: Uint8Array) {
    for (let offset = 0; offset < bytes.length; ) {
      offset += NLA_ALIGN(lengthAt(bytes, offset));
    }
    this.#bytes = bytes;
  }

  /**
   * The value of an attribute, given as `{ IFLA_MTU }` so that an error can name it; undefined without one.
   * @throws NetlinkError if it has not `length` bytes
   */
  get<Value>(
    attribute: Readonly<Record<string, number>>,
    read: (value: Uint8Array) => Value,
    length?: number,
  ): Value | undefined {
    for (const name in attribute) {
      const value = this.#find(attribute[name]);
      if (value !== undefined && length !== undefined && value.length !== length) {
        throw malformed(name, `expected ${length} bytes, got ${value.length}`);
      }
      return value && read(value);
    }
    return undefined;
  }

  /** By a walk: there are few, and a map of them for each of thousands of peers costs more. */
  #find(type: number | undefined): Uint8Array | undefined {
    const bytes = this.#bytes;
    let found = -1;
    for (let offset = 0; offset < bytes.length; offset += NLA_ALIGN(lengthAt(bytes, offset))) {
      found = typeAt(bytes, offset) === type ? offset : found;
    }
    return found === -1 ? undefined : bytes.subarray(found + NLA_HDRLEN, found + lengthAt(bytes, found));
  }
}

/** The nla_len of the attribute there. @throws NetlinkError if it, or what it says, is cut off */
function lengthAt(bytes: Uint8Array, offset: number): number {
  const rest = bytes.length - offset;
  if (rest < NLA_HDRLEN) {
    throw malformed('nlattr', `expected ${NLA_HDRLEN} bytes, got ${rest}`);
  }
  const length = u16At(bytes, offset);
  if (length < NLA_HDRLEN || length > rest) {
    throw malformed('nlattr', `expected a length from ${NLA_HDRLEN} to ${rest}, got ${length}`);
  }
  return length;
}

/** The nla_type of the attribute there, without its flags. */
function typeAt(bytes: Uint8Array, offset: number): number {
  return u16At(bytes, offset + 2) & NLA_TYPE_MASK;
}

/** Without a view of the bytes, of which each would take one of its own. */
function u16At(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] ?? 0) | ((bytes[offset + 1] ?? 0) << 8);
}

function NLA_ALIGN(length: number): number {
  return (length + 3) & ~3;
}
