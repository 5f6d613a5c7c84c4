import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openBootFolder } from '../../src/state/boot-folder.ts';

let parent: string;
let path: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'wgdriver-state-'));
  path = join(parent, 'boots', 'boot');
});
afterEach(() => rm(parent, { recursive: true }));

test('a record is written, moved and removed, for its owner alone', async () => {
  const folder = await openBootFolder(path);
  assert.equal((await stat(path)).mode & 0o777, 0o700);
  await folder.write('one', '.begun', { a: 1 });
  assert.equal((await stat(join(path, 'one.begun'))).mode & 0o777, 0o600);
  await folder.move('one', '.begun', '.json');
  assert.deepEqual(JSON.parse(await readFile(join(path, 'one.json'), 'utf8')), { a: 1 });
  await folder.remove('one', '.json');
  await folder.remove('one', '.json');
  assert.deepEqual(await readdir(path), []);
});

test('a record is replaced as a whole', async () => {
  const folder = await openBootFolder(path);
  await folder.write('one', '.json', { a: 1 });
  const before = await stat(join(path, 'one.json'));
  await folder.write('one', '.json', { a: 2 });
  assert.notEqual((await stat(join(path, 'one.json'))).ino, before.ino);
});

test('what a kill left of a write is removed when the folder is opened, and nothing else', async () => {
  await openBootFolder(path);
  const names = ['a.json', 'a.json.unreadable-1', 'b.json.partial'];
  await Promise.all(names.map((name) => writeFile(join(path, name), '{')));
  await openBootFolder(path);
  assert.deepEqual((await readdir(path)).sort(), ['a.json', 'a.json.unreadable-1']);
});

test('a write that fails leaves nothing, and says what and where', async () => {
  const folder = await openBootFolder(path);
  await mkdir(join(path, 'one.json'));
  await assert.rejects(folder.write('one', '.json', {}), {
    message: new RegExp(`^write state file ${path}/one\\.json: EISDIR: `),
  });
  assert.deepEqual(await readdir(path), ['one.json']);
});
