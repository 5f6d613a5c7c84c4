/** A file for an initramfs, at an absolute path without its leading slash. */
export interface CpioFile {
  readonly path: string;
  readonly data: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
}

/**
 * An archive in the "newc" format the kernel unpacks as an initramfs: per entry a header of 8-digit
 * hexadecimal fields, the name and the data, each padded to 4 bytes (linux/Documentation/driver-api/
 * early-userspace/buffer-format.rst). Several archives one after the other count as one.
 */
export function cpioArchive(folders: readonly string[], files: readonly CpioFile[]): Buffer {
  const S_IFDIR = 0o040000;
  const S_IFREG = 0o100000;
  return Buffer.concat([
    ...folders.map((path) => entry(path, S_IFDIR | 0o755, new Uint8Array())),
    ...files.map(({ path, data, mode }) => entry(path, S_IFREG | mode, data)),
    entry('TRAILER!!!', 0, new Uint8Array()),
  ]);
}

function entry(path: string, mode: number, data: Uint8Array): Buffer {
  const name = Buffer.from(`${path}\0`);
  // ino, mode, uid, gid, nlink, mtime, size, four device numbers, length of the name, checksum
  const fields = [0, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return Buffer.concat([padded(Buffer.concat([header, name])), padded(data)]);
}

function padded(data: Uint8Array): Uint8Array {
  return Buffer.concat([data, Buffer.alloc(-data.length & 3)]);
}
