// `node build/plugin.mjs` makes dist/plugin, a folder for `docker plugin create`, of dist/wgdriver-linux-x64: the
// executable, the libraries of this machine that it loads, and nothing else. The same executable and libraries give
// the same content.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

const executable = 'dist/wgdriver-linux-x64';
const folder = 'dist/plugin';
const rootfs = join(folder, 'rootfs');
const program = '/usr/bin/wgdriver';

rmSync(folder, { recursive: true, force: true });
// The places of mounts: the engine would make them, but with modes of its own.
for (const path of ['/etc/wgdriver', '/var/lib/wgdriver', '/var/run/docker', '/run/docker/plugins', '/tmp']) {
  mkdirSync(join(rootfs, path), { recursive: true });
}
put(executable, program, 0o755);
for (const notices of ['NOTICES', 'NOTICES-node']) {
  put(`dist/${notices}`, `/usr/share/doc/wgdriver/${notices}`, 0o644);
}
// Such as `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)`, and the loader, which has no arrow.
const loaded = execFileSync('ldd', [executable], { encoding: 'utf8' });
for (const [, library] of loaded.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x[0-9a-f]+\)$/gm)) {
  put(library, library, 0o755);
}
cpSync('build/plugin/config.json', join(folder, 'config.json'));

const bytes = readdirSync(rootfs, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => statSync(join(entry.parentPath, entry.name)).size)
  .reduce((sum, size) => sum + size, 0);
console.log(`${folder}: ${(bytes / 1e6).toFixed(1)} MB`);

/** Copies a file, or what a link leads to. */
function put(from, to, mode) {
  const path = join(rootfs, to);
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(from, path);
  chmodSync(path, mode);
}
