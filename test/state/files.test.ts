import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { readStateFiles, setAside } from '../../src/state/files.ts';

let path: string;
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'wgdriver-state-'));
});
afterEach(() => rm(path, { recursive: true }));

test('what is no JSON comes as an error without its text', async () => {
  await writeFile(join(path, 'good.json'), '{"good":true}');
  await writeFile(join(path, 'bare.json'), '{"seed":dGVzdHNlZWQK}');
  await writeFile(join(path, 'empty.json'), '');
  await mkdir(join(path, 'folder.json'));
  await writeFile(join(path, 'other.txt'), 'not a record');
  const files = await readStateFiles(path, '.json');
  const contents = new Map(files.map(({ id, content }) => [id, content]));
  assert.deepEqual([...contents.keys()].toSorted(), ['bare', 'empty', 'folder', 'good']);
  assert.deepEqual(contents.get('good'), { good: true });
  for (const id of ['bare', 'empty', 'folder']) {
    const error = contents.get(id);
    assert(error instanceof Error);
    assert.doesNotMatch(error.message, /dGVz/);
  }
});

test('no folder is an empty one', async () => {
  assert.deepEqual(await readStateFiles(join(path, 'none'), '.json'), []);
});

test('a file that cannot be read is an error of its own kind, not one without sense', async () => {
  // A circle of links is the one such error that root gets too.
  await symlink('circle.json', join(path, 'circle.json'));
  await assert.rejects(readStateFiles(path, '.json'), {
    name: 'StateError',
    reason: 'unreadable',
    message: new RegExp(`^read state file ${path}/circle\\.json: ELOOP: `),
  });
});

test('the same of a folder', async () => {
  await writeFile(join(path, 'networks'), '');
  await assert.rejects(readStateFiles(join(path, 'networks'), '.json'), {
    name: 'StateError',
    reason: 'unreadable',
    message: new RegExp(`^read state folder ${path}/networks: ENOTDIR: `),
  });
});

test('a record that is set aside keeps its bytes under another name, and is not read again', async () => {
  await writeFile(join(path, 'bad.json'), 'bytes');
  const aside = await setAside(join(path, 'bad.json'));
  assert.equal(await readFile(aside, 'utf8'), 'bytes');
  assert(aside.startsWith(join(path, 'bad.json.unreadable-')));
  assert.deepEqual(await readStateFiles(path, '.json'), []);
});

test('there may be more records than a process may have files open', async () => {
  const ids = Array.from({ length: 500 }, (_, index) => `id${index}`);
  for (const id of ids) {
    await writeFile(join(path, `${id}.json`), '{}');
  }
  const script = `
    const { readStateFiles } = await import(${JSON.stringify(import.meta.resolve('../../src/state/files.ts'))});
    console.log((await readStateFiles(${JSON.stringify(path)}, '.json')).length);`;
  const program = [process.execPath, '--input-type=module', '--eval', script];
  const limited = execFileSync('sh', ['-c', 'ulimit -n 100 && exec "$@"', 'sh', ...program], {
    encoding: 'utf8',
  });
  assert.equal(limited, '500\n');
});
