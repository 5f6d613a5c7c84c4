/**
 * `npm run release [-- PART…]`: makes dist/release, everything that a release page carries, of dist/wgdriver and the
 * executables, or the named parts of it. The same sources, libraries and Debian release give the same bytes in any
 * folder.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import packageJson from '../../package.json' with { type: 'json' };
import { referenceOf, withSubCommands } from '../../src/commands/reference.ts';
import { root } from '../../src/commands/root.ts';
import { defaultHubFile } from '../../src/hub/files.ts';
import { bashCompletion, fishCompletion, zshCompletion } from './completions.ts';
import { debianChangelog, maintainer, type PackageFile, writeDebianPackage } from './debian-package.ts';
import { manPage, manPageName } from './man-page.ts';
import { releaseNotes } from './release-notes.ts';
import { billOfMaterials } from './sbom.ts';

const run = promisify(execFile);
const folder = 'dist/release';
const { version } = packageJson;

/** What the bundle has in it of others, and what the runtime in the executables has, by their builds. */
const notices = 'dist/NOTICES';
const runtimeNotices = 'dist/NOTICES-node';

/** Seeds and keys are root's alone. */
const privateFolders = { '/etc/wgdriver': 0o700 };

const commonFields = {
  Maintainer: maintainer,
  Section: 'net',
  Priority: 'optional',
  Recommends: 'docker.io (>= 20.10) | docker-ce (>= 5:20.10)',
} as const;

process.umask(0o022);
const epoch = await sourceDate();
const date = new Date(epoch * 1000);
const changelog = await readFile('CHANGELOG.md', 'utf8');
const notes = releaseNotes(changelog, version);

await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });

const parts: Readonly<Record<string, () => Promise<unknown>>> = {
  bundle: () =>
    Promise.all([
      packageOfBundle(),
      npmPackage(),
      billOfMaterials(version, date).then((bill) => writeFile(join(folder, 'sbom.cdx.json'), bill)),
      writeFile(join(folder, 'RELEASE-NOTES.md'), notes),
      copyFile(notices, join(folder, 'NOTICES')),
    ]),
  amd64: () => partsOf('amd64', 'x64'),
  arm64: () => partsOf('arm64', 'arm64'),
};
const wanted = process.argv.slice(2);
// One after the other: each takes the whole machine.
for (const part of wanted.length === 0 ? Object.keys(parts) : wanted) {
  const make = parts[part];
  if (make === undefined) {
    throw new Error(`expected parts of ${Object.keys(parts).join(', ')}, got ${part}`);
  }
  await make();
}
await writeFile(join(folder, 'SHA256SUMS'), await checksums());
for (const line of (await readFile(join(folder, 'SHA256SUMS'), 'utf8')).trimEnd().split('\n')) {
  console.log(line);
}

/** Seconds since 1970: of SOURCE_DATE_EPOCH (reproducible-builds.org), else of the last commit. */
async function sourceDate(): Promise<number> {
  const text = process.env.SOURCE_DATE_EPOCH ?? (await run('git', ['log', '-1', '--format=%ct'])).stdout;
  if (!/^\d+\s*$/.test(text)) {
    throw new Error(`SOURCE_DATE_EPOCH: expected seconds since 1970, got ${text.trim()}`);
  }
  return Number(text);
}

/** For hosts that have Node. */
async function packageOfBundle(): Promise<void> {
  const bundle = await readFile('dist/wgdriver', 'utf8');
  await writeDebianPackage(
    folder,
    {
      name: 'wgdriver',
      version,
      architecture: 'all',
      fields: {
        ...commonFields,
        Depends:
          'nodejs (>= 20.19), iproute2, wireguard-tools, nftables, util-linux (>= 2.36), init-system-helpers (>= 1.54)',
        Conflicts: 'wgdriver-bin',
        Replaces: 'wgdriver-bin',
        Description: description('It runs on the Node.js of this system.'),
      },
      files: {
        // Debian Policy 10.4: the interpreter by its path.
        '/usr/bin/wgdriver': {
          content: bundle.replace(/^#!.*/, '#!/usr/bin/node'),
          mode: 0o755,
        },
        ...(await commonFiles('wgdriver')),
      },
      folders: privateFolders,
    },
    epoch,
  );
}

/** What there is for one architecture, as Debian and as Node call it. */
async function partsOf(debian: string, node: string): Promise<void> {
  await packageOfExecutable(debian, node);
  await tarball(`wgdriver-${version}-linux-${debian}.tar.gz`, {
    wgdriver: `dist/wgdriver-linux-${node}`,
    LICENSE: 'LICENSE',
    NOTICES: notices,
    'NOTICES-node': runtimeNotices,
  });
  await tarball(`wgdriver-plugin-${version}-${debian}.tar.gz`, { '.': `dist/plugin-${node}` });
}

/** For hosts that have neither Node nor the programs that the bundle runs. */
async function packageOfExecutable(architecture: string, node: string): Promise<void> {
  await writeDebianPackage(
    folder,
    {
      name: 'wgdriver-bin',
      version,
      architecture,
      fields: {
        ...commonFields,
        Depends: 'libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 5), libatomic1, init-system-helpers (>= 1.54)',
        Conflicts: 'wgdriver',
        Replaces: 'wgdriver',
        Provides: `wgdriver (= ${version})`,
        Description: description('It brings its own runtime and needs no other program.'),
      },
      files: {
        '/usr/bin/wgdriver': { content: { file: `dist/wgdriver-linux-${node}` }, mode: 0o755 },
        '/usr/share/doc/wgdriver-bin/NOTICES-node.gz': {
          content: compressed(await readFile(runtimeNotices)),
        },
        ...(await commonFiles('wgdriver-bin')),
      },
      folders: privateFolders,
    },
    epoch,
  );
}

function description(last: string): string {
  return [
    'network driver that puts Docker containers on a WireGuard network',
    ' Containers get a real WireGuard link as their own interface, and the tunnel is',
    ' their only way out. Keys are derived from one secret seed, so that the other',
    ' end of the tunnel is configured without moving any key.',
    ' .',
    ` ${last}`,
  ].join('\n');
}

async function commonFiles(name: string): Promise<Record<string, PackageFile>> {
  const reference = await referenceOf(root);
  const manPages = withSubCommands(reference).map((command) => [
    `/usr/share/man/man1/${manPageName(command)}.1.gz`,
    { content: compressed(manPage(command, version, date.toISOString().slice(0, 10))) },
  ]);
  const unit = async (file: string) => {
    const text = await readFile(`build/systemd/${file}`, 'utf8');
    const [options] = /(?<=EnvironmentFile=-)\S+/.exec(text) ?? [];
    return {
      content: text
        // Whose first lines say who writes it, and that is the package here.
        .replace(
          /^(?:#.*\n)+/,
          `# Put changes of your own into \`systemctl edit\`${options ? `, options into ${options}` : ''}.\n`,
        )
        .replaceAll('@WGDRIVER@', '/usr/bin/wgdriver')
        .replaceAll('@NAME@', 'wireguard-plugin')
        .replaceAll('@CONFIG@', defaultHubFile)
        .replaceAll('@FOLDERS@', `-${dirname(defaultHubFile)}`),
    };
  };
  const units = await Promise.all(
    (await readdir('build/systemd')).map(async (file) => [
      `/usr/lib/systemd/system/${file}`,
      await unit(file),
    ]),
  );
  return {
    ...Object.fromEntries(manPages),
    ...Object.fromEntries(units),
    '/usr/share/bash-completion/completions/wgdriver': { content: bashCompletion(reference) },
    '/usr/share/zsh/vendor-completions/_wgdriver': { content: zshCompletion(reference) },
    '/usr/share/fish/vendor_completions.d/wgdriver.fish': { content: fishCompletion(reference) },
    [`/usr/share/doc/${name}/copyright`]: { content: { file: notices } },
    [`/usr/share/doc/${name}/changelog.gz`]: {
      content: compressed(debianChangelog(name, version, date)),
    },
    [`/usr/share/doc/${name}/CHANGELOG.md.gz`]: { content: compressed(changelog) },
    [`/usr/share/lintian/overrides/${name}`]: { content: await overrides(name) },
  };
}

/** What lintian(1) is to pass over in a package, each with its reason. */
async function overrides(name: string): Promise<string> {
  const files = name === 'wgdriver-bin' ? ['overrides', 'overrides-bin'] : ['overrides'];
  const texts = await Promise.all(files.map((file) => readFile(`build/release/debian/${file}`, 'utf8')));
  return texts.join('').replaceAll('@PACKAGE@', name);
}

/** What `npx wgdriver` runs. */
async function npmPackage(): Promise<void> {
  const scratch = await mkdtemp(join(folder, 'npm-'));
  try {
    const { name, description, license, type, engines } = packageJson;
    const manifest = {
      name,
      version,
      description,
      license,
      type,
      engines,
      os: ['linux'],
      bin: { wgdriver: 'wgdriver' },
    };
    await writeFile(join(scratch, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    await copyFile('dist/wgdriver', join(scratch, 'wgdriver'));
    for (const file of ['README.md', 'LICENSE']) {
      await copyFile(file, join(scratch, file));
    }
    await copyFile(notices, join(scratch, 'NOTICES'));
    await run('npm', ['pack', '--silent', '--pack-destination', '..'], { cwd: scratch });
  } finally {
    await rm(scratch, { recursive: true });
  }
}

/** A tarball of files, or of a folder's content, by their names in it; owners and dates are no part of it. */
async function tarball(name: string, content: Readonly<Record<string, string>>): Promise<void> {
  const scratch = await mkdtemp(join(folder, 'tar-'));
  try {
    for (const [target, source] of Object.entries(content)) {
      await cp(source, join(scratch, target), { recursive: true });
    }
    const same = ['--sort=name', `--mtime=@${epoch}`, '--owner=0', '--group=0', '--numeric-owner'];
    await run('tar', [
      ...same,
      '--use-compress-program=gzip -n',
      '-cf',
      join(folder, name),
      '-C',
      scratch,
      '.',
    ]);
  } finally {
    await rm(scratch, { recursive: true });
  }
}

async function checksums(): Promise<string> {
  const names = (await readdir(folder)).sort();
  const lines = await Promise.all(
    names.map(async (name) => {
      const hash = createHash('sha256');
      for await (const chunk of createReadStream(join(folder, name))) {
        hash.update(chunk as Buffer);
      }
      return `${hash.digest('hex')}  ${name}\n`;
    }),
  );
  return lines.join('');
}

/** As gzip -n9: no name and no date in it. */
function compressed(text: string | Uint8Array): Uint8Array {
  return gzipSync(text, { level: 9 });
}
