import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openDurableFolder } from '../../src/state/durable-folder.ts';
import { readStateFiles } from '../../src/state/files.ts';

let parent: string;
let path: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'wgdriver-state-'));
  path = join(parent, 'made', 'deep', 'inside');
});
afterEach(() => rm(parent, { recursive: true }));

test('the folder and its parents are made for their owner alone', async () => {
  await openDurableFolder(path);
  for (const folder of [path, join(parent, 'made', 'deep'), join(parent, 'made')]) {
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
  }
});

test('a record is read back, from a file for its owner alone', async () => {
  const folder = await openDurableFolder(path);
  const record = { a: 1, text: '\u0000"\n', nested: { list: [null, true] } };
  await folder.write('one', record);
  await folder.write('two', {});
  assert.equal((await stat(join(path, 'one.json'))).mode & 0o777, 0o600);
  assert.deepEqual(
    await contents(),
    new Map<string, unknown>([
      ['one', record],
      ['two', {}],
    ]),
  );
});

test('a file that was open to others is not any more once written', async () => {
  const folder = await openDurableFolder(path);
  await writeFile(join(path, 'one.json'), '{}', { mode: 0o644 });
  await folder.write('one', { secret: true });
  assert.equal((await stat(join(path, 'one.json'))).mode & 0o777, 0o600);
});

test('writing leaves nothing beside the file', async () => {
  const folder = await openDurableFolder(path);
  await Promise.all(Array.from({ length: 20 }, (_, index) => folder.write('same', { index })));
  assert.deepEqual(await readdir(path), ['same.json']);
  assert.deepEqual(await contents(), new Map([['same', { index: 19 }]]));
});

test('a new file replaces the old one, which is never half-written', async () => {
  const folder = await openDurableFolder(path);
  await folder.write('one', { version: 1 });
  const before = await stat(join(path, 'one.json'));
  await folder.write('one', { version: 2 });
  assert.notEqual((await stat(join(path, 'one.json'))).ino, before.ino);
});

test('a removed record is gone, and one that is not there is no error', async () => {
  const folder = await openDurableFolder(path);
  await folder.write('one', {});
  await folder.remove('one');
  await folder.remove('one');
  await folder.remove('never there');
  assert.deepEqual(await readdir(path), []);
});

test('what a write that was cut short had left is removed at the next start, and nothing else', async () => {
  await openDurableFolder(path);
  const names = ['a.json', 'a.json.1234567', 'a.json.unreadable-1234567', 'notes.txt'];
  await Promise.all(names.map((name) => writeFile(join(path, name), '{}')));
  await openDurableFolder(path);
  assert.deepEqual((await readdir(path)).sort(), ['a.json', 'a.json.unreadable-1234567', 'notes.txt']);
});

async function contents(): Promise<Map<string, unknown>> {
  return new Map((await readStateFiles(path, '.json')).map(({ id, content }) => [id, content]));
}
