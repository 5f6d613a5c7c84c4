import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { lockState } from '../../src/state/lock.ts';

let parent: string;
let folder: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'wgdriver-lock-'));
  folder = join(parent, 'state');
});
afterEach(() => rm(parent, { recursive: true }));

const taken = /^Error: state folder .*: another process is using it; stop that process, or choose/;

test('a folder is one process’s at a time', async () => {
  const release = await lockState(folder);
  await assert.rejects(lockState(folder), taken);
  await assert.rejects(lockState(folder), taken);
  await release();
  assert.deepEqual(await readdir(folder), []);
  await (await lockState(folder))();
});

test('a lock ends with its process, also if that is killed', async () => {
  const holder = await startHolder();
  await assert.rejects(lockState(folder), taken);
  holder.kill('SIGSTOP');
  await assert.rejects(lockState(folder), taken);
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const release = await lockState(folder);
  assert.equal((await readdir(folder)).length, 1);
  await release();
});

test('of many that come at once one has it at most, and the next one has it for sure', async () => {
  for (let round = 0; round < 20; round++) {
    const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => lockState(folder)));
    const holders = attempts.filter((attempt) => attempt.status === 'fulfilled');
    assert(holders.length <= 1);
    await Promise.all(holders.map(({ value }) => value()));
    await (await lockState(folder))();
  }
});

test('a folder that cannot be written to is named', async () => {
  await writeFile(folder, 'a file');
  await assert.rejects(lockState(folder), /^Error: state folder .*: EEXIST/);
});

/** A process that holds the lock. */
async function startHolder(): Promise<ChildProcess> {
  const script = `
    const { lockState } = await import(${JSON.stringify(import.meta.resolve('../../src/state/lock.ts'))});
    await lockState(${JSON.stringify(folder)});
    console.log('held');
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}
