import { open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { failure, makeStateFolder, type StateFiles, stateFiles, textOf, unlinkIfThere } from './files.ts';

/** Records of a kind in a folder of their own. What was written or removed is so on the disk once the promise resolves. */
export interface StateFolder extends StateFiles {
  /** A kill or a power cut at any moment leaves the old or the new record, whole. */
  write(id: string, record: object): Promise<void>;
  /** A record that is not there is no error. */
  remove(id: string): Promise<void>;
}

const suffix = '.json';

/** Opens a folder of records, making it if need be; root's alone. */
export async function openStateFolder(path: string): Promise<StateFolder> {
  await makeStateFolder(path);
  const fileOf = (id: string) => join(path, id + suffix);
  // What write-file-atomic was writing when a kill cut it short; a seed may be in it.
  for (const name of (await readdir(path)).filter((candidate) => /\.json\.\d+$/.test(candidate))) {
    await rm(join(path, name));
  }
  return {
    ...stateFiles(path, suffix),

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
