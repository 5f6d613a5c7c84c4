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
 * Runs a task for each of what is made as it is asked for, at most so many at once. After a failure none is begun any more.
 * @throws what the first task that failed did, when all that had begun have ended
 */
export async function forEachAtOnce<Item>(
  atOnce: number,
  items: Generator<Item>,
  task: (item: Item) => Promise<void>,
): Promise<void> {
  // A loop that is left by an error ends the generator, and so the others.
  const runners = Array.from({ length: atOnce }, async () => {
    for (const item of items) {
      await task(item);
    }
  });
  const failed = (await Promise.allSettled(runners)).find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') {
    throw failed.reason;
  }
}
