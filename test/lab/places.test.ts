import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { attempt, until } from '../../build/host/commands.ts';
import { PLACES, takePlaces } from '../../build/lab/places.ts';

test('whoever takes long is let in before those that do not, but for the one at the head of the queue', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-places-'));
  const before = process.env.WGDRIVER_LAB_CACHE;
  process.env.WGDRIVER_LAB_CACHE = folder;
  t.after(async () => {
    if (before === undefined) delete process.env.WGDRIVER_LAB_CACHE;
    else process.env.WGDRIVER_LAB_CACHE = before;
    await rm(folder, { recursive: true });
  });
  const isFree = async (lock: string) =>
    (await attempt('flock', ['--nonblock', join(folder, 'places', lock), 'true'])).status === 0;
  const { release, numbers } = await takePlaces(PLACES);
  assert.deepEqual([...numbers].sort(), [...Array(PLACES).keys()]);
  assert(await isFree('queue'));
  const order: string[] = [];
  const come = async (name: string, isLong?: boolean) => {
    // All of them, so that the next waits until they are given back.
    const { release } = await takePlaces(PLACES, isLong);
    order.push(name);
    await release();
  };
  const all = [come('first')];
  await until('it is at the head', async () => !(await isFree('queue')));
  all.push(come('second'));
  await sleep(500);
  all.push(come('long', true));
  // The second one looks at that lock, too, for a moment each second.
  await until('one that takes long waits', async () => {
    for (let looks = 0; looks < 10; looks++) {
      if (await isFree('long')) return false;
    }
    return true;
  });
  await release();
  await Promise.all(all);
  assert.deepEqual(order, ['first', 'long', 'second']);
});
