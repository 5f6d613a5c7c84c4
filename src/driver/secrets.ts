import { readAdditionalFile, readPresharedKeyFile, readPrivateKeyFile } from '../keys/key-files.ts';
import { readSecretFile } from '../keys/secret-file.ts';
import { readSeedFile } from '../keys/seed-file.ts';
import {
  decodeEndpointOptions,
  type EndpointOptions,
  type NetworkOptions,
  type SecretFile,
  secretFileOf,
  withPrefix,
} from '../networks/options.ts';
import type { TunnelSecrets } from '../networks/tunnel.ts';
import type { Endpoint } from '../state/store.ts';
import { readWgQuick } from '../wireguard/config/wg-quick-reader.ts';
import { Secret } from '../wireguard/secret.ts';

/** 5,000 peers, each with two keys, a host name and several prefixes. */
const maxConfigurationBytes = 2 ** 21;

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
    ...(privatekeyfile && { privateKey: await readPrivateKeyFile(pathOf(privatekeyfile)) }),
    additional: 'file' in additional ? (await readAdditionalFile(pathOf(additional)))[0] : additional,
    ...(presharedKey !== undefined && {
      presharedKey:
        presharedKey === 'derived' ? presharedKey : await readPresharedKeyFile(pathOf(presharedKey)),
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

/** The options of an endpoint, from its record. @throws Error that names the option */
export function endpointOptionsOf({ options = {} }: Endpoint): EndpointOptions {
  return decodeEndpointOptions(withPrefix(options));
}
