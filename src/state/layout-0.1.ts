import { rename, rmdir, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { readStages, removeFoldersOfBoots } from './boot-folder.ts';
import { namesIn, readStateFiles, type StateFile } from './files.ts';
import { type Stage, stages } from './records.ts';

/**
 * What wgdriver 0.1 kept in `endpoints/ID.json`, each with its boot inside, and in `joined/BOOT/ID.json`, and what
 * now is in one folder of the boot. The files' format is a matter of who decodes them (migrations.ts).
 */
export interface Layout01 {
  /** Of this boot, or of none that they tell. */
  readonly endpoints: readonly StateFile[];
  readonly joined: Readonly<Record<Stage, readonly StateFile[]>>;
}

/** @throws StateError */
export async function readLayout01(folder: string, bootId: string): Promise<Layout01> {
  const endpoints = await readStateFiles(join(folder, 'endpoints'), '.json');
  return {
    endpoints: endpoints.filter(({ content }) => {
      const boot = (content as { readonly bootId?: unknown } | null)?.bootId;
      return typeof boot !== 'string' || boot === bootId;
    }),
    joined: await readStages(join(folder, 'joined', bootId)),
  };
}

/**
 * Moves the files, as they are, into folders that are there, and removes those of other boots. A kill at any moment
 * leaves each file in one of its places.
 */
export async function leaveLayout01(
  folder: string,
  { endpoints, joined }: Layout01,
  to: { readonly endpoints: string; readonly joined: string },
): Promise<void> {
  for (const { path } of endpoints) {
    await unlessGone(rename(path, join(to.endpoints, basename(path))));
  }
  for (const { path } of stages.flatMap((stage) => joined[stage])) {
    await unlessGone(rename(path, join(to.joined, basename(path))));
  }
  const path = join(folder, 'endpoints');
  for (const name of (await namesIn(path)).filter((other) => /\.json(?:\.\d+)?$/.test(other))) {
    await unlink(join(path, name));
  }
  await removeFoldersOfBoots(join(folder, 'joined'));
  for (const name of ['endpoints', 'joined']) {
    // What was set aside stays where it is.
    await rmdir(join(folder, name)).catch(() => {});
  }
}

/** It may have been set aside. */
async function unlessGone(move: Promise<void>): Promise<void> {
  await move.catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') {
      throw error;
    }
  });
}
