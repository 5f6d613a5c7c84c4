import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { createLimit, forEachAtOnce } from '../src/concurrency.ts';

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

test('so many of what is made as it is asked for, and nothing more after a failure', async () => {
  const made: number[] = [];
  function* numbers() {
    for (let n = 0; n < 20; n += 1) {
      made.push(n);
      yield n;
    }
  }
  let [running, most] = [0, 0];
  const task = (bad: number) => async (n: number) => {
    most = Math.max(most, ++running);
    await setImmediate();
    running--;
    if (n === bad) {
      throw new Error(String(n));
    }
  };
  await forEachAtOnce(2, numbers(), task(-1));
  assert.equal(most, 2);
  assert.equal(made.length, 20);

  made.length = 0;
  await assert.rejects(forEachAtOnce(2, numbers(), task(6)), { message: '6' });
  assert.equal(running, 0, 'one was still under way');
  assert.ok(made.length <= 9, `${made.length} were made, of which the seventh failed`);
});
