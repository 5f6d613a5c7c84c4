/** What `npm run release` makes: of the bundle, and in the full run of the executable for x64. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { after, test } from 'node:test';
import { attempt, run, sh } from '../../build/host/commands.ts';

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
const sourceDate = { SOURCE_DATE_EPOCH: '1790000000' };

const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
const deb = `dist/release/wgdriver_${version}_all.deb`;
const parts = isFull ? ['bundle', 'amd64'] : ['bundle'];

await attempt(process.execPath, ['build/run.mjs', 'release', ...parts], sourceDate).then(
  ({ status, stderr }) => assert.equal(status, 0, stderr),
);

test('the package brings program, units, pages, completions and a private folder for secrets', async () => {
  const listed = await run('dpkg-deb', ['--contents', deb]);
  for (const line of [
    /^-rwxr-xr-x root\/root .* \.\/usr\/bin\/wgdriver$/m,
    /^drwx------ root\/root .* \.\/etc\/wgdriver\/$/m,
    /^-rw-r--r-- root\/root .* \.\/usr\/lib\/systemd\/system\/wgdriver\.service$/m,
    /^-rw-r--r-- root\/root .* \.\/usr\/share\/man\/man1\/wgdriver-service-install\.1\.gz$/m,
    / \.\/usr\/share\/bash-completion\/completions\/wgdriver$/m,
    / \.\/usr\/share\/zsh\/vendor-completions\/_wgdriver$/m,
    / \.\/usr\/share\/fish\/vendor_completions\.d\/wgdriver\.fish$/m,
  ]) {
    assert.match(listed, line);
  }
});

test('its units start the program of the package, and no word of a template is left', async () => {
  const units = await sh(
    `dpkg-deb --fsys-tarfile "$1" | tar -xO --wildcards './usr/lib/systemd/system/*'`,
    deb,
  );
  assert.match(units, /^ExecStart=\/usr\/bin\/wgdriver serve --name wireguard-plugin /m);
  assert.match(units, /^ExecStart=\/usr\/bin\/wgdriver hub serve --config \/etc\/wgdriver\/hub\.yaml /m);
  assert.doesNotMatch(units, /@[A-Z]+@|Written by/);
});

test('what it installs runs, and has the version of the package', async () => {
  const folder = await mkdtemp('dist/installed-');
  after(() => rm(folder, { recursive: true }));
  await run('dpkg-deb', ['--extract', deb, folder]);
  assert.equal(await run(process.execPath, [`${folder}/usr/bin/wgdriver`, '--version']), version);
});

test('the bill of materials has what is bundled, and nothing else', async () => {
  const bill = JSON.parse(await readFile('dist/release/sbom.cdx.json', 'utf8'));
  const notices = await readFile('dist/NOTICES', 'utf8');
  assert.equal(bill.bomFormat, 'CycloneDX');
  assert.deepEqual(
    bill.components.map((component: { 'bom-ref': string }) => component['bom-ref']).sort(),
    [...notices.matchAll(/^## (\S+) (\S+) \(/gm)].map(([, name, release]) => `${name}@${release}`).sort(),
  );
});

test('the npm package runs with npx, and brings nothing but the bundle', async () => {
  const listed = await run('tar', ['-tzf', `dist/release/wgdriver-${version}.tgz`]);
  assert.deepEqual(listed.trim().split('\n').sort(), [
    'package/LICENSE',
    'package/NOTICES',
    'package/README.md',
    'package/package.json',
    'package/wgdriver',
  ]);
});

test('another folder makes the same bytes', async () => {
  const folder = await mkdtemp('dist/elsewhere-');
  after(() => rm(folder, { recursive: true }));
  await sh(
    `cp -al node_modules "$1"
     mkdir -p "$1/test/runtimes"
     cp -al test/runtimes/node_modules test/runtimes/package-lock.json "$1/test/runtimes"
     cp -a build src package.json package-lock.json tsconfig.json README.md LICENSE CHANGELOG.md "$1"
     SOURCE_DATE_EPOCH=${sourceDate.SOURCE_DATE_EPOCH} node "$1/build/run.mjs" release ${parts.join(' ')}`,
    folder,
  );
  assert.equal(
    await readFile(`${folder}/dist/release/SHA256SUMS`, 'utf8'),
    await readFile('dist/release/SHA256SUMS', 'utf8'),
  );
});

test('lintian has nothing to say', { skip: !isFull && 'in the full run' }, async () => {
  await sh(
    'lintian --allow-root --fail-on=error,warning "$@"',
    deb,
    `dist/release/wgdriver-bin_${version}_amd64.deb`,
  );
});

test('checksums can be signed', { skip: !isFull && 'in the full run' }, async () => {
  const folder = await mkdtemp('dist/signed-');
  after(() => rm(folder, { recursive: true }));
  await sh(
    `minisign -G -W -p "$1/key.pub" -s "$1/key"
     cp dist/release/SHA256SUMS "$1"
     minisign -S -s "$1/key" -m "$1/SHA256SUMS"
     minisign -V -p "$1/key.pub" -m "$1/SHA256SUMS"
     echo more >>"$1/SHA256SUMS"
     ! minisign -V -p "$1/key.pub" -m "$1/SHA256SUMS"`,
    folder,
  );
});
