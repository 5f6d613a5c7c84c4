import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fetchWithDependencies } from './apt.ts';
import { cached } from './cache.ts';
import { command } from './command.ts';
import { guestImage } from './image.ts';
import type { Suite } from './packages.ts';
import type { GuestFiles } from './tarball.ts';

/**
 * Debian packages for a guest of `suite`, and what they need beyond its disk: files in /root/debs, to be installed by
 * `dpkg --install /root/debs/*.deb`. From the cache, or from the archive.
 */
export async function packageFiles(suite: Suite, packages: readonly string[]): Promise<GuestFiles> {
  const { disk } = await guestImage(suite);
  const hash = createHash('sha256').update(`${basename(dirname(disk))} ${packages}`);
  const folder = await cached(`debs-${suite}`, hash.digest('hex').slice(0, 12), async (parts) => {
    const downloads = join(parts, 'downloads');
    await mkdir(downloads);
    const status = join(downloads, 'status');
    await writeFile(status, await command(['debugfs', '-R', 'cat /var/lib/dpkg/status', disk]));
    const files = await fetchWithDependencies(suite, packages, status, downloads);
    await command(['mv', ...files, parts]);
    await rm(downloads, { recursive: true });
  });
  return { '/root/debs': folder };
}
