import type { Secret } from '../wireguard/secret.ts';
import { readSecretFile } from './secret-file.ts';
import { parseSeed } from './seed.ts';

/** More than any sensible seed, so that a wrong path cannot fill the memory. */
const maxBytes = 4096;

/**
 * Reads a seed from a file that holds it in base64, white space around it allowed.
 * @throws Error that names the file and what was expected, never what was in it
 */
export async function readSeedFile(path: string, setting: { readonly pipe?: boolean } = {}): Promise<Secret> {
  const seed = parseSeed(await readSecretFile('seed file', path, { maxBytes, ...setting }));
  if (seed === undefined) {
    throw new Error(`seed file ${path}: expected base64 and nothing else, at most ${maxBytes} bytes`);
  }
  return seed;
}
