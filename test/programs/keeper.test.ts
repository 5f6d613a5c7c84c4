import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { until } from '../../build/host/commands.ts';
import { beginKeeper, endKeeper, isKept } from '../../src/programs/keeper.ts';

const folder = mkdtempSync(join(tmpdir(), 'wgdriver-keeper-'));
const path = process.env.PATH;
after(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  process.env.PATH = path;
});

/** An `unshare` of the test's own, found before the system's. */
function putUnshare(script: string): void {
  const file = join(folder, 'unshare');
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  process.env.PATH = `${folder}:${path}`;
}

/** With the namespace left out, which takes rights. */
const withoutNamespace = 'shift; exec "$@"';

test('a keeper that was told to stay lasts until it is ended', { timeout: 60_000 }, async () => {
  putUnshare(withoutNamespace);
  const { keeper, stay } = await beginKeeper('test');
  assert(await isKept(keeper));
  stay();
  assert(await isKept(keeper));
  assert(!(await isKept({ ...keeper, startTime: `${Number(keeper.startTime) + 1}` })));
  await endKeeper(keeper);
  await until('the keeper has ended', async () => !(await isKept(keeper)));
});

test('an `unshare` that hangs is killed in time, and the error names the command', {
  timeout: 60_000,
}, async () => {
  const file = join(folder, 'pid');
  putUnshare(`echo $$ >${file}; echo stuck >&2; sleep 1000`);
  await assert.rejects(beginKeeper('test', { timeoutMs: 3000 }), {
    message:
      /^make a network namespace: .*\(?setsid unshare --net sh -c .*: killed after 3 s without a word\)?$/,
  });
  // On a machine that is very busy it has not come so far.
  if (existsSync(file)) {
    const pid = readFileSync(file, 'utf8').trim();
    await until('the hanging program has ended', async () => !isAlive(pid));
  }
});

test('an `unshare` that fails: its words, the command and the exit status', { timeout: 60_000 }, async () => {
  putUnshare('echo unshare failed: Operation not permitted >&2; exit 7');
  await assert.rejects(beginKeeper('test'), {
    message:
      /^make a network namespace: unshare failed: Operation not permitted \(setsid unshare --net .*: exit status 7\)$/,
  });
});

test('without the programs: what to do', async () => {
  process.env.PATH = join(folder, 'nothing');
  await assert.rejects(beginKeeper('test'), {
    message: /^make a network namespace: setsid unshare .*: the program was not found; install it$/,
  });
});

function isAlive(pid: string): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}
