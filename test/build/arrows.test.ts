import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { breachesOf, type Table, unusedArrows } from '../../build/arrows.mjs';

const folders: string[] = [];
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

const table: Table = {
  shared: ['log.ts'],
  arrows: {
    'cli.ts': ['*'],
    keys: ['wireguard'],
    driver: ['keys', 'plugin/api.ts'],
    plugin: [],
    wireguard: [],
  },
  pure: ['wireguard', 'keys/derivation.ts'],
  debts: [],
};

/** @returns what is against the table in a src/ of these files */
async function breaches(files: Readonly<Record<string, string>>, of: Partial<Table> = {}): Promise<string[]> {
  return breachesOf(await sourceOf(files), { ...table, ...of });
}

async function sourceOf(files: Readonly<Record<string, string>>): Promise<string> {
  const src = await mkdtemp(join(tmpdir(), 'wgdriver-arrows-'));
  folders.push(src);
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(src, name)), { recursive: true });
    await writeFile(join(src, name), text);
  }
  return src;
}

test('what the table allows: a room, one file of a room, what is shared, one’s own room, libraries', async () => {
  const files = {
    'cli.ts': "export const run = async () => (await import('./driver/driver.ts')).run;",
    'log.ts': '',
    'driver/driver.ts':
      "import fs from 'node:fs';\nimport { key } from '../keys/derivation.ts';\nimport * as api from '../plugin/api.ts';\nimport { log } from '../log.ts';",
    'driver/deep/queue.ts': "import { run } from '../driver.ts';",
    'keys/derivation.ts':
      "import { sha3_256 } from '@noble/hashes/sha3.js';\nimport { Buffer } from 'node:buffer';",
    'plugin/api.ts': '',
    'wireguard/text.d.ts': "import 'node:fs';",
  };
  assert.deepEqual(await breaches(files), []);
});

test('imports against the arrows are told, in whatever form', async () => {
  const forms = [
    "import { a } from '../driver/driver.ts';",
    "import type { A } from '../driver/driver.ts';",
    "import {\n  type A,\n  b,\n} from '../driver/driver.ts';",
    "import * as driver from '../driver/driver.ts';",
    "import '../driver/driver.ts';",
    "export { a } from '../driver/driver.ts';",
    "export * from '../driver/driver.ts';",
    "const driver = await import('../driver/driver.ts');",
  ];
  for (const text of forms) {
    const files = { 'driver/driver.ts': '', 'plugin/server.ts': text };
    assert.deepEqual(await breaches(files), ['plugin/server.ts imports driver/driver.ts'], text);
  }
});

test('another file than the one of a room that is allowed; what is shared uses no room; nothing outside of src', async () => {
  const files = {
    'driver/driver.ts': "import { serve } from '../plugin/server.ts';",
    'log.ts': "import { key } from './keys/key.ts';",
    'keys/key.ts': "import { until } from '../../test/support/until.ts';",
    'plugin/server.ts': '',
    'drawer/util.ts': '',
  };
  assert.deepEqual(await breaches(files), [
    'drawer/util.ts is in no room of the table',
    'driver/driver.ts imports plugin/server.ts',
    'keys/key.ts imports ../test/support/until.ts',
    'log.ts imports keys/key.ts',
  ]);
});

test('what is pure does no I/O by others either; their types do none', async () => {
  const files = {
    'keys/derivation.ts': "import { parse } from './seed.ts';",
    'keys/seed.ts': "import { readFile } from 'node:fs/promises';",
    'wireguard/key.ts': "import type { Stats } from 'node:fs';\nimport type { Read } from './reader.ts';",
    'wireguard/reader.ts': "import { createConsola } from 'consola';",
  };
  assert.deepEqual(await breaches(files), [
    'keys/derivation.ts imports keys/seed.ts imports node:fs/promises: keys/derivation.ts may do no I/O',
    'wireguard/reader.ts imports consola: wireguard/reader.ts may do no I/O',
  ]);
});

test('a debt is not told, until it is none any more', async () => {
  const debts = ['plugin/server.ts imports driver/driver.ts'];
  const broken = { 'driver/driver.ts': '', 'plugin/server.ts': "import { a } from '../driver/driver.ts';" };
  assert.deepEqual(await breaches(broken, { debts }), []);
  assert.deepEqual(await breaches({ 'driver/driver.ts': '' }, { debts }), [
    'mended, so no debt any more: plugin/server.ts imports driver/driver.ts',
  ]);
});

test('an arrow that no import needs is told', async () => {
  const files = {
    'driver/driver.ts': "import { key } from '../keys/key.ts';\nimport type { Api } from '../plugin/api.ts';",
    'keys/key.ts': '',
    'plugin/api.ts': '',
  };
  const arrows = {
    'cli.ts': ['*'],
    driver: ['keys', 'plugin/api.ts', 'plugin/calls.ts'],
    keys: ['plugin'],
    plugin: [],
  };
  assert.deepEqual(unusedArrows(await sourceOf(files), { arrows }), [
    'no import needs the arrow driver → plugin/calls.ts',
    'no import needs the arrow keys → plugin',
  ]);
});

test('a circle of imports fails the check, one of types too', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-circle-'));
  folders.push(folder);
  const config = JSON.parse(await readFile('biome.json', 'utf8'));
  const ofTest = { ...config, vcs: { enabled: false }, files: { includes: ['src/**'] } };
  await writeFile(join(folder, 'biome.json'), JSON.stringify(ofTest));
  await mkdir(join(folder, 'src'));
  const lint = async (second: string) => {
    const first = "import { two } from './two.ts';\n\nexport const one = () => two;\nexport type One = 1;\n";
    await writeFile(join(folder, 'src/one.ts'), first);
    await writeFile(join(folder, 'src/two.ts'), second);
    const biome = join(process.cwd(), 'node_modules/.bin/biome');
    // As `npm run check` does.
    return spawnSync(biome, ['check', '--error-on-warnings', 'src'], { cwd: folder, encoding: 'utf8' });
  };
  const { status, stderr } = await lint('export const two = 2;\n');
  assert.equal(status, 0, stderr);
  for (const second of [
    "import { one } from './one.ts';\n\nexport const two = () => one;\n",
    "import type { One } from './one.ts';\n\nexport const two: One = 1;\n",
  ]) {
    const { status, stderr } = await lint(second);
    assert.notEqual(status, 0, second);
    assert.match(stderr, /noImportCycles/);
  }
});

test('this project keeps to its arrows', () => {
  assert.equal(execFileSync(process.execPath, ['build/arrows.mjs'], { encoding: 'utf8' }), '');
});
