import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { limitThreads } from '../../src/hub/threads.ts';

test('many peers share threads, few keep those of the kernel, and a kernel without the setting is left alone', async (t) => {
  const links = await mkdtemp(join(tmpdir(), 'wgdriver-threads-'));
  t.after(() => rm(links, { recursive: true }));
  const setting = join(links, 'wg0', 'threaded');
  await mkdir(join(links, 'wg0'));
  assert.equal(await limitThreads('wg0', 65_000, links), false);
  await writeFile(setting, '1\n');
  assert.equal(await limitThreads('wg0', 1000, links), false);
  assert.equal(await readFile(setting, 'utf8'), '1\n');
  assert.equal(await limitThreads('wg0', 1001, links), true);
  assert.equal(await readFile(setting, 'utf8'), '0\n');
  assert.equal(await limitThreads('wg0', 1001, links), false);
});
