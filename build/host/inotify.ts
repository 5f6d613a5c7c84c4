import { readFile, writeFile } from 'node:fs/promises';

const limitFile = '/proc/sys/fs/inotify/max_user_instances';

/**
 * Lets this machine have so many more inotify instances than Linux allows by itself, of which each
 * wireguard-go takes one. @returns how to have it as it was
 */
export async function allowInotify(instances: number): Promise<() => Promise<void>> {
  const before = await readFile(limitFile, 'utf8');
  if (Number(before) >= instances) {
    return async () => {};
  }
  await writeFile(limitFile, String(instances));
  return () => writeFile(limitFile, before);
}
