import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findPrivateKey, makePrivateKey, readHubConfig, securePrivateKey } from '../../src/hub/files.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';

// Mounts are of this process alone.
const { skip } = await enterFreshNamespace('mount');

const folder = mkdtempSync(join(tmpdir(), 'wgdriver-hub-files-'));
after(() => rmSync(folder, { recursive: true }));
const modeOf = (file: string) => statSync(file).mode & 0o777;
const file = join(folder, 'wg0.key');

test('a key that is missing is made when somebody asks for it, and never a second time', async () => {
  assert.equal(await findPrivateKey(file), undefined);
  assert.equal(await securePrivateKey(file), undefined);
  const made = await makePrivateKey(file);
  assert.equal(modeOf(file), 0o600);
  await assert.rejects(makePrivateKey(file), /make private key file .*: EEXIST/);
  assert.equal((await securePrivateKey(file))?.toBase64(), made.toBase64());
  assert.equal((await findPrivateKey(file))?.toBase64(), readFileSync(file, 'utf8').trim());
});

test('everybody else loses a key, and a group keeps it', async () => {
  chmodSync(file, 0o644);
  await securePrivateKey(file);
  assert.equal(modeOf(file), 0o640);
});

test('a key in a folder that is read-only is read', { skip }, async () => {
  const place = join(folder, 'ro');
  mkdirSync(place);
  execFileSync('mount', ['-t', 'tmpfs', 'none', place]);
  try {
    const key = join(place, 'wg0.key');
    writeFileSync(key, readFileSync(file), { mode: 0o600 });
    writeFileSync(`${key}.open`, readFileSync(file), { mode: 0o604 });
    execFileSync('mount', ['-o', 'remount,ro', place]);
    assert.equal((await securePrivateKey(key))?.toBase64(), (await findPrivateKey(file))?.toBase64());
    await assert.rejects(
      securePrivateKey(`${key}.open`),
      /private key file .*\.open: everybody can read it, .*EROFS.*chmod 600/,
    );
  } finally {
    execFileSync('umount', [place]);
  }
});

test('no key: the file is named, and what is in it is not', async () => {
  writeFileSync(file, 'c2VjcmV0\n');
  await assert.rejects(securePrivateKey(file), ({ message }: Error) => {
    assert.match(
      message,
      /private key file .*wg0\.key: expected a private key, 32 bytes in base64.*; it has 6 bytes/,
    );
    return !message.includes('c2VjcmV0');
  });
});

test('a hub’s file that is none: the file is named, and a pipe is not waited for', async () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  await assert.rejects(
    readHubConfig(pipe),
    /hub’s file .*pipe: expected a regular file, got a pipe or device/,
  );
  await assert.rejects(readHubConfig(folder), /hub’s file .*: expected a regular file, got a directory/);
  await assert.rejects(readHubConfig(join(folder, 'none')), /hub’s file .*none: there is no such file/);
});
