import { Buffer } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { decodeBase64 } from '../wireguard/base64.ts';
import { Secret } from '../wireguard/secret.ts';

/** More than any sensible seed, so that a wrong path cannot fill the memory. */
const maxSeedFileBytes = 4096;

/** Parses a seed, base64 of at least one byte; undefined if it is none. */
export function parseSeed(text: string): Secret | undefined {
  const bytes = decodeBase64(text.trim());
  return bytes !== undefined && bytes.length > 0 ? new Secret(bytes) : undefined;
}

/**
 * Reads a seed from a file or pipe that holds it in base64, white space around it allowed.
 * @throws Error that names the file and what was expected, never what was in it
 */
export async function readSeedFile(path: string): Promise<Secret> {
  const seed = parseSeed(await readSmallFile(path));
  if (seed === undefined) {
    throw new Error(`seed file ${path}: expected base64 and nothing else, at most ${maxSeedFileBytes} bytes`);
  }
  return seed;
}

/** Reads text of at most maxSeedFileBytes; of a longer file so much that it is no seed any more. */
async function readSmallFile(path: string): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of createReadStream(path, { end: maxSeedFileBytes })) {
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    throw new Error(`seed file ${path}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
  }
  const text = Buffer.concat(chunks);
  return text.length > maxSeedFileBytes ? '' : text.toString('utf8');
}
