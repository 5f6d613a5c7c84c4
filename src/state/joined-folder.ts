import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { failure, makeStateFolder, type StateFiles, stateFiles, textOf, unlinkIfThere } from './files.ts';

/**
 * How far an endpoint with a link has come, which is what its file is called: a step is a rename, of which a kill
 * leaves no half, and which a full disk does not keep from being recorded.
 */
const suffixes = { begun: '.begun', marked: '.json', leaving: '.leaving' } as const;

export type Stage = keyof typeof suffixes;

/** Records for the links of one boot of the machine: they outlive this process, and not a power cut, as links do. */
export interface JoinedFolder {
  /** A begun one that a kill cut short is given as an Error. */
  files(stage: Stage): StateFiles;
  begin(id: string, record: object): Promise<void>;
  move(id: string, from: Stage, to: Stage): Promise<void>;
  /** A record that is not there is no error. */
  remove(id: string, stage: Stage): Promise<void>;
}

/** Opens the folder, making it if need be; root's alone. */
export async function openJoinedFolder(path: string): Promise<JoinedFolder> {
  await makeStateFolder(path);
  const fileOf = (id: string, stage: Stage) => join(path, id + suffixes[stage]);
  return {
    files: (stage) => stateFiles(path, suffixes[stage]),

    async begin(id, record) {
      const file = fileOf(id, 'begun');
      try {
        await writeFile(file, textOf(record), { mode: 0o600 });
      } catch (error) {
        await unlinkIfThere(file).catch(() => {});
        throw failure('write', file, error);
      }
    },

    async move(id, from, to) {
      try {
        await rename(fileOf(id, from), fileOf(id, to));
      } catch (error) {
        throw failure('write', fileOf(id, to), error);
      }
    },

    async remove(id, stage) {
      const file = fileOf(id, stage);
      await unlinkIfThere(file).catch((error) => {
        throw failure('remove', file, error);
      });
    },
  };
}
