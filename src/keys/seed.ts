import { decodeBase64 } from '../wireguard/base64.ts';
import { Secret } from '../wireguard/secret.ts';

/** Parses a seed, base64 of at least one byte; undefined if it is none. */
export function parseSeed(text: string): Secret | undefined {
  const bytes = decodeBase64(text.trim());
  return bytes !== undefined && bytes.length > 0 ? new Secret(bytes) : undefined;
}
