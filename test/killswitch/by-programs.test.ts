// What programs may do that are not as they should be. What they do in a real namespace is in namespaces.test.ts.
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { programNamespaces } from '../../src/killswitch/by-programs.ts';
import { prefixOf } from '../../src/wireguard/address.ts';

const folder = mkdtempSync(join(tmpdir(), 'wgdriver-by-programs-'));
const path = process.env.PATH;
after(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  process.env.PATH = path;
});

/** Programs of the test's own, found before the system's. */
function put(scripts: Readonly<Record<string, string>>): void {
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  process.env.PATH = `${folder}:${path}`;
}

const netns = '/proc/self/ns/net';
/** Enters nothing. */
const nsenter = 'shift; exec "$@"';
const routing = {
  newRoutes: [
    {
      table: 1,
      destination: prefixOf('10.0.0.0/8'),
      oif: undefined,
      isThrow: false,
      gateway: undefined,
      metric: 0,
    },
  ],
  oldRules: [],
  newRules: [],
  oldRoutes: [],
};
const apply = () => programNamespaces().apply(netns, undefined, routing);

test('a command that did not report how it ended has not succeeded', async () => {
  for (const script of ['exit 0', 'printf 0', 'printf "0\\0"']) {
    put({ nsenter: `cat >/dev/null; ${script}` });
    const message = `run \`ip -4 -force -batch -\` in network namespace ${netns}: the shell did not report how it ended`;
    await assert.rejects(apply(), { message });
  }
  put({ nsenter: 'cat >/dev/null; printf "0\\0[]\\0"' });
  await assert.rejects(programNamespaces().read(netns), { message: /^run `ip -json address show` in / });
});

test('a command that fails: its words, the command and the status; or these two alone', async () => {
  put({ nsenter, ip: 'echo "RTNETLINK answers: Operation not permitted" >&2; exit 2' });
  await assert.rejects(apply(), {
    message: 'Operation not permitted (ip -4 -force -batch -: exit status 2)',
  });
  put({ nsenter, ip: 'exit 2' });
  await assert.rejects(apply(), { message: 'ip -4 -force -batch -: exit status 2' });
});

test('what is there already is no error, unless the command did not run to its end', async () => {
  const words = 'echo "RTNETLINK answers: File exists" >&2';
  put({ nsenter, ip: `${words}; exit 2` });
  assert.deepEqual(await apply(), {});
  put({ nsenter, ip: `${words}; kill -9 $$` });
  await assert.rejects(apply(), { message: /File exists.* \(ip -4 -force -batch -: exit status 137\)$/ });
});

test('an `ip -json` that prints nothing, or not all, is not a container without networks', async () => {
  for (const [script, message] of [
    ['exit 0', 'ip -details -json link show: expected a list, got no output'],
    [
      'printf "[{"',
      'ip -details -json link show: expected JSON, got output that is something else or is cut short',
    ],
  ] as const) {
    put({ nsenter, ip: script });
    await assert.rejects(programNamespaces().read(netns), { message });
  }
});
