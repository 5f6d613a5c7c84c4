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

/** What is wrong with a text that decodeBase64 does not take. It quotes nothing of the text, which may be a secret. */
export function base64Fault(text: string): string {
  if (text === '') {
    return 'it is empty';
  }
  if (/\s/.test(text)) {
    return text.includes('\r') ? 'it contains a carriage return' : 'it contains white space';
  }
  if (/[-_]/.test(text) && /^[\w-]+=*$/.test(text)) {
    return 'it is URL-safe base64: write + for each - and / for each _';
  }
  if (/^[A-Za-z0-9+/]+=+[A-Za-z0-9+/]/.test(text)) {
    return 'it continues after an =, which may only be at the end';
  }
  const end = /^[A-Za-z0-9+/]+(?==*$)/.exec(text)?.[0].length;
  if (end === undefined) {
    return 'it contains characters that are not base64';
  }
  return end % 4 !== 1 && text.length > Math.ceil(end / 4) * 4
    ? 'it has too many = at its end'
    : 'it is cut short, or the = at its end is missing';
}
