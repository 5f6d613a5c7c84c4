import { Buffer } from 'node:buffer';
import { createReadStream } from 'node:fs';
import type { Secret } from '../wireguard/secret.ts';
import { parseSeed } from './seed.ts';

/** More than any sensible seed, so that a wrong path cannot fill the memory. */
const maxSeedFileBytes = 4096;

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
