import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { claimSocket, inheritedSocket } from '../../src/plugin/socket.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-socket-'));
  path = join(folder, 'plugin.sock');
});
afterEach(() => rm(folder, { recursive: true }));

test('the folder is made, for its owner alone', async () => {
  await claimSocket({ path: join(folder, 'docker', 'plugins', 'plugin.sock') });
  assert.equal((await stat(join(folder, 'docker', 'plugins'))).mode & 0o777, 0o700);
});

test('a socket that a crash left is removed', async () => {
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await once(execFile(process.execPath, ['--eval', script]), 'exit');
  assert((await stat(path)).isSocket());
  await claimSocket({ path });
  await assert.rejects(stat(path), { code: 'ENOENT' });
});

test('a socket that is answered on stays, and the error says so', async () => {
  const server = createServer().listen(path);
  await once(server, 'listening');
  await assert.rejects(
    claimSocket({ path }),
    /socket .*plugin\.sock: another process answers on it; .* another --socket$/,
  );
  await assert.rejects(claimSocket({ path, option: '--metrics' }), /or choose another --metrics$/);
  assert((await stat(path)).isSocket());
  server.close();
  await once(server, 'close');
});

test('a file that is no socket stays, and the error says so', async () => {
  await writeFile(path, 'precious');
  await assert.rejects(claimSocket({ path }), /socket .*plugin\.sock: this is not a socket/);
  await assert.rejects(claimSocket({ path, option: '--metrics' }), /or choose another --metrics$/);
  assert.equal(await readFile(path, 'utf8'), 'precious');
});

test('a folder stays, and the error says so', async () => {
  await mkdir(path);
  await assert.rejects(claimSocket({ path }), /this is not a socket/);
  assert((await stat(path)).isDirectory());
});

test('a link to a file stays, and so does the file', async () => {
  await writeFile(join(folder, 'file'), 'precious');
  await symlink(join(folder, 'file'), path);
  await assert.rejects(claimSocket({ path }), /this is not a socket/);
  assert.equal(await readFile(path, 'utf8'), 'precious');
});

test('an inherited socket is the first descriptor that systemd passes, and only if it is for us', () => {
  assert.deepEqual(inheritedSocket({ LISTEN_PID: '7', LISTEN_FDS: '1' }, 7), { fd: 3 });
  assert.equal(inheritedSocket({ LISTEN_PID: '8', LISTEN_FDS: '1' }, 7), undefined);
  assert.equal(inheritedSocket({ LISTEN_PID: '7' }, 7), undefined);
  assert.equal(inheritedSocket({}, 7), undefined);
  assert.throws(() => inheritedSocket({ LISTEN_PID: '7', LISTEN_FDS: '2' }, 7), /expected one socket, got 2/);
});
