import { setTimeout as sleep } from 'node:timers/promises';
import type { NamespaceFile } from './namespace-file.ts';
import type { Changed } from './namespaces.ts';

/** A namespace whose changes are followed. */
export interface Followed {
  readonly key: NamespaceFile;
  /** A namespace keeps its number. It gets one with its first link, of which the watch tells. */
  nsid?: number | undefined;
}

export interface FollowingOptions<Sandbox> {
  readonly sandboxes: () => Iterable<Sandbox>;
  readonly nsidOf: (key: NamespaceFile) => Promise<number | undefined>;
  /** Brings a sandbox's protection up to date. Never rejects. */
  readonly update: (sandbox: Sandbox) => Promise<void>;
}

/** Makes the function to call with each change: it updates what has changed, again if that changes meanwhile. */
export function createFollowing<Sandbox extends Followed>({
  sandboxes,
  nsidOf,
  update,
}: FollowingOptions<Sandbox>): (where: Changed) => Promise<void> {
  const changed = new Set<Sandbox>();
  let isUpdating = false;

  async function learnNsid(sandbox: Sandbox): Promise<number | undefined> {
    try {
      sandbox.nsid ??= await nsidOf(sandbox.key);
    } catch {
      // It is not there yet, or not any more.
    }
    return sandbox.nsid;
  }

  async function updateChanged(): Promise<void> {
    if (isUpdating) {
      return;
    }
    isUpdating = true;
    for (const sandbox of changed) {
      changed.delete(sandbox);
      const started = performance.now();
      await update(sandbox);
      if (sandbox.nsid === undefined) {
        // Any change may be its, so all are read for each: most of this process's time is for others.
        await sleep(2 * (performance.now() - started));
      }
    }
    isUpdating = false;
  }

  return async (where) => {
    for (const sandbox of sandboxes()) {
      if (where === 'anywhere' || where.has((await learnNsid(sandbox)) ?? Number.NaN)) {
        changed.add(sandbox);
      }
    }
    await updateChanged();
  };
}
