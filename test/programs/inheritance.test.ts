// Programs that outlive the driver must not answer for it: on each runtime they inherit none of its sockets.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { build } from 'esbuild';

const runtimes = resolve('test/runtimes/node_modules');
const folder = await mkdtemp(join(tmpdir(), 'wgdriver-inheritance-'));
after(() => rm(folder, { recursive: true }));
const program = join(folder, 'program.mjs');
await build({
  stdin: {
    contents: `import { createServer } from 'node:net';
      import { begin, run, start } from './src/programs/run.ts';
      const servers = ['${folder}/' + process.pid, '\\0${folder}'].map((path) => createServer().listen(path));
      await Promise.all(servers.map((server) => new Promise((resolve) => server.once('listening', resolve))));
      const list = ['-c', 'ls -l /proc/$$/fd | grep -vE " [012] ->" | grep -c socket: | tee $0'];
      await run('sh', [...list, '${folder}/run']);
      await begin('sh', [...list, '${folder}/begin'], { env: process.env });
      await new Promise((onEnd) => start('sh', [...list, '${folder}/start'], { onOutput() {}, onEnd }));
      process.exit();`,
    resolveDir: resolve('.'),
  },
  outfile: program,
  bundle: true,
  platform: 'node',
  format: 'esm',
});

for (const [name, runtime, ...args] of [
  ['this runtime', process.execPath],
  ['Deno', `${runtimes}/deno/deno`, 'run', '--quiet', '--no-config', '--allow-all'],
] as const) {
  const skip = !existsSync(runtime) && process.env.CI !== 'true' && `${runtime} is not installed`;
  test(`programs inherit no socket that ${name} listens on`, { skip }, () => {
    execFileSync(runtime, [...args, program]);
    const inherited = execFileSync('cat', ['run', 'begin', 'start'], { cwd: folder, encoding: 'utf8' });
    assert.equal(inherited, '0\n0\n0\n');
  });
}
