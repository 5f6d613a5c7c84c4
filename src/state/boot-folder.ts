import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  failure,
  makeStateFolder,
  namesIn,
  readStateFiles,
  type StateFile,
  textOf,
  unlinkIfThere,
} from './files.ts';
import { type Stage, stageSuffixes, stages } from './records.ts';

/**
 * Records of this boot of the machine. They outlive this process and not a power cut, as links and containers do: so
 * nothing waits for the disk, and nobody reads what another boot has left.
 */
export interface BootFolder {
  /** A kill at any moment leaves the old or the new record, whole. */
  write(id: string, suffix: string, record: object): Promise<void>;
  /** Of which a kill leaves no half, and which a full disk does not keep from being recorded. */
  move(id: string, from: string, to: string): Promise<void>;
  /** A record that is not there is no error. */
  remove(id: string, suffix: string): Promise<void>;
}

const partial = '.partial';

/** Opens the folder, making it if need be; root's alone. */
export async function openBootFolder(path: string): Promise<BootFolder> {
  await makeStateFolder(path);
  for (const name of (await namesIn(path)).filter((candidate) => candidate.endsWith(partial))) {
    await rm(join(path, name));
  }
  return {
    async write(id, suffix, record) {
      const file = join(path, id + suffix);
      try {
        await writeFile(file + partial, textOf(record), { mode: 0o600 });
        await rename(file + partial, file);
      } catch (error) {
        await unlinkIfThere(file + partial).catch(() => {});
        throw failure('write', file, error);
      }
    },

    async move(id, from, to) {
      const file = join(path, id + to);
      try {
        await rename(join(path, id + from), file);
      } catch (error) {
        throw failure('write', file, error);
      }
    },

    async remove(id, suffix) {
      const file = join(path, id + suffix);
      await unlinkIfThere(file).catch((error) => {
        throw failure('remove', file, error);
      });
    },
  };
}

/** @throws StateError */
export async function readStages(path: string): Promise<Record<Stage, StateFile[]>> {
  const files: Record<Stage, StateFile[]> = { leaving: [], marked: [], begun: [] };
  for (const stage of stages) {
    files[stage] = await readStateFiles(path, stageSuffixes[stage]);
  }
  return files;
}

/** A random(4) UUID, as the folder of a boot is called. */
const bootIdPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What other boots have left means nothing any more, and goes unread. */
export async function removeFoldersOfBoots(path: string, except?: string): Promise<void> {
  for (const name of (await namesIn(path)).filter((other) => other !== except && bootIdPattern.test(other))) {
    await rm(join(path, name), { recursive: true });
  }
}
