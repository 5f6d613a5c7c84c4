import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createQueue } from '../../src/driver/queue.ts';

test('tasks of one key run one after the other, in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 12 }),
      async (s, keys) => {
        const inOrder = createQueue();
        const running = new Set<string>();
        const ended: [key: string, index: number][] = [];
        const tasks = keys.map((key, index) =>
          inOrder(key, async () => {
            assert(!running.has(key), `two of ${key} at once`);
            running.add(key);
            await s.schedule(Promise.resolve());
            running.delete(key);
            ended.push([key, index]);
            return index;
          }),
        );
        await s.waitFor(Promise.all(tasks));
        for (const key of ['a', 'b', 'c']) {
          const order = ended.filter(([of]) => of === key).map(([, index]) => index);
          assert.deepEqual(
            order,
            order.toSorted((x, y) => x - y),
          );
        }
        assert.deepEqual(await Promise.all(tasks), [...keys.keys()]);
      },
    ),
  );
});

test('tasks of different keys run beside one another', async () => {
  const inOrder = createQueue();
  const order: string[] = [];
  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const first = inOrder('a', async () => {
    await gate;
    order.push('a');
  });
  await inOrder('b', async () => {
    order.push('b');
  });
  open();
  await first;
  assert.deepEqual(order, ['b', 'a']);
});

test('a task that fails does so for its caller alone', async () => {
  const inOrder = createQueue();
  const failed = inOrder('a', async () => {
    throw new Error('mine');
  });
  const next = inOrder('a', async () => 'next');
  await assert.rejects(failed, /mine/);
  assert.equal(await next, 'next');
});
