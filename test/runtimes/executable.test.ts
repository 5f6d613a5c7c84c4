import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { attempt, run, sh } from '../../build/host/commands.ts';
import { executable } from '../../build/host/driver.ts';

const docs = await readFile('docs/executable.md', 'utf8');

test('its version is that of package.json, and not a word besides', async () => {
  const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
  for (const env of [{}, { NODE_OPTIONS: '--no-such-option' }]) {
    const { stdout, stderr } = await attempt(executable, ['--version'], env);
    assert.deepEqual([stdout, stderr], [`${version}\n`, '']);
  }
});

test('called by its name, it knows where it is', async () => {
  const file = join(await mkdtemp(join(tmpdir(), 'wgdriver-named-')), 'wgdriver');
  await symlink(executable, file);
  const { stderr } = await attempt('env', [`PATH=${dirname(file)}`, 'wgdriver', 'service', 'install']);
  assert.match(stderr, /^wgdriver: systemd does not run on this host: [^\n]*\n$/);
});

test('its checksum is beside it, for sha256sum', async () => {
  await sh('cd dist && sha256sum --check --strict wgdriver-linux-x64.sha256');
});

test('it needs the libraries that docs/executable.md says, and no newer glibc', async () => {
  const names = (matches: Iterable<RegExpExecArray>) => [...matches].map(([, name]) => name).sort();
  const libraries = (await run('ldd', [executable])).matchAll(/^\s*(\S+) => /gm);
  assert.deepEqual(names(libraries), names(docs.matchAll(/^\| `(\S+\.so\.\d+)` /gm)));

  const versions = (await run('readelf', ['--version-info', executable])).matchAll(/GLIBC_2\.(\d+)/g);
  const newest = Math.max(...[...versions].map(([, minor]) => Number(minor)));
  assert.match(docs, new RegExp(`glibc 2\\.${newest} `));
});

test('another folder makes the same bytes', async () => {
  // In dist: on the same disk, so that links do for the libraries and the runtime.
  const folder = await mkdtemp('dist/elsewhere-');
  after(() => rm(folder, { recursive: true }));
  await sh(
    `mkdir -p "$1/test/runtimes"
     cp -al node_modules "$1"
     cp -al test/runtimes/node_modules test/runtimes/package-lock.json "$1/test/runtimes"
     cp -a build src package.json package-lock.json tsconfig.json LICENSE "$1"
     node "$1/build/run.mjs" exe x64`,
    folder,
  );
  assert.equal(
    await readFile(`${folder}/dist/wgdriver-linux-x64.sha256`, 'utf8'),
    await readFile(`${executable}.sha256`, 'utf8'),
  );
});
