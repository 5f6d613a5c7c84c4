import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { keptNames } from '../../src/engine/names.ts';

const idle = { networks: async () => [], containers: async () => [] };

/** An engine that calls the network n1 by how often it was asked; its answers are held, or fail. */
function countingEngine() {
  let failure: Error | undefined;
  let release = () => {};
  const asked = { count: 0 };
  const engine = {
    ...idle,
    async networks() {
      asked.count += 1;
      const name = `net${asked.count}`;
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      if (failure !== undefined) {
        throw failure;
      }
      return [{ id: 'n1', name, driver: 'wireguard-plugin', optionNames: [], subnets: [] }];
    },
  };
  return {
    engine: engine as unknown as typeof idle,
    asked,
    async answer(error?: Error) {
      failure = error;
      release();
      await setImmediate();
    },
  };
}

test('whoever asks has the names that are known at once, and the engine is asked beside it, twice a minute at most', async () => {
  let clockMs = 0;
  const { engine, asked, answer } = countingEngine();
  const names = keptNames(engine, () => clockMs);
  assert.equal(asked.count, 0);
  for (let count = 0; count < 3; count++) {
    assert.equal(names().network('n1'), undefined);
  }
  assert.equal(asked.count, 1);
  await answer();
  assert.equal(names().network('n1'), 'net1');
  clockMs = 29_999;
  names();
  assert.equal(asked.count, 1);
  clockMs = 30_000;
  // While it does not answer, the old ones are as good as any.
  assert.equal(names().network('n1'), 'net1');
  clockMs = 90_000;
  assert.equal(names().network('n1'), 'net1');
  assert.equal(asked.count, 2);
  await answer();
  assert.equal(names().network('n1'), 'net2');
});

test('an engine that is away leaves ids, and is asked again after five seconds', async () => {
  let clockMs = 0;
  const { engine, asked, answer } = countingEngine();
  const names = keptNames(engine, () => clockMs);
  names();
  await answer(new Error('ECONNREFUSED'));
  assert.equal(names().network('n1'), undefined);
  clockMs = 4999;
  names();
  assert.equal(asked.count, 1);
  clockMs = 5000;
  names();
  await answer();
  assert.equal(names().network('n1'), 'net2');
});
