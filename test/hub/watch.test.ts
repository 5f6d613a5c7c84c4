import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HubConfig } from '../../src/hub/config.ts';
import { watchHub } from '../../src/hub/watch.ts';
import { recordedLog } from '../support/recorded-log.ts';

const folder = mkdtempSync(join(tmpdir(), 'wgdriver-watch-'));
const file = join(folder, 'hub.yaml');
after(() => rmSync(folder, { recursive: true }));

interface Kept {
  readonly ports: readonly number[];
  readonly follows: readonly number[];
  readonly repairs: readonly string[];
  readonly log: ReturnType<typeof recordedLog>;
  readonly reload: () => void;
  stop(): Promise<void>;
}

/** A hub that only notes what it is told. */
async function keep(
  onLoad: (config: HubConfig, count: number) => void = () => {},
  onFollow: (count: number) => { moved: number; left: number } = () => ({ moved: 0, left: 0 }),
): Promise<Kept> {
  const ports: number[] = [];
  const follows: number[] = [];
  const repairs: string[] = [];
  const log = recordedLog();
  const stop = new AbortController();
  let reload = () => {};
  let kept: Promise<void> | undefined;
  await new Promise<void>((resolve, reject) => {
    kept = watchHub({
      hub: {
        load: async (config) => {
          ports.push(config.port);
          onLoad(config, ports.length);
        },
        repair: async (what) => {
          repairs.push(what);
        },
        advanceRotation: async () => {
          follows.push(performance.now());
          return onFollow(follows.length);
        },
      },
      file,
      log,
      stop: stop.signal,
      onLoaded: async () => resolve(),
      onReload: (callback) => {
        reload = callback;
      },
    });
    kept.catch(reject);
  });
  return {
    ports,
    follows,
    repairs,
    log,
    reload: () => reload(),
    async stop() {
      stop.abort();
      await kept;
    },
  };
}

async function until(isSo: () => boolean): Promise<void> {
  for (const started = performance.now(); !isSo(); await sleep(50)) {
    assert(performance.now() - started < 15_000, 'waited in vain');
  }
}

test('what is saved while the file is being loaded is loaded as well', async () => {
  writeFileSync(file, 'port: 1\n');
  const { ports, stop } = await keep((_, count) => {
    if (count === 1) {
      writeFileSync(file, 'port: 2\n');
    }
  });
  await until(() => ports.length > 1);
  await stop();
  assert.deepEqual(ports, [1, 2]);
});

test('a file that is wrong is told of once, and loaded when it is right', async () => {
  writeFileSync(file, 'port: 1\n');
  const { ports, repairs, log, reload, stop } = await keep();
  writeFileSync(file, 'prot: 2\n');
  reload();
  await until(() => log.lines.length > 0);
  await sleep(5000);
  assert.deepEqual(
    log.lines.map(({ message }) => message),
    ['the file was not loaded, and the hub goes on as it was'],
  );
  writeFileSync(file, 'port: 3\n');
  await until(() => ports.length > 1);
  await stop();
  assert.deepEqual(ports, [1, 3]);
  // There was time for a look at the peers, and at its end it looks at everything.
  assert.deepEqual([repairs[0], repairs.at(-1)], ['peers', 'everything']);
});

test('a rotation that cannot be followed is told of once, and not tried five times a second', async () => {
  writeFileSync(file, 'port: 1\n');
  let isBroken = false;
  const { follows, log, stop } = await keep(undefined, () => {
    if (isBroken) {
      throw new Error('link wg0 is gone');
    }
    return { moved: 0, left: 1 };
  });
  await until(() => follows.length > 3);
  isBroken = true;
  await until(() => log.lines.length > 0);
  const { length } = follows;
  await sleep(3000);
  await stop();
  assert(follows.length - length <= 1, `${follows.length - length} times`);
  assert.equal(log.lines.length, 1);
});

test('where an address has moved, others are looked for at shorter intervals, and not for ever', async () => {
  writeFileSync(file, 'port: 1\n');
  const { follows, stop } = await keep(undefined, (count) => ({ moved: count === 5 ? 1 : 0, left: 1 }));
  await until(() => follows.length > 5 && performance.now() - (follows[4] ?? 0) > 4500);
  await stop();
  const intervals = follows.slice(1).map((time, index) => time - (follows[index] ?? 0));
  const fast = intervals.filter((ms) => ms < 150);
  assert(
    intervals.slice(0, 4).every((ms) => ms >= 150),
    `before: ${intervals.slice(0, 4)}`,
  );
  assert(fast.length > 10, `${fast.length} short ones`);
  assert(
    intervals.slice(-3).every((ms) => ms >= 150),
    `at the end: ${intervals.slice(-3)}`,
  );
});

test('a file that cannot be loaded at the start is an error', async () => {
  writeFileSync(file, 'prot: 1\n');
  await assert.rejects(keep(), /hub\.yaml:1: prot: unknown setting/);
});
