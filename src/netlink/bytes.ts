/**
 * Numbers in the kernel's messages are in the host's byte order. That is little-endian on the machines
 * that there are runtimes for, x64 and arm64; openLibc refuses others.
 */
const littleEndian = true;

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

export function u8(value: number): Uint8Array {
  return Uint8Array.of(value);
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8);
}

export function u32(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}

/** In network byte order, as netfilter has most of its attributes. */
export function be16(value: number): Uint8Array {
  return u16(value).reverse();
}

export function be32(value: number): Uint8Array {
  return u32(value).reverse();
}

/** Text without a final zero, for NLA_STRING. */
export function chars(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Text with a final zero, for NLA_NUL_STRING. */
export function cString(text: string): Uint8Array {
  return chars(`${text}\0`);
}

export function readU16(bytes: Uint8Array, offset = 0): number {
  return viewOf(bytes).getUint16(offset, littleEndian);
}

export function readU32(bytes: Uint8Array, offset = 0): number {
  return viewOf(bytes).getUint32(offset, littleEndian);
}

export function readI32(bytes: Uint8Array, offset = 0): number {
  return viewOf(bytes).getInt32(offset, littleEndian);
}

export function readU64(bytes: Uint8Array, offset = 0): bigint {
  return viewOf(bytes).getBigUint64(offset, littleEndian);
}

export function readI64(bytes: Uint8Array, offset = 0): bigint {
  return viewOf(bytes).getBigInt64(offset, littleEndian);
}

/** To the letter: another's alias that only looks like ours is not ours. */
const text = new TextDecoder('utf-8', { ignoreBOM: true });

/** Text up to its final zero, or all of it if there is none. */
export function readCString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return text.decode(end === -1 ? bytes : bytes.subarray(0, end));
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
