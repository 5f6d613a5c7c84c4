/**
 * `node build/release/arm64-libraries.ts FOLDER`: unpacks the libraries that the executable for arm64 loads, of this
 * machine's Debian release. apt's lists and downloads are in folders of their own: the machine's architectures and
 * sources stay as they are.
 */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { debianMirror, hostRelease, transportSettings } from '../lab/apt.ts';
import { command } from '../lab/command.ts';

const packages = ['libc6', 'libgcc-s1', 'libstdc++6', 'libatomic1'];

const target = resolve(process.argv[2] ?? 'dist/arm64-libraries');
const scratch = await mkdtemp(join(tmpdir(), 'wgdriver-arm64-'));
try {
  for (const folder of ['lists/partial', 'cache/archives/partial', 'debs']) {
    await mkdir(join(scratch, folder), { recursive: true });
  }
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  const sources = join(scratch, 'sources.list');
  await writeFile(
    sources,
    `deb [signed-by=${keyring}] ${await debianMirror()} ${await hostRelease()} main\n`,
  );
  const settings = [
    ...(await transportSettings()),
    'APT::Architecture "arm64";',
    'APT::Architectures { "arm64"; };',
    `Dir::Etc::sourcelist "${sources}";`,
    'Dir::Etc::sourceparts "-";',
    `Dir::State::lists "${scratch}/lists";`,
    `Dir::Cache "${scratch}/cache";`,
    'APT::Sandbox::User "root";',
  ];
  await writeFile(join(scratch, 'apt.conf'), `${settings.join('\n')}\n`);
  const env = { APT_CONFIG: join(scratch, 'apt.conf') };
  await command(['apt-get', '-qq', 'update'], { env });
  await command(
    [
      'sh',
      '-c',
      'cd "$1" && shift && exec apt-get -qq download "$@"',
      'sh',
      join(scratch, 'debs'),
      ...packages,
    ],
    {
      env,
    },
  );
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  for (const deb of (await readdir(join(scratch, 'debs'))).sort()) {
    await command(['dpkg-deb', '--extract', join(scratch, 'debs', deb), target]);
  }
} finally {
  await rm(scratch, { recursive: true });
}
