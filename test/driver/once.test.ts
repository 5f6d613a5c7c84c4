import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { keptFor } from '../../src/driver/once.ts';

test('a result serves who asks while it is made, and for a while after that; a failure nobody after', async () => {
  let [clock, made] = [0, 0];
  let end = (_error?: Error) => {};
  const kept = keptFor(
    1000,
    () => {
      made += 1;
      return new Promise<number>((resolve, reject) => {
        const number = made;
        end = (error) => (error === undefined ? resolve(number) : reject(error));
      });
    },
    () => clock,
  );
  const first = kept();
  clock = 5000;
  const second = kept();
  end();
  assert.deepEqual(await Promise.all([first, second]), [1, 1]);
  clock = 5999;
  assert.equal(await kept(), 1);
  clock = 6000;
  const failed = kept();
  end(new Error('no'));
  await assert.rejects(failed, /no/);
  await setImmediate();
  const third = kept();
  end();
  assert.equal(await third, 3);
});
