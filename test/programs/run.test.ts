import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Failure, type RunOptions, run, start } from '../../src/programs/run.ts';

const folder = mkdtempSync(join(tmpdir(), 'wgdriver-run-'));
after(() => rmSync(folder, { recursive: true }));
const key = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';

const sh = (script: string, options?: RunOptions) => run('sh', ['-c', script], options);

async function failureOf(script: string, options?: RunOptions): Promise<Failure> {
  const outcome = await sh(script, options);
  return outcome.ok ? assert.fail(`it succeeded: ${outcome.stdout}`) : outcome;
}

test('a program that succeeds: its stdout, in no language', async () => {
  assert.deepEqual(await sh('cat; echo $LC_ALL $MORE', { stdin: 'in ', env: { MORE: 'more' } }), {
    ok: true,
    stdout: 'in C more\n',
  });
  assert.deepEqual(await sh('printenv HOME || echo none', { env: { HOME: undefined } }), {
    ok: true,
    stdout: 'none\n',
  });
  assert.deepEqual(await sh('true'), { ok: true, stdout: '' });
});

test('a program that fails: command, exit status and stderr on one line', async () => {
  assert.equal(
    (await failureOf('echo one >&2; echo two >&2; exit 3')).cause,
    'one; two (sh -c echo one >&2; echo two >&2; exit 3: exit status 3)',
  );
  assert.equal((await failureOf('exit 3')).cause, 'sh -c exit 3: exit status 3');
  const { stdout, stderr, ending } = await failureOf('echo out; echo err >&2; exit 1');
  assert.deepEqual([stdout, stderr], ['out\n', 'err']);
  assert.equal(ending, 'sh -c echo out; echo err >&2; exit 1: exit status 1');
});

test('a program that dies: the signal', async () => {
  assert.equal((await failureOf('kill -9 $$')).cause, 'sh -c kill -9 $$: SIGKILL');
});

test('a program that is not there, that is none, and arguments that are too long', async () => {
  const missing = await run('wgdriver-none', ['x']);
  assert(!missing.ok);
  assert.equal(missing.cause, 'wgdriver-none x: the program was not found; install it');
  const none = await run(folder, []);
  assert(!none.ok);
  assert.equal(none.cause, `${folder}: could not be started: EACCES`);
  const long = await run('true', ['x'.repeat(200_000)]);
  assert(!long.ok);
  assert.match(long.cause, /^true x{115}…: could not be started: E2BIG$/);
});

test('a program that does not read its input, which is more than a pipe holds', async () => {
  assert.deepEqual(await run('true', [], { stdin: 'x'.repeat(1_000_000) }), { ok: true, stdout: '' });
});

test('a program that hangs is killed in time, with all that it has started', {
  timeout: 20_000,
}, async () => {
  const file = join(folder, 'child');
  const started = performance.now();
  const { cause } = await failureOf(`sleep 100 & echo $! >${file}; echo stuck >&2; wait`, {
    timeoutMs: 1000,
  });
  assert(performance.now() - started < 15_000);
  assert.match(cause, /^stuck \(sh -c sleep 100 & .*: killed after 1 s without an end\)$/);
  const child = readFileSync(file, 'utf8').trim();
  // Its new parent may take a moment to collect it.
  for (let tries = 0; tries < 100 && isAlive(child); tries++) {
    await sleep(10);
  }
  assert(!isAlive(child));
});

test('a program that ends while another holds its pipes counts as hanging', { timeout: 20_000 }, async () => {
  assert.match((await failureOf('sleep 100 & exit 0', { timeoutMs: 1000 })).cause, /: killed after 1 s/);
});

test('what left the group and holds the pipes is not waited for', { timeout: 20_000 }, async () => {
  const file = join(folder, 'daemon');
  const { cause } = await failureOf(`setsid sleep 100 & echo $! >${file}; wait`, { timeoutMs: 1000 });
  assert.match(cause, /: killed after 1 s/);
  process.kill(Number(readFileSync(file, 'utf8')));
});

test('a program that prints too much is killed', { timeout: 20_000 }, async () => {
  for (const target of ['', ' >&2']) {
    const { cause, stdout, stderr } = await failureOf(`yes${target}`, { maxOutputBytes: 100_000 });
    assert.match(cause, /: killed after more than 100000 bytes of output\)?$/);
    assert(stdout.length + stderr.length <= 100_000);
  }
});

test('keys in what a program says are hidden, in base64 and in hexadecimal', async () => {
  const hex = Buffer.from(key, 'base64').toString('hex');
  const { cause, stdout, stderr } = await failureOf('cat >&2; echo $KEY; exit 1', {
    stdin: `a ${key} b ${hex} c`,
    env: { KEY: key },
  });
  assert.equal(stderr, 'a [key] b [key] c');
  assert.equal(stdout, '[key]\n');
  assert.match(cause, /^a \[key\] b \[key\] c \(/);
});

test('a program that goes on: what it prints, until it is stopped', { timeout: 20_000 }, async () => {
  const file = join(folder, 'stopped');
  let onFirst = () => {};
  const first = new Promise<void>((resolve) => {
    onFirst = resolve;
  });
  const program = start(
    'sh',
    ['-c', `trap "touch ${file}; exit" TERM; echo event; while :; do sleep 0.05; done`],
    {
      onOutput: onFirst,
      onEnd: (cause) => assert.fail(cause),
    },
  );
  await first;
  program.stop();
  for (let tries = 0; tries < 200 && !existsSync(file); tries++) {
    await sleep(20);
  }
  assert(existsSync(file));
});

test('a program that should go on and ends: why, once', { timeout: 20_000 }, async () => {
  const endOf = (file: string, ...args: string[]) =>
    new Promise((resolve) => {
      start(file, args, { onOutput() {}, onEnd: resolve });
    });
  assert.equal(
    await endOf('sh', '-c', 'echo lost >&2; exit 2'),
    'lost (sh -c echo lost >&2; exit 2: exit status 2)',
  );
  assert.match(String(await endOf('wgdriver-none')), /^wgdriver-none: .*ENOENT/);
});

function isAlive(pid: string): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}
