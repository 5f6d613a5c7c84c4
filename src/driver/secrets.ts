import { parseAdditionals } from '../keys/additional.ts';
import { readSecretFile } from '../keys/secret-file.ts';
import { readSeedFile } from '../keys/seed-file.ts';
import {
  decodeEndpointOptions,
  type EndpointOptions,
  type NetworkOptions,
  optionPrefix,
  type SecretFile,
  secretFileOf,
} from '../networks/options.ts';
import type { TunnelSecrets } from '../networks/tunnel.ts';
import type { Endpoint } from '../state/store.ts';
import { readWgQuick } from '../wireguard/config/wg-quick-reader.ts';
import { type PresharedKey, type PrivateKey, parsePresharedKey, parsePrivateKey } from '../wireguard/key.ts';
import { Secret } from '../wireguard/secret.ts';

/** A key, or a hundred additionals. */
const maxBytes = 4096;

/** 5,000 peers with two keys each. */
const maxConfigurationBytes = 2 ** 20;

/**
 * Reads what makes the keys of a network's tunnels, from its options and the files that they name.
 * @param own options of one endpoint, which win
 * @throws Error that names the file and what was expected, never what was in it
 */
export async function readSecrets(
  options: NetworkOptions,
  secretsFolder: string,
  own: EndpointOptions = {},
): Promise<TunnelSecrets> {
  const { seed, additional } = options;
  const { privatekeyfile, presharedkeyfile: presharedKey = options.presharedKey } = own;
  const pathOf = (file: SecretFile) => secretFileOf(file, secretsFolder);
  return {
    ...(seed && { seed: seed instanceof Secret ? seed : await readSeedFile(pathOf(seed)) }),
    ...(await readConfiguration(options, secretsFolder)),
    ...(privatekeyfile && { privateKey: await readPrivateKey(pathOf(privatekeyfile)) }),
    additional: 'file' in additional ? await readAdditional(pathOf(additional)) : additional,
    ...(presharedKey !== undefined && {
      presharedKey: presharedKey === 'derived' ? presharedKey : await readPresharedKey(pathOf(presharedKey)),
    }),
  };
}

/**
 * Reads the configuration file of a network, if it names one.
 * @throws Error that names the file and its line
 */
export async function readConfiguration(
  { conffile }: NetworkOptions,
  secretsFolder: string,
): Promise<Pick<TunnelSecrets, 'configuration'>> {
  if (conffile === undefined) {
    return {};
  }
  const path = secretFileOf(conffile, secretsFolder);
  const text = await readSecretFile('configuration file', path, { maxBytes: maxConfigurationBytes });
  try {
    return { configuration: readWgQuick(text) };
  } catch (error) {
    throw new Error(`configuration file ${path}: ${(error as Error).message}`);
  }
}

async function readPrivateKey(path: string): Promise<PrivateKey> {
  const key = parsePrivateKey((await readSecretFile('private key file', path, { maxBytes })).trim());
  if (key === undefined) {
    throw new Error(`private key file ${path}: expected 32 bytes in base64, as \`wg genkey\` prints them`);
  }
  return key;
}

/** The options of an endpoint, from its record. @throws Error that names the option */
export function endpointOptionsOf({ options = {} }: Endpoint): EndpointOptions {
  return decodeEndpointOptions(
    Object.fromEntries(Object.entries(options).map(([name, value]) => [optionPrefix + name, value])),
  );
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
