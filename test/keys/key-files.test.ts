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

for (const [what, read, text, fault] of [
  ['private key file', readPrivateKeyFile, 'c2VjcmV0', /it has 6 bytes, but a key has 32$/],
  ['private key file', readPrivateKeyFile, `${'a1'.repeat(32)}\n`, /`wg genkey`.*; it is hexadecimal/],
  ['preshared key file', readPresharedKeyFile, `${'a1'.repeat(32)}\n`, /`wg genpsk`.*; it is hexadecimal/],
  ['preshared key file', readPresharedKeyFile, `${key}\n${key}\n`, /it contains white space$/],
  ['additional file', readAdditionalFile, '# nothing\n', /a value in base64 on each line/],
  ['additional file', readAdditionalFile, 'bmV3\nnot base64\n', /a value in base64 on each line/],
  ['private key file', readPrivateKeyFile, 'A'.repeat(5000), /at most 4096 bytes$/],
] as const) {
  test(`${what}: ${text.slice(0, 10).trim()}… is refused, and not repeated`, async () => {
    writeFileSync(file, text);
    await assert.rejects(read(file), ({ message }: Error) => {
      assert(message.startsWith(`${what} ${file}: expected `), message);
      assert.match(message, fault);
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
