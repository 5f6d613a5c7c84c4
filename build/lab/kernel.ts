import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fetchPackage } from './apt.ts';
import { cached, cacheFolder } from './cache.ts';
import { command } from './command.ts';
import { LabError } from './errors.ts';

/** Debian's package of the kernel's source, and where it is looked for. */
const SOURCE = { name: 'linux-source-7.3', version: '7.3.4-1~bpo13+1' };
const SUITES = ['trixie-backports', 'forky'];

/** How long a build that failed is not tried again: each test of a run would wait for it. */
const RETRY_MS = 60 * 60 * 1000;

/**
 * A User-Mode Linux kernel, from the cache or built now, which takes a processor 13 to 27 minutes. The version
 * is the one written down, or the newest if that has left the archive.
 * @throws LabError if there is none on this machine, with the reason
 */
export async function umlKernel(): Promise<string> {
  const key = await kernelKey();
  const failure = await failureFile();
  const folder = await cached('uml', key, async (parts) => {
    const known = await stat(failure).catch(() => undefined);
    if (known && Date.now() - known.mtimeMs < RETRY_MS) throw new LabError(await readFile(failure, 'utf8'));
    try {
      await build(parts);
      await rm(failure, { force: true });
    } catch (error) {
      const message = `build a User-Mode Linux kernel: ${(error as Error).message}\nTried again after an hour, or without ${failure}`;
      await writeFile(failure, message);
      throw new LabError(message, { cause: error });
    }
  });
  return join(folder, 'linux');
}

/** What tells why the last build failed, while it is not to be tried again. */
export async function failureFile(): Promise<string> {
  return join(cacheFolder(), `uml-${await kernelKey()}.failure`);
}

/** Changes with everything a kernel is made from. */
async function kernelKey(): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([SOURCE, SUITES]));
  for (const file of ['kernel/build.sh', 'kernel/uml.config']) {
    hash.update(await readFile(new URL(file, import.meta.url)));
  }
  return hash.digest('hex').slice(0, 12);
}

async function build(folder: string): Promise<void> {
  const { name, version } = SOURCE;
  const downloads = join(folder, 'downloads');
  await mkdir(downloads);
  const file = await fetchPackage(SUITES, name, version, '^linux-source-[0-9.]+$', downloads);
  await command([
    // What make has started ends with it when this process is killed.
    ...['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'],
    'sh',
    new URL('kernel/build.sh', import.meta.url).pathname,
    file,
    new URL('kernel/uml.config', import.meta.url).pathname,
    folder,
  ]);
  await rm(downloads, { recursive: true });
}
