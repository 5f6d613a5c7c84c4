import assert from 'node:assert/strict';
import { copyFile, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { attempt, run } from '../../build/host/commands.ts';
import { startDaemon, untilReady } from '../../build/host/daemon.ts';
import { executable, pluginSocket, wgdriver } from '../../build/host/driver.ts';
import { article } from '../../build/host/hub.ts';
import { requestsTo } from '../../src/engine/request.ts';

const folder = resolve('test/runtimes/node_modules');
const runtimes = {
  'Node 20': [`${folder}/node20/bin/node`, /^v20\./],
  'Node 22': [`${folder}/node22/bin/node`, /^v22\./],
  'Node 24': [`${folder}/node24/bin/node`, /^v24\./],
  'Node 26': [`${folder}/node26/bin/node`, /^v26\./],
  'Deno 2': [`${folder}/deno/deno`, /^deno 2\./],
} as const;

// Copied to where nothing is beside it and no package.json above it says what kind of file it is.
const alone = await mkdtemp(join(tmpdir(), 'wgdriver-bundle-'));
after(() => rm(alone, { recursive: true }));
const bundle = join(alone, 'wgdriver');
await copyFile(wgdriver, bundle);

type Way = readonly [backend: 'netlink' | 'userspace', file: string, ...args: string[]];

/** Every way to run it that is promised. Listing links, as serve does first, needs no WireGuard of the kernel. */
const ways: Readonly<Record<string, Way>> = {
  'Node 20': ['userspace', runtimes['Node 20'][0], bundle],
  'Node 22': ['userspace', runtimes['Node 22'][0], bundle],
  'Node 24': ['userspace', runtimes['Node 24'][0], bundle],
  'Node 26': ['netlink', runtimes['Node 26'][0], bundle],
  'Deno 2': ['netlink', resolve('build/host/deno/wgdriver')],
  'the executable': ['netlink', executable],
};

test('the bundle is executable and under 1 MB', async () => {
  const { size, mode } = await stat(bundle);
  assert.ok(size < 1_000_000, `${size} bytes`);
  assert.equal(mode & 0o111, 0o111);
});

for (const [name, [runtime, version]] of Object.entries(runtimes)) {
  test(`${name} is what it says`, async () => {
    assert.match(await run(runtime, ['--version']), version);
  });
}

for (const [name, [backend, file, ...words]] of Object.entries(ways)) {
  test(`keys on ${name}: the article's example, and not a word besides`, async () => {
    const args = [
      'keys',
      `--seed=${article.seed}`,
      `--additional=${article.additional}`,
      article.firstAddress,
    ];
    const { status, stdout, stderr } = await attempt(file, [...words, ...args]);
    assert.equal(stdout, `${article.firstPublicKey}\n`);
    assert.match(stderr, /^wgdriver: warning: the seed has fewer than 16 bytes[^\n]*\n$/);
    assert.equal(status, 0);
  });

  test(`serve on ${name} answers Plugin.Activate, and ends on SIGTERM without its socket`, async () => {
    const daemon = startDaemon(file, [...words, 'serve', `--backend=${backend}`]);
    await untilReady(daemon, 'it serves', () => daemon.output().includes(' serving '));
    assert.equal((await stat(pluginSocket)).mode & 0o777, 0o600);
    const answer = await requestsTo(pluginSocket)('POST', '/Plugin.Activate');
    assert.deepEqual(answer, { Implements: ['NetworkDriver'] });
    assert.equal(await daemon.stop(), 0, daemon.output());
    assert.doesNotMatch(daemon.output(), /warn/i);
    await assert.rejects(stat(pluginSocket));
  });

  test(`doctor --json on ${name}`, async () => {
    const { stdout, stderr } = await attempt(file, [...words, 'doctor', '--json']);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; status: string }[] };
    assert.equal(checks.find((check) => check.name === 'rights')?.status, 'pass');
    assert.equal(stderr, '');
  });
}
