import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { command } from './command.ts';
import { scratchFolder } from './scratch.ts';

/** What to put into a guest: absolute path there → path on the host (file or folder), or the bytes. */
export type GuestFiles = Readonly<Record<string, string | Uint8Array>>;

/** Writes a tar of `files` to `archive`, owned by root in the guest, with the modes they have here. */
export async function tarball(files: GuestFiles, archive: string): Promise<void> {
  const stage = await mkdtemp(join(scratchFolder(), 'wgdriver-lab-'));
  try {
    // Only what was asked for is named: a folder above it keeps its owner and mode in the guest.
    const members: string[] = [];
    for (const [path, source] of Object.entries(files)) {
      const staged = join(stage, path);
      await mkdir(dirname(staged), { recursive: true });
      // A copy: a second name would change the file's time of change while another guest's tar reads it.
      if (typeof source === 'string') await command(['cp', '-aHT', '--reflink=auto', source, staged]);
      else await writeFile(staged, source);
      members.push(`.${join('/', path)}`);
    }
    const owner = ['--owner=0', '--group=0', '--numeric-owner'];
    // The list that has nothing is for a guest that wants nothing: tar makes no empty archive else.
    await command(['tar', '-C', stage, '-cf', archive, ...owner, '--files-from=/dev/null', '--', ...members]);
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}
