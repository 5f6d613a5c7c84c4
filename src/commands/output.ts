import { createWriteStream, fstatSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import writeFileAtomic from 'write-file-atomic';
import { writeFault } from '../file-fault.ts';
import { UsageError } from './command.ts';

/** Writes to stdout, at the pace of who reads it. A reader that leaves ends the process (cli.ts). */
export async function print(pieces: AsyncIterable<string>): Promise<void> {
  await pipeline(inBlocks(pieces), process.stdout, { end: false });
}

/**
 * What is wrong with stdout for secrets: it is a file that others can read, as of a shell’s `>`. Undefined if it is not.
 * @param secret what would be written: `a private key`
 */
export function openStdoutFault(secret: string): string | undefined {
  const { mode } = fstatSync(1);
  // S_IFMT and S_IFREG.
  return (mode & 0o170000) === 0o100000 && (mode & 0o077) !== 0
    ? `stdout is a file that others can read, and the output holds ${secret}`
    : undefined;
}

/**
 * Whoever names a seed as the file to write would lose it, and every key with it.
 * @param option that names the output: `--output`
 * @param inputs files that are read; `-` is stdin
 * @throws UsageError if the output is one of them, by whatever name
 */
export async function refuseInput(
  option: string,
  output: string | undefined,
  inputs: readonly (string | undefined)[],
): Promise<void> {
  const written = await fileAt(output);
  for (const input of inputs) {
    const read = await fileAt(input);
    if (read !== undefined && read.dev === written?.dev && read.ino === written.ino) {
      throw new UsageError(
        `option ${option}: ${output} is read by this command and would be overwritten: choose another file`,
      );
    }
  }
}

/** What is at a path, if it is a file: devices and pipes keep nothing that could be lost. */
async function fileAt(path = '') {
  const present = await stat(path === '-' ? '/dev/stdin' : path, { bigint: true }).catch(() => undefined);
  return present?.isFile() ? present : undefined;
}

/**
 * Makes or replaces a file, in one step when all is written: where that fails, the old one stays. A device or a pipe
 * that is there, such as /dev/null or /dev/stdout, is written into.
 * @throws Error that names the file
 */
export async function replaceFile(path: string, content: Content, mode: number): Promise<void> {
  try {
    await put(path, content, mode);
  } catch (error) {
    // What makes the content may fail as well.
    const isFault = (error as NodeJS.ErrnoException).code !== undefined;
    throw isFault ? new Error(`cannot write ${path}: ${writeFault(error)}`) : error;
  }
}

type Content = AsyncIterable<string> | string | Uint8Array;

async function put(path: string, content: Content, mode: number): Promise<void> {
  const chunks = () =>
    typeof content === 'string' || content instanceof Uint8Array ? [content] : inBlocks(content);
  const present = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') {
      throw error;
    }
    return undefined;
  });
  if (present?.isFile() === false) {
    await pipeline(chunks(), createWriteStream(path));
    return;
  }
  await writeFileAtomic(path, '', {
    mode,
    // It takes whole texts only, but waits for this before it puts the file in place.
    tmpfileCreated: (temporary) => pipeline(chunks(), createWriteStream(temporary)),
  });
}

/** Characters that are written at once: line by line, writing would cost more than the keys. */
const blockLength = 0x1_0000;

async function* inBlocks(pieces: AsyncIterable<string>): AsyncGenerator<string> {
  let block = '';
  for await (const piece of pieces) {
    block += piece;
    if (block.length >= blockLength) {
      yield block;
      block = '';
    }
  }
  yield block;
}
