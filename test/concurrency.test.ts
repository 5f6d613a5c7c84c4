import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { createBatches, createLimit } from '../src/concurrency.ts';

test('no more at once than allowed, in order, and failures make room', async () => {
  const limited = createLimit(3);
  let running = 0;
  let most = 0;
  const begun: number[] = [];
  const outcomes = await Promise.allSettled(
    Array.from({ length: 20 }, (_, n) =>
      limited(async () => {
        begun.push(n);
        most = Math.max(most, ++running);
        await setImmediate();
        running--;
        if (n % 4 === 0) {
          throw new Error(String(n));
        }
        return n;
      }),
    ),
  );
  assert.equal(most, 3);
  assert.deepEqual(
    begun,
    Array.from({ length: 20 }, (_, n) => n),
  );
  outcomes.forEach((outcome, n) => {
    assert.equal(outcome.status === 'fulfilled' ? outcome.value : Number(outcome.reason.message), n);
  });
});

test('who comes when a place has just been handed over still waits', async () => {
  const limited = createLimit(1);
  let running = 0;
  const task = async () => {
    assert.equal(++running, 1);
    await setImmediate();
    running--;
  };
  const first = limited(task);
  const second = limited(task);
  await first;
  await Promise.all([second, limited(task), limited(task)]);
});

test('what is asked for in one turn is done together, and what comes meanwhile is the next batch', async () => {
  const batches: number[][] = [];
  const doubled = createBatches(3, async (items: readonly number[]) => {
    batches.push([...items]);
    await setImmediate();
    return items.map((item) => 2 * item);
  });
  // Whoever has an answer asks for the next thing.
  const both = async (item: number) => [await doubled(item), await doubled(item + 10)];
  assert.deepEqual(await Promise.all([1, 2, 3, 4].map(both)), [
    [2, 22],
    [4, 24],
    [6, 26],
    [8, 28],
  ]);
  assert.deepEqual(batches, [
    [1, 2, 3],
    [4, 11, 12],
    [13, 14],
  ]);
  assert.equal(await doubled(5), 10);
});

test('a batch that fails, fails for all in it and nobody else', async () => {
  const refusing = createBatches(2, async (items: readonly number[]) => {
    if (items.includes(2)) {
      throw new Error('no');
    }
    return items;
  });
  const outcomes = await Promise.allSettled([1, 2, 3, 4].map(refusing));
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['rejected', 'rejected', 'fulfilled', 'fulfilled'],
  );
});
