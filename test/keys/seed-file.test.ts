import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readSeedFile } from '../../src/keys/seed-file.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-seed-'));
});
after(() => rm(folder, { recursive: true }));

test('a seed file holds base64, and may end in a new line', async () => {
  const file = join(folder, 'seed');
  await writeFile(file, 'dGVzdHNlZWQK\n');
  assert.equal(Buffer.from((await readSeedFile(file)).reveal()).toString(), 'testseed\n');
});

test('a seed may have several lines, as `openssl rand -base64 64` prints them', async () => {
  const file = join(folder, 'lines');
  await writeFile(file, 'dGVz\r\ndHNlZWQK\n');
  assert.equal(Buffer.from((await readSeedFile(file)).reveal()).toString(), 'testseed\n');
});

test('a seed comes from a pipe as well, where one is allowed', async () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const [seed] = await Promise.all([readSeedFile(pipe, { pipe: true }), writeFile(pipe, 'dGVzdHNlZWQK')]);
  assert.equal(Buffer.from(seed.reveal()).toString(), 'testseed\n');
});

test('where no pipe is allowed, one that nobody writes into is refused at once', async () => {
  const pipe = join(folder, 'silent');
  execFileSync('mkfifo', [pipe]);
  // More than libuv has threads for files: none of them may wait.
  const reads = Array.from({ length: 8 }, () => readSeedFile(pipe));
  await Promise.all(
    reads.map((read) =>
      assert.rejects(read, /^Error: seed file .*silent: expected a regular file, got a pipe or device$/),
    ),
  );
  await assert.rejects(readSeedFile('/dev/zero'), /expected a regular file, got a pipe or device/);
});

test('a file of the greatest length is a seed, one byte more is none', async () => {
  const file = join(folder, 'long');
  await writeFile(file, 'A'.repeat(4096));
  assert.equal((await readSeedFile(file)).reveal().length, 3072);
  await writeFile(file, 'A'.repeat(4096).concat('\n'));
  await assert.rejects(
    readSeedFile(file),
    new RegExp(`^Error: seed file ${file}: expected at most 4096 bytes`),
  );
});

test('what is in a wrong seed file is in no error', async () => {
  const file = join(folder, 'wrong');
  for (const text of ['', 'hunter2hunter2!', '\0\0\0', 'aHVudGVyMg== aHVudGVyMg==']) {
    await writeFile(file, text);
    await assert.rejects(readSeedFile(file), ({ message }: Error) => {
      assert.match(
        message,
        /^seed file .*wrong: expected base64, but it .*; `wgdriver keys seed` makes a seed$/,
      );
      assert.doesNotMatch(message, /hunter2|aHVudGVyMg/);
      return true;
    });
  }
});

test('a file that is not there, and a folder, are named with their cause', async () => {
  await assert.rejects(
    readSeedFile(join(folder, 'none')),
    /seed file .*none: there is no such file \(ENOENT\)/,
  );
  await assert.rejects(readSeedFile(folder), /seed file .*: expected a regular file, got a directory/);
});
