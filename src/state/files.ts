import { mkdir, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';

/** Files of one suffix in a folder: small JSON records, each called by its id. */
export interface StateFiles {
  /** Every record by its id, in no order; a file that is no JSON is given as an Error. */
  readAll(): Promise<[id: string, record: unknown][]>;
  /** Puts a record that makes no sense out of the way, under a name that is said; it is not deleted. */
  setAside(id: string): Promise<string>;
}

export async function makeStateFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
}

export function stateFiles(path: string, suffix: string): StateFiles {
  return {
    readAll: () => readRecords(path, suffix),
    async setAside(id) {
      const file = join(path, id + suffix);
      const aside = `${file}.unreadable-${Date.now()}`;
      await rename(file, aside);
      return aside;
    },
  };
}

/** At half the price of rm(…, { force: true }), which looks first. */
export async function unlinkIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') {
      throw error;
    }
  });
}

export function textOf(record: object): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}

async function readRecords(path: string, suffix: string): Promise<[id: string, record: unknown][]> {
  const names = (await readdir(path)).filter((name) => name.endsWith(suffix));
  const records: [string, unknown][] = [];
  // One after the other: thousands at once would run out of file descriptors, and look unreadable.
  for (const name of names) {
    records.push([name.slice(0, -suffix.length), await readJson(join(path, name))]);
  }
  return records;
}

async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
  try {
    return JSON.parse(text);
  } catch {
    // JSON.parse's own message quotes the text, and a seed may be in it.
    return new Error('expected JSON');
  }
}

/** In the words of the kernel: `write state file /…/x.json: ENOSPC: no space left on device, write`. */
export function failure(operation: string, path: string, error: unknown): Error {
  return new Error(
    `${operation} state file ${path}: ${error instanceof Error ? error.message : String(error)}`,
  );
}
