import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { debianMirror, transportSettings } from './apt.ts';
import { cached } from './cache.ts';
import { command } from './command.ts';
import { LabError } from './errors.ts';
import { guestPackages, type Suite } from './packages.ts';

/** What a guest boots: all of it read-only, shared by every guest of the suite. */
export interface Image {
  readonly suite: Suite;
  /** ext4, raw and sparse, no partition table. */
  readonly disk: string;
  readonly kernel: string;
  /** The part of the initramfs that depends on the kernel; `guest/` comes on top at boot. */
  readonly initramfs: string;
}

/** Sparse: a guest pays only for what it writes. */
const DISK_SIZE = '8G';

/** The image of `suite`, from the cache or built now (about a minute). */
export async function guestImage(suite: Suite): Promise<Image> {
  const folder = await cached(suite, await imageKey(suite), (parts) => build(suite, parts));
  return {
    suite,
    disk: join(folder, 'disk.raw'),
    kernel: join(folder, 'vmlinuz'),
    initramfs: join(folder, 'initramfs.cpio'),
  };
}

/** Changes with everything an image is made from, except what the archive holds that day. */
async function imageKey(suite: Suite): Promise<string> {
  const hash = createHash('sha256');
  hash.update(`${suite} ${guestPackages(suite).join()} ${DISK_SIZE}`);
  for (const file of ['image.ts', 'guest/image.sh']) {
    hash.update(await readFile(new URL(file, import.meta.url)));
  }
  return hash.digest('hex').slice(0, 12);
}

async function build(suite: Suite, parts: string): Promise<void> {
  try {
    await writeFile(join(parts, 'packages'), guestPackages(suite).join('\n'));
    const root = join(parts, 'root');
    const settings = [
      ...(await transportSettings()),
      // A testing suite's Release file can be past its date on a mirror.
      'Acquire::Check-Valid-Until "false";',
    ];
    const without = ['doc', 'man', 'info', 'locale'].map(
      (name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`,
    );
    await command(
      [
        // mmdebstrap's children and mounts end with it when this process is killed.
        ...['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'],
        'mmdebstrap',
        '--quiet',
        '--variant=apt',
        ...without,
        ...settings.map((line) => `--aptopt=${line}`),
        `--include=${guestPackages(suite).join()}`,
        suite,
        root,
        await debianMirror(),
      ],
      // Honoured by initramfs-tools: its initramfs would take 20 s, and we boot our own.
      { env: { INITRD: 'No' } },
    );
    await command(['sh', new URL('guest/image.sh', import.meta.url).pathname, root, parts]);
    await command([
      ...['mke2fs', '-q', '-t', 'ext4', '-d', root],
      ...['-E', 'lazy_itable_init=1', join(parts, 'disk.raw'), DISK_SIZE],
    ]);
    await rm(root, { recursive: true });
  } catch (error) {
    throw new LabError(`build the image of ${suite}: ${(error as Error).message}`, { cause: error });
  }
}
