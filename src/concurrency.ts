import { setImmediate } from 'node:timers/promises';

/** Runs a task as soon as fewer than a number of them are under way, in the order they were given. */
export type Limit = <Result>(task: () => Promise<Result>) => Promise<Result>;

export function createLimit(atOnce: number): Limit {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (task) => {
    if (running === atOnce) {
      // Whoever ends hands its place over.
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else {
      running++;
    }
    try {
      return await task();
    } finally {
      const next = waiting.shift();
      if (next === undefined) {
        running--;
      } else {
        next();
      }
    }
  };
}

/**
 * Makes a function that does things of one kind together, which is cheaper than one by one: those that are asked for in one
 * turn of the event loop, and then those that are asked for while they are being done.
 * @param doAll resolves with their results, in their order
 */
export function createBatches<Item, Result>(
  most: number,
  doAll: (items: readonly Item[]) => Promise<readonly Result[]>,
): (item: Item) => Promise<Result> {
  interface Waiting {
    readonly item: Item;
    readonly resolve: (result: Result) => void;
    readonly reject: (error: unknown) => void;
  }
  const waiting: Waiting[] = [];
  let isBusy = false;

  async function work(): Promise<void> {
    isBusy = true;
    while (waiting.length > 0) {
      // Whoever had an answer of the last batch may ask for the next thing.
      await setImmediate();
      const batch = waiting.splice(0, most);
      try {
        const results = await doAll(batch.map(({ item }) => item));
        for (const [index, { resolve }] of batch.entries()) {
          resolve(results[index] as Result);
        }
      } catch (error) {
        for (const { reject } of batch) {
          reject(error);
        }
      }
    }
    isBusy = false;
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (!isBusy) {
        void work();
      }
    });
}
