import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Maintainer scripts (Debian Policy, chapter 6), the same for every package of the driver. */
const scripts = ['postinst', 'prerm', 'postrm'] as const;

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  /** Debian's word for it, such as `amd64` or `all`. */
  readonly architecture: string;
  /** Fields of the control file beside those above, by their names. */
  readonly fields: Readonly<Record<string, string>>;
  /** What is installed, by its absolute path. */
  readonly files: Readonly<Record<string, PackageFile>>;
  /** Folders with a mode of their own, by their absolute path. */
  readonly folders: Readonly<Record<string, number>>;
}

export interface PackageFile {
  /** The content, or the file that has it. */
  readonly content: string | Uint8Array | { readonly file: string };
  /** 0o644 by default. */
  readonly mode?: number;
}

/**
 * Writes FOLDER/NAME_VERSION_ARCHITECTURE.deb with dpkg-deb(1), the same bytes for the same content and date.
 * @param epoch seconds since 1970, which every file inside is of
 * @returns the file's path
 */
export async function writeDebianPackage(
  folder: string,
  { name, version, architecture, fields, files, folders }: DebianPackage,
  epoch: number,
): Promise<string> {
  const root = await mkdtemp(join(folder, `${name}-`));
  try {
    // mkdtemp makes it private, and it is the package's `/`.
    await chmod(root, 0o755);
    for (const [path, { content, mode = 0o644 }] of Object.entries(files)) {
      const target = join(root, path);
      await mkdir(dirname(target), { recursive: true });
      await (typeof content === 'object' && 'file' in content
        ? copyFile(content.file, target)
        : writeFile(target, content));
      await chmod(target, mode);
    }
    for (const [path, mode] of Object.entries(folders)) {
      await mkdir(join(root, path), { recursive: true });
      await chmod(join(root, path), mode);
    }
    const installedKilobytes = Math.ceil((await bytesIn(root)) / 1024);
    await mkdir(join(root, 'DEBIAN'));
    const control = {
      Package: name,
      Version: version,
      Architecture: architecture,
      'Installed-Size': String(installedKilobytes),
      ...fields,
    };
    const lines = Object.entries(control).map(([field, value]) => `${field}: ${value}\n`);
    await writeFile(join(root, 'DEBIAN/control'), lines.join(''));
    await writeFile(join(root, 'DEBIAN/md5sums'), await checksums(root, Object.keys(files)));
    for (const script of scripts) {
      const target = join(root, 'DEBIAN', script);
      await copyFile(`build/release/debian/${script}`, target);
      await chmod(target, 0o755);
    }
    const output = join(folder, `${name}_${version}_${architecture}.deb`);
    await run('dpkg-deb', ['--root-owner-group', '-Zxz', '-z0', '--build', root, output], {
      env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch) },
    });
    return output;
  } finally {
    await rm(root, { recursive: true });
  }
}

async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function checksums(root: string, paths: readonly string[]): Promise<string> {
  const relative = paths.map((path) => path.slice(1)).sort();
  return (await run('md5sum', relative, { cwd: root })).stdout;
}

/** A Debian changelog of one entry: what has changed is said in CHANGELOG.md, which a package has beside it. */
export function debianChangelog(name: string, version: string, date: Date): string {
  const stamp = date.toUTCString().replace('GMT', '+0000');
  const entry = `  * Release ${version}. CHANGELOG.md says what has changed.`;
  return `${name} (${version}) unstable; urgency=medium\n\n${entry}\n\n -- ${maintainer}  ${stamp}\n`;
}

export const maintainer = 'The wgdriver developers <wgdriver@localhost>';
