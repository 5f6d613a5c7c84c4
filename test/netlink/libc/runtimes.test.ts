// The bindings of both runtimes that have FFI do the same, and the others say that they have none.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { build } from 'esbuild';

const runtimes = resolve('test/runtimes/node_modules');
const folder = await mkdtemp(join(tmpdir(), 'wgdriver-libc-'));
after(() => rm(folder, { recursive: true }));
const program = join(folder, 'program.mjs');
await build({
  entryPoints: [resolve('test/netlink/libc/program.ts')],
  outfile: program,
  bundle: true,
  platform: 'node',
  format: 'esm',
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
});
const mayUnshare = spawnSync('unshare', ['--net', 'true']).status === 0;

function whyNot(runtime: string): { skip?: string } {
  const reason = !existsSync(runtime)
    ? `${runtime} is not installed`
    : mayUnshare
      ? undefined
      : 'needs a network namespace of its own';
  if (reason !== undefined && process.env.CI === 'true') {
    throw new Error(`with CI=true nothing is skipped: ${reason}`);
  }
  return reason === undefined ? {} : { skip: reason };
}

for (const [name, runtime, ...args] of [
  ['Node 26', `${runtimes}/node26/bin/node`],
  ['Deno', `${runtimes}/deno/deno`, 'run', '--quiet', '--allow-all'],
] as const) {
  test(`netlink on ${name}`, whyNot(runtime), () => {
    const { stdout, stderr } = spawnSync('unshare', ['--net', runtime, ...args, program], {
      encoding: 'utf8',
    });
    assert.equal(stderr, '');
    assert.deepEqual(JSON.parse(stdout), [
      ['create', 'number'],
      ['create again', 'create link wgd1: EEXIST'],
      ['list', [{ name: 'wgd1', endpointId: 'e1' }]],
      ['another namespace', ['lo', 'br0']],
      ['this one', 1400],
      ['no such namespace', 'open /proc/self/ns/none: ENOENT'],
      ['no such family', 'open netlink socket: EAFNOSUPPORT'],
      ['too long', 'send netlink message: EMSGSIZE'],
      ['nothing to receive', 'nothing'],
      ['no event', 'nothing'],
      ['an event here', 'here'],
      ['events here and there', [0, 'here']],
      ['an event tells of itself', 'told'],
      ['delete', 'done'],
      ['event loop', 'went on'],
      ['list', []],
    ]);
  });
}

for (const version of ['20', '22', '24']) {
  const runtime = `${runtimes}/node${version}/bin/node`;
  test(`no netlink on Node ${version}: what would have it`, whyNot(runtime), () => {
    const { stderr } = spawnSync('unshare', ['--net', runtime, program], { encoding: 'utf8' });
    assert.match(
      stderr,
      new RegExp(
        `netlink needs a runtime that calls libc: Deno, Node from 26\\.9 on, .*; this is Node v${version}`,
      ),
    );
  });
}
