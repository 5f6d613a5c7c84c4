import { decodeBase64 } from '../wireguard/base64.ts';

/**
 * Parses the text of an additional file: one value in base64 a line, the one in use first and older epochs below.
 * Empty lines and those that begin with # say nothing. Undefined if there is none, or another line.
 */
export function parseAdditionals(text: string): readonly Uint8Array[] | undefined {
  const values = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map(decodeBase64);
  return values.length > 0 && values.every((value) => value !== undefined) ? values : undefined;
}
