import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';

/** One small JSON file for each record of a kind, in a folder of their own. */
export interface StateFolder {
  /** Every record by its id, in no order; a file that is no JSON is given as an Error. */
  readAll(): Promise<[id: string, record: unknown][]>;
  /** A kill at any moment leaves the old or the new record, whole; if durable, so does a power cut. */
  write(id: string, record: object): Promise<void>;
  /** A record that is not there is no error. */
  remove(id: string): Promise<void>;
  /** Puts a record that makes no sense out of the way, under a name that is said; it is not deleted. */
  setAside(id: string): Promise<string>;
}

const suffix = '.json';

/**
 * Opens a folder of records, making it if need be; root's alone. Unless told otherwise it is durable: what
 * was written or removed is so on the disk, too, once the promise resolves.
 */
export async function openStateFolder(path: string, { isDurable = true } = {}): Promise<StateFolder> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const fileOf = (id: string) => join(path, id + suffix);
  const sync = async () => (isDurable ? syncFolder(path) : undefined);
  // What write-file-atomic was writing when a kill cut it short; a seed may be in it.
  for (const name of (await readdir(path)).filter((candidate) => /\.json\.\d+$/.test(candidate))) {
    await rm(join(path, name));
  }
  return {
    async readAll() {
      const names = (await readdir(path)).filter((name) => name.endsWith(suffix));
      const records: [string, unknown][] = [];
      // One after the other: thousands at once would run out of file descriptors, and look unreadable.
      for (const name of names) {
        const id = name.slice(0, -suffix.length);
        records.push([id, await readJson(fileOf(id))]);
      }
      return records;
    },

    async write(id, record) {
      const text = `${JSON.stringify(record, null, 2)}\n`;
      try {
        await writeFileAtomic(fileOf(id), text, { mode: 0o600, fsync: isDurable });
        await sync();
      } catch (error) {
        throw failure('write', fileOf(id), error);
      }
    },

    async remove(id) {
      try {
        await rm(fileOf(id), { force: true });
        await sync();
      } catch (error) {
        throw failure('remove', fileOf(id), error);
      }
    },

    async setAside(id) {
      const aside = `${fileOf(id)}.unreadable-${Date.now()}`;
      await rename(fileOf(id), aside);
      return aside;
    },
  };
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
function failure(operation: string, path: string, error: unknown): Error {
  return new Error(
    `${operation} state file ${path}: ${error instanceof Error ? error.message : String(error)}`,
  );
}

/** A rename or a removal is on the disk when its folder is; write-file-atomic syncs the file alone. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
