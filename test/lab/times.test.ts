import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { recordTime, slowestFirst } from '../../build/lab/times.ts';

test('what labs held their places for is told, the slowest first', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-times-'));
  const file = join(folder, 'times');
  const before = process.env.WGDRIVER_LAB_TIMES;
  t.after(async () => {
    if (before === undefined) delete process.env.WGDRIVER_LAB_TIMES;
    else process.env.WGDRIVER_LAB_TIMES = before;
    await rm(folder, { recursive: true });
  });
  process.env.WGDRIVER_LAB_TIMES = file;
  assert.deepEqual(slowestFirst(file), []);
  recordTime({ name: 'quick', waitedSeconds: 100.4, heldSeconds: 9.6 });
  recordTime({ name: 'slow', waitedSeconds: 0, heldSeconds: 80 });
  assert.deepEqual(slowestFirst(file), [
    'slow: 80 s, after 0 s of waiting',
    'quick: 10 s, after 100 s of waiting',
  ]);
});
