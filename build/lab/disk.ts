import type { FileHandle } from 'node:fs/promises';
import { command } from './command.ts';
import type { Image } from './image.ts';
import { namelessFile } from './scratch.ts';

/**
 * A disk that outlives its guest: what the guest had handed to the disk is there at the next boot, what
 * only its page cache held is lost with a hard power-off. For one running guest at a time. Has no name in
 * the file system and ends with this process.
 */
export interface Disk {
  readonly image: Image;
  readonly file: FileHandle;
  close(): Promise<void>;
}

/** A fresh disk with the image's content; costs next to nothing until it is written to. */
export async function keptDisk(image: Image): Promise<Disk> {
  const file = await namelessFile((path) =>
    command(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', image.disk, '-F', 'raw', path]),
  );
  return { image, file, close: () => file.close() };
}
