// The unit that answers the engine while the driver cannot start: its script as systemd would run it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connectEngine } from '../support/engine-client.ts';
import { createNetworkRequest } from '../support/networks.ts';

/** What is between the quotes of ExecStart, less the escapes of systemd.service(5). */
async function scriptOf(unit: string): Promise<string> {
  const text = await readFile(new URL(`../../build/systemd/${unit}`, import.meta.url), 'utf8');
  const [, quoted = ''] = /^ExecStart=\/bin\/sh -c '(.*?)'$/ms.exec(text) ?? [];
  return quoted
    .replaceAll('\\\n', ' ')
    .replaceAll('$$', () => '$')
    .replaceAll('%%', '%')
    .replaceAll('\\\\', '\\');
}

let folder: string;
const server = createServer({ pauseOnConnect: true });
let complaints = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-unavailable-'));
  const script = await scriptOf('wgdriver-unavailable@.service');
  // Each call is a process, with the connection as its stdin and stdout.
  server.on('connection', (connection) => {
    const child = spawn('/bin/sh', ['-c', script], { stdio: [connection, connection, 'pipe'], env: {} });
    child.stderr?.on('data', (text) => {
      complaints += text;
    });
    child.once('exit', () => connection.destroy());
  });
  await once(server.listen(join(folder, 'plugin.sock')), 'listening');
});
after(async () => {
  server.close();
  await rm(folder, { recursive: true });
});

for (const [method, body] of [
  ['Plugin.Activate', undefined],
  ['NetworkDriver.GetCapabilities', undefined],
  ['NetworkDriver.CreateNetwork', createNetworkRequest()],
  // Larger than most of the engine's, and than what it writes at once.
  ['NetworkDriver.Join', { padding: 'x'.repeat(10_000) }],
] as const) {
  test(`${method} is answered with 503, and nothing but a shell is needed`, async () => {
    const engine = await connectEngine(join(folder, 'plugin.sock'));
    const { status, headers, body: answer } = await engine.call(method, body);
    assert.equal(status, 503);
    assert.deepEqual(answer, { Err: 'wgdriver cannot start: see systemctl status wgdriver' });
    assert.equal(headers.get('connection'), 'close');
    await engine.ended();
    assert.match(complaints, /^(wgdriver cannot start: a call was answered with 503\n)+$/);
  });
}
