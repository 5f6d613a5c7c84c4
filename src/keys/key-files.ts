import {
  keyExpectation,
  type PresharedKey,
  type PrivateKey,
  parsePresharedKey,
  parsePrivateKey,
} from '../wireguard/key.ts';
import { parseAdditionals } from './additional.ts';
import { readSecretFile } from './secret-file.ts';

/** A key, or a hundred additionals. */
const maxBytes = 4096;

/** @throws Error that names the file and what was expected, never what was in it */
export async function readPrivateKeyFile(
  path: string,
  setting: { readonly pipe?: boolean } = {},
): Promise<PrivateKey> {
  const text = await readSecretFile('private key file', path, { maxBytes, ...setting });
  return privateKeyIn(text, `private key file ${path}`);
}

/** @param source where the text is from, for the error. @throws Error that says what was expected */
export function privateKeyIn(text: string, source: string): PrivateKey {
  const line = text.trim();
  const key = parsePrivateKey(line);
  if (key === undefined) {
    throw new Error(`${source}: ${keyExpectation('private', line)}`);
  }
  return key;
}

/** @throws Error that names the file and what was expected, never what was in it */
export async function readPresharedKeyFile(path: string): Promise<PresharedKey> {
  const line = (await readSecretFile('preshared key file', path, { maxBytes })).trim();
  const key = parsePresharedKey(line);
  if (key === undefined) {
    throw new Error(`preshared key file ${path}: ${keyExpectation('preshared', line)}`);
  }
  return key;
}

/** The values of an additional file: the one that drivers use first. @throws Error that names the file */
export async function readAdditionalFile(path: string): Promise<readonly [Uint8Array, ...Uint8Array[]]> {
  const [first, ...older] =
    parseAdditionals(await readSecretFile('additional file', path, { maxBytes })) ?? [];
  if (first === undefined) {
    throw new Error(`additional file ${path}: expected a value in base64 on each line, the newest first`);
  }
  return [first, ...older];
}
