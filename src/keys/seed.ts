import { base64Fault, decodeBase64 } from '../wireguard/base64.ts';
import { Secret } from '../wireguard/secret.ts';

/**
 * Parses a seed, base64 of at least one byte; undefined if it is none. It may have line breaks, as `openssl rand -base64 64`
 * and base64(1) write them.
 */
export function parseSeed(text: string): Secret | undefined {
  const bytes = decodeBase64(inOneLine(text));
  return bytes !== undefined && bytes.length > 0 ? new Secret(bytes) : undefined;
}

/** What was expected where a text is no seed, and what is wrong with it, without quoting it. */
export function seedExpectation(text: string): string {
  return `expected base64, but ${base64Fault(inOneLine(text))}; \`wgdriver keys seed\` makes a seed`;
}

function inOneLine(text: string): string {
  return text.trim().replaceAll(/\r?\n/g, '');
}
