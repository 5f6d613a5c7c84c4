import { parseAdditionals } from '../keys/additional.ts';
import { readSecretFile } from '../keys/secret-file.ts';
import { readSeedFile } from '../keys/seed-file.ts';
import { type NetworkOptions, type SecretFile, secretFileOf } from '../networks/options.ts';
import type { TunnelSecrets } from '../networks/tunnel.ts';
import { type PresharedKey, parsePresharedKey } from '../wireguard/key.ts';
import { Secret } from '../wireguard/secret.ts';

/** A key, or a hundred additionals. */
const maxBytes = 4096;

/**
 * Reads what makes the keys of a network's tunnels, from its options and the files that they name.
 * @throws Error that names the file and what was expected, never what was in it
 */
export async function readSecrets(options: NetworkOptions, secretsFolder: string): Promise<TunnelSecrets> {
  const { seed, additional, presharedKey } = options;
  const pathOf = (file: SecretFile) => secretFileOf(file, secretsFolder);
  return {
    seed: seed instanceof Secret ? seed : await readSeedFile(pathOf(seed)),
    additional: 'file' in additional ? await readAdditional(pathOf(additional)) : additional,
    ...(presharedKey !== undefined && {
      presharedKey: presharedKey === 'derived' ? presharedKey : await readPresharedKey(pathOf(presharedKey)),
    }),
  };
}

/** The value that drivers use: the first of an additional file. */
async function readAdditional(path: string): Promise<Uint8Array> {
  const [first] = parseAdditionals(await readSecretFile('additional file', path, { maxBytes })) ?? [];
  if (first === undefined) {
    throw new Error(`additional file ${path}: expected a value in base64 on each line, the newest first`);
  }
  return first;
}

async function readPresharedKey(path: string): Promise<PresharedKey> {
  const key = parsePresharedKey((await readSecretFile('preshared key file', path, { maxBytes })).trim());
  if (key === undefined) {
    throw new Error(`preshared key file ${path}: expected 32 bytes in base64, as \`wg genpsk\` prints them`);
  }
  return key;
}
