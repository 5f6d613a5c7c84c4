import { randomBytes } from 'node:crypto';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { encodeBase64 } from '../wireguard/base64.ts';
import { clamp, type PrivateKey, parsePrivateKey } from '../wireguard/key.ts';
import { decodeHubConfig, type HubConfig } from './config.ts';

export const defaultHubFile = '/etc/wgdriver/hub.yaml';

/** Reads and decodes hub.yaml. @throws HubConfigError; Error if it cannot be read */
export async function readHubConfig(file: string): Promise<HubConfig> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new Error(`hub’s file ${file}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
  }
  return decodeHubConfig(text, file);
}

/** The hub's private key. @throws Error that names the file, never what was in it; undefined if there is none */
export async function readPrivateKeyFile(file: string): Promise<PrivateKey | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      return undefined;
    }
    throw new Error(`private key file ${file}: ${code ?? String(error)}`);
  }
  const key = parsePrivateKey(text.trim());
  if (key === undefined) {
    throw new Error(`private key file ${file}: expected 32 bytes in base64, as \`wg genkey\` prints them`);
  }
  return key;
}

/** The same, and makes a key where there is none: for root alone from its first moment. @throws Error */
export async function ensurePrivateKeyFile(file: string): Promise<PrivateKey> {
  const present = await readPrivateKeyFile(file);
  if (present !== undefined) {
    // The key is what the hub is known by: nobody else may have it.
    await chmod(file, 0o600);
    return present;
  }
  const text = encodeBase64(clamp(randomBytes(32)));
  try {
    await writeFile(file, `${text}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw new Error(
      `make private key file ${file}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`,
    );
  }
  return parsePrivateKey(text) as PrivateKey;
}
