import { Buffer } from 'node:buffer';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { fileFault } from '../file-fault.ts';

interface Setting {
  readonly maxBytes: number;
  /** Whether a pipe will do, as for who types `--seed-file <(…)`. It is waited for, and with it one of few threads. */
  readonly pipe?: boolean;
}

/**
 * Reads a small text from a regular file.
 * @param what the file is, for errors: `seed file`
 * @throws Error that names the file and its cause, never what was in it
 */
export async function readSecretFile(
  what: string,
  path: string,
  { maxBytes, pipe = false }: Setting,
): Promise<string> {
  const fault = (cause: string) => new Error(`${what} ${path}: ${cause}`);
  let handle: FileHandle | undefined;
  try {
    // Without O_NONBLOCK a FIFO that nobody writes into would keep a thread for ever, and the file system has four.
    handle = await open(path, constants.O_RDONLY | (pipe ? 0 : constants.O_NONBLOCK));
    const stats = await handle.stat();
    if (stats.isDirectory() || !(pipe || stats.isFile())) {
      throw fault(`expected a regular file, got ${stats.isDirectory() ? 'a directory' : 'a pipe or device'}`);
    }
    const bytes = await readUpTo(handle, maxBytes + 1);
    if (bytes.length > maxBytes) {
      throw fault(`expected at most ${maxBytes} bytes`);
    }
    return bytes.toString('utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === undefined ? error : fault(fileFault(error));
  } finally {
    await handle?.close();
  }
}

async function readUpTo(handle: FileHandle, most: number): Promise<Buffer> {
  const buffer = Buffer.alloc(most);
  let length = 0;
  while (length < most) {
    const { bytesRead } = await handle.read(buffer, length, most - length, null);
    if (bytesRead === 0) {
      break;
    }
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}
