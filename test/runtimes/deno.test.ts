// The table of permissions in docs/deno.md: each command does with what its row has, and fails with any one less.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, describe, test } from 'node:test';
import { attempt } from '../../build/host/commands.ts';
import { startDaemon, untilReady } from '../../build/host/daemon.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { article } from '../../build/host/hub.ts';
import { answers } from '../support/unix-server.ts';

const deno = resolve('test/runtimes/node_modules/deno/deno');
const docs = await readFile('docs/deno.md', 'utf8');
const rows = [...docs.matchAll(/^\| `([^`]+)`[^|]* \| `(--[^`]+)` \|$/gm)].map(
  ([, command = '', permissions = '']) => [command.split(' '), permissions.split(' ')] as const,
);

/** Set for every row: a command sees only what its row allows. */
const env = { WGDRIVER_SEED: article.seed, DOCKER_HOST: 'unix:///run/engine.sock' };
const wgnet = {
  Name: 'wgnet',
  Driver: 'wireguard-plugin',
  Options: {
    'io.bestov.wg.peer': 'hub.example.org:51820',
    'io.bestov.wg.peerkey': article.firstPublicKey,
    'io.bestov.wg.seedfile': 'app.seed',
  },
  IPAM: { Config: [{ Subnet: '192.168.5.0/24', Gateway: '192.168.5.1' }] },
};
const folder = await mkdtemp(join(tmpdir(), 'wgdriver-deno-'));
after(() => rm(folder, { recursive: true }));
// As long as a private key.
await writeFile(join(folder, 'hub.key'), article.firstPublicKey);
// Outside of the sandbox there may be one, and this is refused.
await mkdir('/etc/wgdriver');
after(() => rm('/etc/wgdriver', { recursive: true }));
await writeFile('/etc/wgdriver/app.seed', article.seed);
for (const socketPath of ['/var/run/docker.sock', '/run/engine.sock']) {
  const engine = createServer(answers({ '/networks/wgnet': wgnet })).listen(socketPath);
  await once(engine, 'listening');
  after(() => engine.close());
}

test('every command that runs on Deno has a row', () => {
  const commands = rows.map(([[command]]) => command);
  assert.deepEqual([...new Set(commands)], ['serve', 'doctor', 'keys', 'endpoint-config']);
});

// Some wait for seconds, below.
describe('the rows', { concurrency: 2 }, () => {
  for (const [command, permissions] of rows) {
    // Without a permission for the engine's socket Deno's client waits in vain. Drivers share one socket.
    describe(command.join(' '), { concurrency: command[0] === 'serve' ? 1 : 4 }, () => {
      test(`${command.join(' ')} with ${permissions.join(' ')}`, async () => {
        assert.equal(await failure(command, permissions), undefined);
      });

      for (const [missing, fewer] of withOneLess(permissions)) {
        test(`${command.join(' ')} fails without ${missing}`, async () => {
          assert.notEqual(await failure(command, fewer), undefined);
        });
      }
    });
  }
});

function withOneLess(permissions: readonly string[]): (readonly [missing: string, fewer: string[]])[] {
  if (permissions.includes('--allow-all')) {
    return [['import', [...permissions, '--deny-import']]];
  }
  const single = permissions.flatMap((permission) => {
    const [name = '', values] = permission.split('=');
    return values === undefined ? [name] : values.split(',').map((value) => `${name}=${value}`);
  });
  return single.map((missing) => [missing, single.filter((other) => other !== missing)]);
}

/** What a command says that cannot do its work on Deno with these permissions; undefined if it does it. */
async function failure(
  command: readonly string[],
  permissions: readonly string[],
): Promise<string | undefined> {
  const line = [`--chdir=${folder}`, deno, 'run', '--no-config', ...permissions, wgdriver, ...command];
  if (command[0] === 'serve') {
    const daemon = startDaemon('env', line, env);
    // A driver that is missing something says so, and goes on trying.
    await untilReady(daemon, 'it serves', () => / serving | not ready: /.test(daemon.output())).catch(
      () => {},
    );
    await daemon.stop();
    return daemon.output().includes(' serving ') ? undefined : daemon.output();
  }
  const { status, stdout, stderr } = await attempt('env', line, env);
  // The doctor's exit status is about this machine, which has no engine.
  const isDone = command[0] === 'doctor' ? stdout !== '' : status === 0;
  return isDone ? undefined : stderr;
}
