import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import * as v from 'valibot';
import { askIp, decodeIpJson } from '../../src/programs/ip.ts';

const folder = mkdtempSync(join(tmpdir(), 'wgdriver-ip-'));
const path = process.env.PATH;
after(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  process.env.PATH = path;
});

const links = v.array(v.object({ ifname: v.string() }));

test('what `ip -json` prints, with the control characters that it does not escape', () => {
  assert.deepEqual(decodeIpJson(v.array(v.string()), '["a\u0001\u007f",\n"b"]\n', 'ip x'), [
    'a\u0001\u007f',
    'b',
  ]);
  assert.deepEqual(decodeIpJson(links, '[ ]\n', 'ip x'), []);
});

test('no output, output that is cut short and output of something else are errors that name the command', () => {
  for (const [output, message] of [
    ['', 'ip x: expected a list, got no output'],
    ['\n', 'ip x: expected a list, got no output'],
    ['[{"ifname":"lo"},', 'ip x: expected JSON, got output that is something else or is cut short'],
    ['lo: <UP>', 'ip x: expected JSON, got output that is something else or is cut short'],
    ['[{"name":"lo"}]', 'ip x.0.ifname: expected a value, got none'],
  ] as const) {
    assert.throws(() => decodeIpJson(links, output, 'ip x'), { message });
  }
});

/** An `ip` of the test's own. */
function ask(script: string) {
  const file = join(folder, 'ip');
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  process.env.PATH = `${folder}:${path}`;
  return askIp(links, ['link', 'show', 'dev', 'wg0'], 'look for wg0');
}

test('what the kernel does not have is none; that it could not be asked is an error', async () => {
  assert.deepEqual(await ask('echo "[{\\"ifname\\":\\"wg0\\"}]"'), [{ ifname: 'wg0' }]);
  assert.deepEqual(await ask('echo "RTNETLINK answers: Network is unreachable" >&2; exit 2'), []);
  assert.deepEqual(await ask('echo "Device \\"wg0\\" does not exist." >&2; exit 1'), []);
  const command = 'ip -json link show dev wg0';
  for (const [script, message] of [
    [
      'echo "Object \\"link\\" is unknown" >&2; exit 1',
      `look for wg0: Object "link" is unknown (${command}: exit status 1)`,
    ],
    ['kill -9 $$', `look for wg0: ${command}: SIGKILL`],
    ['exit 0', `${command}: expected a list, got no output`],
  ] as const) {
    await assert.rejects(ask(script), { message });
  }
  process.env.PATH = join(folder, 'nothing');
  await assert.rejects(askIp(links, ['link', 'show', 'dev', 'wg0'], 'look for wg0'), {
    message: `look for wg0: ${command}: the program was not found; install it`,
  });
});
