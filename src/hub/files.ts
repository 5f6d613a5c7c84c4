import { randomBytes } from 'node:crypto';
import { chmod, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileFault } from '../file-fault.ts';
import { readPrivateKeyFile } from '../keys/key-files.ts';
import { readSecretFile } from '../keys/secret-file.ts';
import { encodeBase64 } from '../wireguard/base64.ts';
import { clamp, type PrivateKey, parsePrivateKey } from '../wireguard/key.ts';
import { decodeHubConfig, type HubConfig } from './config.ts';

export const defaultHubFile = '/etc/wgdriver/hub.yaml';

/** Tens of thousands of clients. */
const maxConfigBytes = 2 ** 24;

/** Reads and decodes hub.yaml. @throws HubConfigError; Error if it cannot be read */
export async function readHubConfig(file: string): Promise<HubConfig> {
  return decodeHubConfig(await readSecretFile('hub’s file', file, { maxBytes: maxConfigBytes }), file);
}

/** The hub's private key; undefined if there is none. @throws Error that names the file, never what was in it */
export async function findPrivateKey(file: string): Promise<PrivateKey | undefined> {
  return (await modeOf(file)) === undefined ? undefined : readPrivateKeyFile(file);
}

/** The same, of a file that is for root alone from then on. @throws Error */
export async function securePrivateKey(file: string): Promise<PrivateKey | undefined> {
  const mode = await modeOf(file);
  // A group may have it: systemd-networkd reads its keys as one.
  if (mode !== undefined && (mode & 0o007) !== 0) {
    // The unit keeps most folders read-only.
    await chmod(file, mode & 0o770).catch((error) => {
      throw new Error(
        `private key file ${file}: everybody can read it, and that could not be changed (${codeOf(error)}): run \`chmod 600 ${file}\``,
      );
    });
  }
  return findPrivateKey(file);
}

/** Why a link that exists gets no new key, and how its own comes into the file. */
export function missingKey(file: string, link: string): string {
  return (
    `private key file ${file} does not exist, and a new key would cut off the peers of link ${link}: put the file ` +
    `back, or store the link’s own key by \`(umask 077; wg show ${link} private-key >${file})\``
  );
}

async function modeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).mode & 0o777;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') {
      return undefined;
    }
    throw new Error(`private key file ${file}: ${fileFault(error)}`);
  }
}

/** Makes a private key, for root alone from its first moment. @throws Error, also if there is such a file */
export async function makePrivateKey(file: string): Promise<PrivateKey> {
  const text = encodeBase64(clamp(randomBytes(32)));
  try {
    // On disk before anybody is told the public key: a power cut must not make another hub of this one.
    const handle = await open(file, 'wx', 0o600);
    try {
      await handle.writeFile(`${text}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await syncFolder(dirname(file));
  } catch (error) {
    throw new Error(`make private key file ${file}: ${codeOf(error)}`);
  }
  return parsePrivateKey(text) as PrivateKey;
}

/** A new name in a folder is on disk when the folder is. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
