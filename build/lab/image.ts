import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { debianMirror, transportSettings } from './apt.ts';
import { command } from './command.ts';
import { LabError } from './errors.ts';
import { locked } from './lock.ts';
import { guestPackages, type Suite } from './packages.ts';

/** What QEMU boots: all of it read-only, shared by every guest of the suite. */
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
const DAY = 24 * 60 * 60 * 1000;

/** Where images live: `WGDRIVER_LAB_CACHE`, else `wgdriver/lab` in the user's cache folder. */
export function cacheFolder(): string {
  return (
    process.env.WGDRIVER_LAB_CACHE ??
    join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'wgdriver/lab')
  );
}

/** The image of `suite`, from the cache or built now (about a minute). */
export async function guestImage(suite: Suite): Promise<Image> {
  const cache = cacheFolder();
  await mkdir(cache, { recursive: true });
  const folder = join(cache, `${suite}-${await imageKey(suite)}`);
  await locked(join(cache, `${suite}.lock`), async () => {
    if (!(await exists(folder))) await build(suite, folder);
    // Its age since the last use decides when another build may remove it.
    await utimes(folder, new Date(), new Date());
    await prune(suite, folder);
  });
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

async function build(suite: Suite, folder: string): Promise<void> {
  const parts = `${folder}.part`;
  await rm(parts, { recursive: true, force: true });
  try {
    await mkdir(parts);
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
    await rename(parts, folder);
  } catch (error) {
    throw new LabError(`build the image of ${suite}: ${(error as Error).message}`, { cause: error });
  } finally {
    await rm(parts, { recursive: true, force: true });
  }
}

/** Removes the suite's older images, but none that another checkout used within a day. */
async function prune(suite: Suite, current: string): Promise<void> {
  const cache = cacheFolder();
  for (const name of await readdir(cache)) {
    const folder = join(cache, name);
    if (!name.startsWith(`${suite}-`) || folder === current) continue;
    // We hold the suite's lock, so whoever was building this is gone.
    const abandoned = name.endsWith('.part');
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
