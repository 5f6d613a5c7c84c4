// `node build/executable.mjs ARCH RUNTIME STRIP` makes dist/wgdriver-linux-ARCH of dist/wgdriver, an executable
// that needs no Node beside it, and its checksum for sha256sum(1). RUNTIME is the registry's package of Node for
// that architecture and of the very version that runs this; STRIP is a strip(1) for that architecture. The same
// bundle, runtime and strip give the same bytes, in whatever folder.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const [arch, runtime, strip] = process.argv.slice(2);
const executable = `dist/wgdriver-linux-${arch}`;

const { version } = JSON.parse(readFileSync(`${runtime}/package.json`, 'utf8'));
if (version !== process.versions.node) {
  // What is injected is read by code that may differ between any two releases.
  throw new Error(
    `${runtime} is Node ${version}, and ${process.versions.node} cannot make executables of it`,
  );
}

// In dist, so that the executable appears there whole.
const folder = mkdtempSync('dist/executable-');
try {
  const node = join(folder, 'node');
  const output = join(folder, 'wgdriver');
  const settings = join(folder, 'settings.json');
  // Before, never after: strip would take what is injected for waste.
  execFileSync(strip, ['-o', node, `${runtime}/bin/node`]);
  // nodejs.org/api/single-executable-applications.html
  const sea = {
    // Kept in the executable, so it must be relative.
    main: 'dist/wgdriver',
    mainFormat: 'module',
    executable: node,
    output,
    disableExperimentalSEAWarning: true,
    // Bytecode of another architecture would be refused, with a warning to the user.
    useCodeCache: arch === process.arch,
    // NODE_OPTIONS is for the Node of the host, if it has one.
    execArgvExtension: 'none',
  };
  writeFileSync(settings, JSON.stringify(sea));
  // The cache holds hashes of strings, which V8 seeds at random, unless it is told how.
  execFileSync(process.execPath, ['--random-seed=1', '--build-sea', settings]);

  const checksum = createHash('sha256').update(readFileSync(output)).digest('hex');
  renameSync(output, executable);
  // Node's own, with those of all that it is made of.
  copyFileSync(`${runtime}/LICENSE`, 'dist/NOTICES-node');
  writeFileSync(`${executable}.sha256`, `${checksum}  ${basename(executable)}\n`);
  console.log(`${executable}: ${checksum}`);
} finally {
  rmSync(folder, { recursive: true });
}
