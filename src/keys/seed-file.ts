import type { Secret } from '../wireguard/secret.ts';
import { readSecretFile } from './secret-file.ts';
import { parseSeed, seedExpectation } from './seed.ts';

/** More than any sensible seed, so that a wrong path cannot fill the memory. */
const maxBytes = 4096;

/**
 * Reads a seed from a file that holds it in base64, white space around it allowed.
 * @throws Error that names the file and what was expected, never what was in it
 */
export async function readSeedFile(path: string, setting: { readonly pipe?: boolean } = {}): Promise<Secret> {
  const text = await readSecretFile('seed file', path, { maxBytes, ...setting });
  const seed = parseSeed(text);
  if (seed === undefined) {
    throw new Error(`seed file ${path}: ${seedExpectation(text)}`);
  }
  return seed;
}
