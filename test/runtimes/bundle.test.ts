import assert from 'node:assert/strict';
import { copyFile, mkdtemp, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { unixFetch } from '../../src/engine/unix-fetch.ts';
import { attempt, run } from '../host/commands.ts';
import { startDaemon, untilReady } from '../host/daemon.ts';
import { wgdriver } from '../host/driver.ts';
import { article } from '../host/hub.ts';

const folder = resolve('test/runtimes/node_modules');

/** Every runtime that is promised, and how it runs a file. */
const runtimes: readonly [name: string, version: RegExp, command: readonly string[]][] = [
  ['Node 20', /^v20\./, [`${folder}/node20/bin/node`]],
  ['Node 22', /^v22\./, [`${folder}/node22/bin/node`]],
  ['Node 24', /^v24\./, [`${folder}/node24/bin/node`]],
  ['Node 26', /^v26\./, [`${folder}/node26/bin/node`]],
  ['Deno 2', /^deno 2\./, [`${folder}/deno/deno`, 'run', '--allow-all']],
];

// Copied to where nothing is beside it and no package.json above it says what kind of file it is.
const bundle = join(await mkdtemp(join(tmpdir(), 'wgdriver-bundle-')), 'wgdriver');
await copyFile(wgdriver, bundle);

test('the bundle is executable and under 1 MB', async () => {
  const { size, mode } = await stat(bundle);
  assert.ok(size < 1_000_000, `${size} bytes`);
  assert.equal(mode & 0o111, 0o111);
});

for (const [name, version, [runtime = '', ...words]] of runtimes) {
  test(`${name} is what it says`, async () => {
    assert.match(await run(runtime, ['--version']), version);
  });

  test(`keys on ${name}: the article's example, and not a word besides`, async () => {
    const args = [
      'keys',
      `--seed=${article.seed}`,
      `--additional=${article.additional}`,
      article.firstAddress,
    ];
    const { status, stdout, stderr } = await attempt(runtime, [...words, bundle, ...args]);
    assert.equal(stdout, `${article.firstPublicKey}\n`);
    assert.match(stderr, /^wgdriver: warning: the seed has under 16 bytes[^\n]*\n$/);
    assert.equal(status, 0);
  });

  test(`serve on ${name} answers Plugin.Activate, and ends on SIGTERM without its socket`, async () => {
    const socket = join(tmpdir(), `${name}.sock`);
    const state = join(tmpdir(), `${name}-state`);
    const args = [
      ...words,
      bundle,
      'serve',
      '--backend=userspace',
      `--socket=${socket}`,
      `--state-dir=${state}`,
    ];
    const daemon = startDaemon(runtime, args);
    await untilReady(daemon, 'it serves', () => daemon.output().includes(' serving '));
    assert.equal((await stat(socket)).mode & 0o777, 0o600);
    const answer = await unixFetch(socket)('http://plugin/Plugin.Activate', { method: 'POST' });
    assert.deepEqual(await answer.json(), { Implements: ['NetworkDriver'] });
    assert.equal(await daemon.stop(), 0, daemon.output());
    await assert.rejects(stat(socket));
  });

  test(`doctor --json on ${name}`, async () => {
    const { stdout, stderr } = await attempt(runtime, [...words, bundle, 'doctor', '--json']);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; status: string }[] };
    assert.equal(checks.find((check) => check.name === 'rights')?.status, 'pass');
    assert.equal(stderr, '');
  });
}
