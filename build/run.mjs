// npm's scripts: `node build/run.mjs TASK [ARGUMENT…]`. Does what a fresh clone on a fresh Debian machine
// needs before the task itself can run, so it is JavaScript that Node 20 runs with nothing installed.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const [task = '', ...args] = process.argv.slice(2);

// Programs of the engine tier and the demo, and the Debian packages that have them.
const hostPrograms = [
  'dockerd=docker.io',
  'docker=docker-cli|docker.io',
  'docker-compose=docker-compose',
  'iptables=iptables',
  'nft=nftables',
  'tcpdump=tcpdump',
  'ip=iproute2',
  'wg=wireguard-tools',
  'wireguard-go=wireguard-go',
  'ping=iputils-ping',
  'busybox=busybox-static',
  'unshare=util-linux',
  'mount=mount',
];

/** For each architecture of the executable: the folder that brings its runtime, a strip for it, and its package. */
const executables = {
  x64: ['test/runtimes', 'x86_64-linux-gnu-strip', 'binutils-x86-64-linux-gnu'],
  arm64: ['build/arm64', 'aarch64-linux-gnu-strip', 'binutils-aarch64-linux-gnu'],
};

const tasks = {
  build() {
    libraries();
    run(process.execPath, 'build/bundle.mjs');
  },
  /** For the architectures that are named, or for all. */
  exe(archs = args) {
    if (process.arch !== 'x64') {
      fail(`the executables are built on an x64 machine; this is ${process.arch}`);
    }
    tasks.build();
    for (const arch of archs.length === 0 ? Object.keys(executables) : archs) {
      if (!Object.hasOwn(executables, arch)) {
        fail(`expected ${Object.keys(executables).join(' or ')}, got ${arch}`);
      }
      const [folder, strip, stripPackage] = executables[arch];
      libraries(folder, `--cpu=${arch}`);
      run('build/debian-packages.sh', `${strip}=${stripPackage}`);
      run(modernNode(), 'build/executable.mjs', arch, `${folder}/node_modules/node26`, strip);
    }
  },
  /** A folder for `docker plugin create`. */
  plugin() {
    tasks.exe(['x64']);
    run('build/debian-packages.sh', 'readelf=binutils');
    run(process.execPath, 'build/plugin.mjs', 'x64', 'dist/plugin');
  },
  /** All that a release page carries, or the parts of it that are named. */
  release() {
    const isWanted = (part) => args.length === 0 || args.includes(part);
    tasks.build();
    run('build/debian-packages.sh', 'readelf=binutils', 'dpkg-deb=dpkg', 'xz=xz-utils');
    if (isWanted('amd64')) {
      tasks.exe(['x64']);
      run(process.execPath, 'build/plugin.mjs', 'x64', 'dist/plugin-x64');
    }
    if (isWanted('arm64')) {
      tasks.exe(['arm64']);
      run(modernNode(), 'build/release/arm64-libraries.ts', 'dist/arm64-libraries');
      run(process.execPath, 'build/plugin.mjs', 'arm64', 'dist/plugin-arm64', 'dist/arm64-libraries');
    }
    run(process.execPath, 'build/bundle.mjs', 'release');
    run(modernNode(), 'dist/release.mjs', ...args);
  },
  check() {
    libraries();
    run('node_modules/.bin/tsc');
    run('node_modules/.bin/biome', 'check', '--error-on-warnings');
    run(process.execPath, 'build/arrows.mjs');
  },
  format() {
    libraries();
    run('node_modules/.bin/biome', 'check', '--write');
  },
  test() {
    // Whoever names files is in the middle of a change.
    if (!args.some((word) => word.startsWith('test/'))) {
      tasks.check();
    }
    tasks.build();
    run(modernNode(), 'test/run.ts', ...args);
  },
  /** What engines, hubs and userspace tunnels need of this machine. */
  /** With more programs, as `PROGRAM=PACKAGE`, if they are named. */
  packages(more = args) {
    run('build/debian-packages.sh', ...hostPrograms, ...more);
  },
  bench() {
    tasks.build();
    tasks.packages([]);
    const sandboxed = (file, ...words) =>
      run(modernNode(), 'build/host/sandboxed.ts', modernNode(), file, ...words);
    const parts = {
      '--vm': (...words) => run(modernNode(), 'build/bench/guests.ts', ...words),
      keys: (...words) => run(modernNode(), 'build/bench/keys.ts', ...words),
      hub: (...words) => sandboxed('build/bench/hub.ts', ...words),
      rotation: (...words) => sandboxed('build/bench/rotation.ts', ...words),
      reading: (...words) => sandboxed('build/bench/reading.ts', ...words),
      steady: (...words) => sandboxed('build/bench/steady.ts', ...words),
      shared(...words) {
        tasks.packages(['iperf3=iperf3']);
        sandboxed('build/bench/shared.ts', ...words);
      },
      scale: (...words) => run(modernNode(), 'build/bench/scale.ts', ...words),
      start(...words) {
        tasks.exe(['x64']);
        sandboxed('build/bench/start.ts', ...words);
      },
    };
    const [part = '--vm', ...words] = args;
    if (!Object.hasOwn(parts, part)) {
      fail(`usage: npm run bench [-- ${Object.keys(parts).join('|')} [WORD…]]; not ${part}`);
    }
    parts[part](...words);
  },
  fuzz() {
    libraries();
    run(modernNode(), 'test/fuzz/fuzz.ts', ...args);
  },
  demo() {
    const [place, ...rest] = args;
    if (place !== undefined && place !== '--vm') {
      fail(`usage: npm run demo [-- --vm [SUITE]]; not ${args.join(' ')}`);
    }
    tasks.build();
    run(process.execPath, 'build/bundle.mjs', 'demo');
    if (place === '--vm') {
      run(modernNode(), 'build/demo/guest.ts', ...rest);
    } else {
      tasks.packages([]);
      // Bundled, so that it needs no Node newer than the machine's.
      run(process.execPath, 'dist/demo.mjs');
    }
  },
};

if (!Object.hasOwn(tasks, task)) {
  fail(`usage: node build/run.mjs ${Object.keys(tasks).join('|')} [ARGUMENT…]`);
}
tasks[task]();

/** Installs what the lock file says, where that is not there yet. */
function libraries(folder = '.', ...options) {
  const installed = `${folder}/node_modules/.package-lock.json`;
  const wanted = `${folder}/package-lock.json`;
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(wanted).mtimeMs) {
    run('npm', 'ci', '--no-audit', '--no-fund', '--loglevel=error', `--prefix=${folder}`, ...options);
  }
}

/** A Node that runs TypeScript as it is: this one if it can, else one from the registry. */
function modernNode() {
  libraries('test/runtimes');
  const downloaded = 'test/runtimes/node_modules/node26/bin/node';
  if (existsSync(downloaded)) {
    return downloaded;
  }
  if (process.features.typescript) {
    return process.execPath;
  }
  return fail(`this needs Node 22.18 or newer to run TypeScript; here is ${process.version}`);
}

function run(file, ...words) {
  const { status, signal, error } = spawnSync(file, words, { stdio: 'inherit' });
  if (error !== undefined) {
    fail(`${file}: ${error.message}`);
  }
  if (status !== 0) {
    process.exit(status ?? (signal === 'SIGINT' ? 130 : 1));
  }
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
