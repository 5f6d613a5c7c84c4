// `node build/plugin.mjs ARCH FOLDER [SYSROOT]` makes FOLDER for `docker plugin create`, of dist/wgdriver-linux-ARCH: the
// executable, the libraries that it loads, and nothing else. The libraries are this machine's, or those below SYSROOT.
// The same executable and libraries give the same content.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** Where Debian has an architecture's libraries. */
const libraryFolders = {
  x64: ['/lib/x86_64-linux-gnu', '/usr/lib/x86_64-linux-gnu'],
  arm64: ['/lib/aarch64-linux-gnu', '/usr/lib/aarch64-linux-gnu'],
};

const [arch = 'x64', folder = 'dist/plugin', sysroot = '/'] = process.argv.slice(2);
const executable = `dist/wgdriver-linux-${arch}`;
const rootfs = join(folder, 'rootfs');
const program = '/usr/bin/wgdriver';

rmSync(folder, { recursive: true, force: true });
// The places of mounts: the engine would make them, but with modes of its own.
for (const path of ['/etc/wgdriver', '/var/lib/wgdriver', '/var/run/docker', '/run/docker/plugins', '/tmp']) {
  mkdirSync(join(rootfs, path), { recursive: true });
}
put(executable, program);
// Such as `[Requesting program interpreter: /lib64/ld-linux-x86-64.so.2]`.
const [, loader] = /interpreter: (\/\S+)\]/.exec(readelf('--program-headers', executable));
put(join(sysroot, loader), loader);
for (const [library, path] of librariesOf(executable)) {
  put(path, join(libraryFolders[arch][0], library));
}
for (const notices of ['NOTICES', 'NOTICES-node']) {
  put(`dist/${notices}`, `/usr/share/doc/wgdriver/${notices}`, 0o644);
}
cpSync('build/plugin/config.json', join(folder, 'config.json'));

const bytes = readdirSync(rootfs, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => statSync(join(entry.parentPath, entry.name)).size)
  .reduce((sum, size) => sum + size, 0);
console.log(`${folder}: ${(bytes / 1e6).toFixed(1)} MB`);

/** What a file needs, and what that needs: where each is, by its name. */
function librariesOf(file, known = new Map()) {
  for (const [, name] of readelf('--dynamic', file).matchAll(/\(NEEDED\).*\[(\S+)\]$/gm)) {
    if (!known.has(name) && name !== loader.split('/').at(-1)) {
      const path = libraryFolders[arch].map((place) => join(sysroot, place, name)).find(existsSync);
      if (path === undefined) {
        throw new Error(`${name}, which ${file} needs, is not below ${sysroot}`);
      }
      known.set(name, path);
      librariesOf(path, known);
    }
  }
  return known;
}

function readelf(option, file) {
  return execFileSync('readelf', ['--wide', option, file], { encoding: 'utf8' });
}

/** Copies a file, or what a link leads to. */
function put(from, to, mode = 0o755) {
  const path = join(rootfs, to);
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(from, path);
  chmodSync(path, mode);
}
