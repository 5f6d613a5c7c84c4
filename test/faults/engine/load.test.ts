import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { run } from '../../../build/host/commands.ts';
import { testImage } from '../../../build/host/engine.ts';
import { hostForTests } from '../../../build/host/host.ts';
import { allowInotify } from '../../../build/host/inotify.ts';
import { expectNoTraceSince, takeTraces } from '../../../build/host/traces.ts';

const host = await hostForTests();

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
const containers = Number(process.env.WGDRIVER_TEST_CONTAINERS ?? (isFull ? 200 : 24));
const atOnce = 16;

/** Runs a task for each number from 1 to `containers`, so many at once. */
async function forEach(task: (number: number) => Promise<unknown>): Promise<void> {
  let begun = 0;
  const work = async () => {
    while (begun < containers) {
      begun += 1;
      await task(begun);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

const openFiles = async () => (await readdir(`/proc/${host.driver.pid}/fd`)).length;
const residentMegabytes = async () =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${host.driver.pid}/status`, 'utf8'))?.[1]) / 1024;

test(`${containers} containers started and stopped, ${atOnce} at once: all run, and nothing is left`, async (t) => {
  if (isFull) {
    t.after(await allowInotify(containers + 200));
  }
  await host.createNetwork('wgnet');
  await host.startContainer('first', '--network=wgnet');
  await host.ping('first', host.hub.address);
  const [files, memory, traces] = [await openFiles(), await residentMegabytes(), await takeTraces()];

  const started = performance.now();
  await forEach((number) =>
    host.engine.docker('run', '-d', `--name=c${number}`, '--network=wgnet', testImage, 'sleep', '100000'),
  );
  const seconds = (performance.now() - started) / 1000;
  const running = (await host.engine.docker('ps', '-q')).split('\n');
  assert.equal(running.length, containers + 1);
  assert.doesNotMatch(await run('ip', ['-brief', 'link', 'show']), /^wgd/m);
  await host.ping('c7', host.hub.address);
  await forEach((number) => host.engine.docker('rm', '-f', `c${number}`));
  const secondsInAll = (performance.now() - started) / 1000;

  await expectNoTraceSince(traces);
  await host.ping('first', host.hub.address);
  // The engine keeps up to two connections for later.
  assert((await openFiles()) <= files + 2);
  t.diagnostic(
    `started in ${seconds.toFixed(1)} s, removed in ${(secondsInAll - seconds).toFixed(1)} s; resident memory ` +
      `${memory.toFixed(0)} MB before and ${(await residentMegabytes()).toFixed(0)} MB after`,
  );
});
