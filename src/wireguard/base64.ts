import { Buffer } from 'node:buffer';

const alphabet = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Decodes padded standard base64 (RFC 4648 section 4), as `wg` and `base64` write it.
 * Returns undefined for anything else: `Buffer.from` would silently skip what it does not know.
 */
export function decodeBase64(text: string): Uint8Array | undefined {
  return alphabet.test(text) ? new Uint8Array(Buffer.from(text, 'base64')) : undefined;
}

export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
