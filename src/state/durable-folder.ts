import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { failure, makeStateFolder, namesIn, textOf, unlinkIfThere } from './files.ts';

/** Records that survive a power cut: what was written or removed is so on the disk once the promise resolves. */
export interface DurableFolder {
  /** A kill or a power cut at any moment leaves the old or the new record, whole. */
  write(id: string, record: object): Promise<void>;
  /** A record that is not there is no error. */
  remove(id: string): Promise<void>;
}

export const suffix = '.json';

/** Opens a folder of records, making it if need be; root's alone. */
export async function openDurableFolder(path: string): Promise<DurableFolder> {
  await makeStateFolder(path);
  const fileOf = (id: string) => join(path, id + suffix);
  // What write-file-atomic was writing when a kill cut it short; a seed may be in it.
  for (const name of (await namesIn(path)).filter((candidate) => /\.json\.\d+$/.test(candidate))) {
    await rm(join(path, name));
  }
  return {
    async write(id, record) {
      try {
        await writeFileAtomic(fileOf(id), textOf(record), { mode: 0o600 });
        await syncFolder(path);
      } catch (error) {
        throw failure('write', fileOf(id), error);
      }
    },

    async remove(id) {
      try {
        await unlinkIfThere(fileOf(id));
        await syncFolder(path);
      } catch (error) {
        throw failure('remove', fileOf(id), error);
      }
    },
  };
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
