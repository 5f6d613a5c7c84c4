import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { locked } from './lock.ts';

const DAY = 24 * 60 * 60 * 1000;

/** Where images and kernels live: `WGDRIVER_LAB_CACHE`, else `wgdriver/lab` in the user's cache folder. */
export function cacheFolder(): string {
  return (
    process.env.WGDRIVER_LAB_CACHE ??
    join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'wgdriver/lab')
  );
}

/**
 * The folder NAME-KEY of the cache, made by `build` if it is not there. Only one process of this machine
 * builds a name at a time; the others wait, and find it.
 */
export async function cached(
  name: string,
  key: string,
  build: (folder: string) => Promise<void>,
): Promise<string> {
  const cache = cacheFolder();
  await mkdir(cache, { recursive: true });
  const folder = join(cache, `${name}-${key}`);
  await locked(join(cache, `${name}.lock`), async () => {
    if (!(await exists(folder))) {
      const parts = `${folder}.part`;
      await rm(parts, { recursive: true, force: true });
      try {
        await mkdir(parts);
        await build(parts);
        await rename(parts, folder);
      } finally {
        await rm(parts, { recursive: true, force: true });
      }
    }
    // Its age since the last use decides when another build may remove it.
    await utimes(folder, new Date(), new Date());
    await prune(name, folder);
  });
  return folder;
}

/** Removes what is older under the same name, but nothing that another checkout used within a day. */
async function prune(name: string, current: string): Promise<void> {
  const cache = cacheFolder();
  for (const entry of await readdir(cache)) {
    const folder = join(cache, entry);
    if (!entry.startsWith(`${name}-`) || folder === current) continue;
    // We hold the name's lock, so whoever was building this is gone.
    const abandoned = entry.endsWith('.part');
    if (abandoned || Date.now() - (await stat(folder)).mtimeMs > DAY) {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
