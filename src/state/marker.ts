import { readFile } from 'node:fs/promises';
import writeFileAtomic from 'write-file-atomic';
import { failure, unlinkIfThere } from './files.ts';

/** Remembers over a kill that something was begun, and with what, until it is ended. */
export interface Marker {
  begin(words: readonly string[]): Promise<void>;
  end(): Promise<void>;
  /** What was begun and not ended. What cannot be read there was never begun whole. */
  unfinished(): Promise<readonly string[] | undefined>;
}

/** @param path a file of the state folder */
export function createMarker(path: string): Marker {
  return {
    async begin(words) {
      try {
        // A kill is what it is for: after a power cut there is no link left to go on with.
        await writeFileAtomic(path, words.map((word) => `${word}\n`).join(''), { mode: 0o600, fsync: false });
      } catch (error) {
        throw failure('write', path, error);
      }
    },
    end: () => unlinkIfThere(path),
    async unfinished() {
      const text = await readFile(path, 'utf8').catch(() => undefined);
      return text?.split('\n').filter((word) => word !== '');
    },
  };
}
