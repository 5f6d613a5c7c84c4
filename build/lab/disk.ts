import { type FileHandle, stat, truncate, writeFile } from 'node:fs/promises';
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
  /** What the host keeps it in: QEMU's qcow2, or User-Mode Linux's own copy-on-write file. */
  readonly format: 'qcow2' | 'cow';
  readonly file: FileHandle;
  close(): Promise<void>;
}

/** A fresh disk with the image's content; costs next to nothing until it is written to. */
export async function freshDisk(image: Image, format: Disk['format']): Promise<Disk> {
  const file = await namelessFile(async (path) => {
    if (format === 'qcow2') {
      await command(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', image.disk, '-F', 'raw', path]);
    } else {
      await writeCow(path, image.disk);
    }
  });
  return { image, format, file, close: () => file.close() };
}

const SECTOR = 512;
const PAGE = 4096;

/** An empty copy-on-write file over `backing`, as linux/arch/um/drivers/cow_user.c has it in version 3. */
async function writeCow(path: string, backing: string): Promise<void> {
  const { size, mtimeMs } = await stat(backing);
  const header = Buffer.alloc(2 * PAGE);
  header.write('OOOM', 0, 'latin1');
  header.writeUInt32BE(3, 4);
  // It must be the backing file's, to the second.
  header.writeUInt32BE(Math.floor(mtimeMs / 1000), 8);
  header.writeBigUInt64BE(BigInt(size), 12);
  header.writeUInt32BE(SECTOR, 20);
  header.writeUInt32BE(PAGE, 24);
  header.write(backing, 32, 'utf8');
  // A bit for each sector that is no longer the backing file's follows; none is set.
  const bitmap = Math.ceil(size / SECTOR / 8);
  await writeFile(path, header);
  await truncate(path, Math.ceil((header.length + bitmap) / PAGE) * PAGE);
}
