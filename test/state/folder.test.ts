import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { openStateFolder } from '../../src/state/folder.ts';

let parent: string;
let path: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'wgdriver-state-'));
  path = join(parent, 'made', 'deep', 'inside');
});
afterEach(() => rm(parent, { recursive: true }));

test('the folder and its parents are made for their owner alone', async () => {
  await openStateFolder(path);
  for (const folder of [path, join(parent, 'made', 'deep'), join(parent, 'made')]) {
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
  }
});

test('a record is read back, from a file for its owner alone', async () => {
  const folder = await openStateFolder(path);
  const record = { a: 1, text: '\u0000"\n', nested: { list: [null, true] } };
  await folder.write('one', record);
  await folder.write('two', {});
  assert.equal((await stat(join(path, 'one.json'))).mode & 0o777, 0o600);
  assert.deepEqual(
    new Map(await folder.readAll()),
    new Map<string, unknown>([
      ['one', record],
      ['two', {}],
    ]),
  );
  assert.deepEqual(new Map(await (await openStateFolder(path)).readAll()).get('one'), record);
});

test('a file that was open to others is not any more once written', async () => {
  const folder = await openStateFolder(path);
  await writeFile(join(path, 'one.json'), '{}', { mode: 0o644 });
  await folder.write('one', { secret: true });
  assert.equal((await stat(join(path, 'one.json'))).mode & 0o777, 0o600);
});

test('writing leaves nothing beside the file', async () => {
  const folder = await openStateFolder(path);
  await Promise.all(Array.from({ length: 20 }, (_, index) => folder.write('same', { index })));
  assert.deepEqual(await readdir(path), ['same.json']);
  assert.deepEqual(await folder.readAll(), [['same', { index: 19 }]]);
});

test('a new file replaces the old one, which is never half-written', async () => {
  const folder = await openStateFolder(path);
  await folder.write('one', { version: 1 });
  const before = await stat(join(path, 'one.json'));
  await folder.write('one', { version: 2 });
  assert.notEqual((await stat(join(path, 'one.json'))).ino, before.ino);
});

test('a removed record is gone, and one that is not there is no error', async () => {
  const folder = await openStateFolder(path);
  await folder.write('one', {});
  await folder.remove('one');
  await folder.remove('one');
  await folder.remove('never there');
  assert.deepEqual(await readdir(path), []);
});

test('what is no JSON comes as an error without its text', async () => {
  const folder = await openStateFolder(path);
  await folder.write('good', { good: true });
  await writeFile(join(path, 'bare.json'), '{"seed":dGVzdHNlZWQK}');
  await writeFile(join(path, 'empty.json'), '');
  await mkdir(join(path, 'folder.json'));
  await writeFile(join(path, 'other.txt'), 'not a record');
  const records = new Map(await folder.readAll());
  assert.deepEqual([...records.keys()].toSorted(), ['bare', 'empty', 'folder', 'good']);
  assert.deepEqual(records.get('good'), { good: true });
  for (const id of ['bare', 'empty', 'folder']) {
    const error = records.get(id);
    assert(error instanceof Error);
    assert.doesNotMatch(error.message, /dGVz/);
  }
});

test('a record that is set aside keeps its bytes under another name, and is not read again', async () => {
  const folder = await openStateFolder(path);
  await writeFile(join(path, 'bad.json'), 'bytes');
  const aside = await folder.setAside('bad');
  assert.equal(await readFile(aside, 'utf8'), 'bytes');
  assert(aside.startsWith(join(path, 'bad.json.unreadable-')));
  assert.deepEqual(await folder.readAll(), []);
});

test('there may be more records than a process may have files open', async () => {
  const folder = await openStateFolder(path);
  const ids = Array.from({ length: 500 }, (_, index) => `id${index}`);
  for (const id of ids) {
    await writeFile(join(path, `${id}.json`), '{}');
  }
  const script = `
    const { openStateFolder } = await import(${JSON.stringify(import.meta.resolve('../../src/state/folder.ts'))});
    const records = await (await openStateFolder(${JSON.stringify(path)})).readAll();
    const unreadable = records.filter(([, record]) => record instanceof Error);
    console.log(records.length, unreadable.length, String(unreadable[0]));`;
  const program = [process.execPath, '--input-type=module', '--eval', script];
  const limited = execFileSync('sh', ['-c', 'ulimit -n 100 && exec "$@"', 'sh', ...program], {
    encoding: 'utf8',
  });
  assert.equal(limited, '500 0 undefined\n');
  assert.equal((await folder.readAll()).length, ids.length);
});

test('what a write that was cut short had left is removed at the next start, and nothing else', async () => {
  await openStateFolder(path);
  const names = ['a.json', 'a.json.1234567', 'a.json.unreadable-1234567', 'notes.txt'];
  await Promise.all(names.map((name) => writeFile(join(path, name), '{}')));
  await openStateFolder(path);
  assert.deepEqual((await readdir(path)).sort(), ['a.json', 'a.json.unreadable-1234567', 'notes.txt']);
});
