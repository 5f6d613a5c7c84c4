import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Where temporary disks go; QEMU puts its own there too. Not /tmp, which may be memory. */
export function scratchFolder(): string {
  return process.env.TMPDIR ?? '/var/tmp';
}

/**
 * Opens a file that `make` writes, and takes its name away at once: it lives as long as some process has
 * it open, so that not even a SIGKILL of this one leaves it behind.
 */
export async function namelessFile(make: (path: string) => Promise<unknown>): Promise<FileHandle> {
  const folder = await mkdtemp(join(scratchFolder(), 'wgdriver-lab-'));
  try {
    const path = join(folder, 'file');
    await make(path);
    return await open(path, 'r+');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
