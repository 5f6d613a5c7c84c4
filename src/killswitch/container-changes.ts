import { setTimeout as sleep } from 'node:timers/promises';
import { createLimit } from '../concurrency.ts';
import type { NamespaceFile } from './namespace-file.ts';
import type { Changed } from './namespaces.ts';
import type { News } from './rules.ts';

/** A namespace whose changes are followed. */
export interface Followed {
  readonly key: NamespaceFile;
  /** A namespace keeps its number. It gets one with its first link, of which the watch tells. */
  nsid?: number | undefined;
}

export interface FollowingOptions<Sandbox> {
  readonly sandboxes: () => Iterable<Sandbox>;
  readonly nsidOf: (key: NamespaceFile) => Promise<number | undefined>;
  /**
   * Brings a sandbox's protection up to date with the news, or with whatever is there. Never rejects.
   * @returns whether there was something to change
   */
  readonly update: (sandbox: Sandbox, news: readonly News[] | undefined) => Promise<boolean>;
}

/** More of them than this in one namespace are just a change. */
const mostNews = 1000;

/**
 * Makes the function to call with each change: it updates what has changed, again if that changes meanwhile. The root of a
 * container can change its links all the time and make them slow to read, which holds up no other container.
 */
export function createFollowing<Sandbox extends Followed>({
  sandboxes,
  nsidOf,
  update,
}: FollowingOptions<Sandbox>): (where: Changed) => Promise<void> {
  const changed = new Map<Sandbox, readonly News[] | undefined>();
  const updating = new Set<Sandbox>();
  const oneByOne = createLimit(1);

  async function learnNsid(sandbox: Sandbox): Promise<number | undefined> {
    try {
      sandbox.nsid ??= await nsidOf(sandbox.key);
    } catch {
      // It is not there yet, or not any more.
    }
    return sandbox.nsid;
  }

  async function updateAndRest(sandbox: Sandbox): Promise<void> {
    const news = changed.get(sandbox);
    changed.delete(sandbox);
    const started = performance.now();
    if (!(await update(sandbox, news))) {
      // Most of this process's time is for others.
      await sleep(2 * (performance.now() - started));
    }
  }

  async function updateChanged(sandbox: Sandbox): Promise<void> {
    if (updating.has(sandbox)) {
      return;
    }
    updating.add(sandbox);
    while (changed.has(sandbox)) {
      // Where namespaces have no numbers, all are read for a change in any.
      await (sandbox.nsid === undefined ? oneByOne(() => updateAndRest(sandbox)) : updateAndRest(sandbox));
    }
    updating.delete(sandbox);
  }

  return async (where) => {
    for (const sandbox of sandboxes()) {
      const news = where === 'anywhere' ? undefined : where.get((await learnNsid(sandbox)) ?? Number.NaN);
      if (where === 'anywhere' || news !== undefined) {
        const before = changed.has(sandbox) ? changed.get(sandbox) : [];
        changed.set(sandbox, news && before && before.length < mostNews ? [...before, ...news] : undefined);
        void updateChanged(sandbox);
      }
    }
  };
}
