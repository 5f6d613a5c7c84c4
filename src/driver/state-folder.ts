import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';

/** One small JSON file for each record of a kind, in a folder of their own. */
export interface StateFolder {
  /** Every record by its id, in no order; a file that is no JSON is given as an Error. */
  readAll(): Promise<[id: string, record: unknown][]>;
  /** Durable when it resolves: a power cut leaves the old or the new record, whole. */
  write(id: string, record: object): Promise<void>;
  /** Durable when it resolves; a record that is not there is no error. */
  remove(id: string): Promise<void>;
  /** Puts a record that makes no sense out of the way, under a name that is said; it is not deleted. */
  setAside(id: string): Promise<string>;
}

const suffix = '.json';

/** Opens a folder of records, making it if need be; root's alone. */
export async function openStateFolder(path: string): Promise<StateFolder> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const fileOf = (id: string) => join(path, id + suffix);
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
      await writeFileAtomic(fileOf(id), `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 });
      await syncFolder(path);
    },

    async remove(id) {
      await rm(fileOf(id), { force: true });
      await syncFolder(path);
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

/** A rename or a removal is on the disk when its folder is; write-file-atomic syncs the file alone. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
