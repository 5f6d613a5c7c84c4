import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readAdditionalFile, readPresharedKeyFile, readPrivateKeyFile } from '../../src/keys/key-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'wgdriver-key-files-'));
after(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'file');
const key = 'IJftaHjgELSRD3PXllSPn3EpiVmrEjQupVynwcfu8FE=';

test('a private key, a preshared key, and additionals with the newest first', async () => {
  writeFileSync(file, `${key}\n`);
  assert.equal((await readPrivateKeyFile(file)).toBase64(), key);
  assert.equal((await readPresharedKeyFile(file)).toBase64(), key);
  writeFileSync(file, '# now\nbmV3\n\nb2xk\n');
  assert.deepEqual(
    (await readAdditionalFile(file)).map((value) => Buffer.from(value).toString()),
    ['new', 'old'],
  );
});

for (const [what, read, text] of [
  ['private key file', readPrivateKeyFile, 'c2VjcmV0'],
  ['preshared key file', readPresharedKeyFile, `${key}\n${key}\n`],
  ['additional file', readAdditionalFile, '# nothing\n'],
  ['additional file', readAdditionalFile, 'bmV3\nnot base64\n'],
  ['private key file', readPrivateKeyFile, 'A'.repeat(5000)],
] as const) {
  test(`${what}: ${text.slice(0, 10).trim()}… is refused, and not repeated`, async () => {
    writeFileSync(file, text);
    await assert.rejects(read(file), ({ message }: Error) => {
      assert(message.startsWith(`${what} ${file}: expected `), message);
      assert(!message.includes(text.slice(0, 8)));
      return true;
    });
  });
}

test('a file that is missing, and one that is none', async () => {
  await assert.rejects(
    readPrivateKeyFile(join(folder, 'none')),
    /private key file .*none: there is no such file \(ENOENT\)/,
  );
  await assert.rejects(readPresharedKeyFile(folder), /expected a regular file, got a directory/);
});
