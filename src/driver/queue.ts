/** Runs a task behind the others of the same key, and beside those of other keys. */
export type Queue = <Result>(key: string, task: () => Promise<Result>) => Promise<Result>;

export function createQueue(): Queue {
  const tails = new Map<string, Promise<unknown>>();
  return (key, task) => {
    const result = (tails.get(key) ?? Promise.resolve()).then(task);
    // The next in line does not care how this one ended.
    const tail = result.then(ignore, ignore).then(() => {
      if (tails.get(key) === tail) {
        tails.delete(key);
      }
    });
    tails.set(key, tail);
    return result;
  };
}

function ignore(): void {}
