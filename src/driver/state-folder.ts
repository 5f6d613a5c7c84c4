import { mkdir, open, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';

/** One small JSON file for each record of a kind, in a folder of their own. */
export interface StateFolder {
  /** Every record by its id, in no order; a file that is no JSON is given as an Error. */
  readAll(): Promise<[id: string, record: unknown][]>;
  /** A kill at any moment leaves the old or the new record, whole; if durable, so does a power cut. */
  write(id: string, record: object): Promise<void>;
  /** The first half of a write, which is not durable: `finish` puts the record in the place of the one before. */
  begin(id: string, record: object): Promise<void>;
  finish(id: string): Promise<void>;
  /** Every record that was begun and not finished, whole. */
  readBegun(): Promise<[id: string, record: unknown][]>;
  /** Also one that was begun. A record that is not there is no error. */
  remove(id: string): Promise<void>;
  /** Puts a record that makes no sense out of the way, under a name that is said; it is not deleted. */
  setAside(id: string): Promise<string>;
}

const suffix = '.json';
const begunSuffix = '.begun';

/**
 * Opens a folder of records, making it if need be; root's alone. Unless told otherwise it is durable: what
 * was written or removed is so on the disk, too, once the promise resolves.
 */
export async function openStateFolder(path: string, { isDurable = true } = {}): Promise<StateFolder> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const fileOf = (id: string) => join(path, id + suffix);
  const begunFileOf = (id: string) => join(path, id + begunSuffix);
  const begun = new Set<string>();
  const sync = async () => (isDurable ? syncFolder(path) : undefined);
  // What write-file-atomic was writing when a kill cut it short; a seed may be in it.
  for (const name of (await readdir(path)).filter((candidate) => /\.json\.\d+$/.test(candidate))) {
    await rm(join(path, name));
  }
  return {
    readAll: () => readRecords(path, suffix),

    async begin(id, record) {
      begun.add(id);
      try {
        await writeFile(begunFileOf(id), textOf(record), { mode: 0o600 });
      } catch (error) {
        await unlinkIfThere(begunFileOf(id)).catch(() => {});
        throw failure('write', begunFileOf(id), error);
      }
    },

    async finish(id) {
      try {
        await rename(begunFileOf(id), fileOf(id));
      } catch (error) {
        throw failure('write', fileOf(id), error);
      }
      begun.delete(id);
    },

    async readBegun() {
      const records = await readRecords(path, begunSuffix);
      for (const [id] of records) {
        begun.add(id);
      }
      // A part of one tells nothing: what it was for comes after it.
      return records.filter(([, record]) => !(record instanceof Error));
    },

    async write(id, record) {
      try {
        await writeFileAtomic(fileOf(id), textOf(record), { mode: 0o600, fsync: isDurable });
        await sync();
      } catch (error) {
        throw failure('write', fileOf(id), error);
      }
    },

    async remove(id) {
      try {
        if (begun.has(id)) {
          await unlinkIfThere(begunFileOf(id));
          begun.delete(id);
        }
        await unlinkIfThere(fileOf(id));
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

/** At half the price of rm(…, { force: true }), which looks first. */
async function unlinkIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') {
      throw error;
    }
  });
}

function textOf(record: object): string {
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
