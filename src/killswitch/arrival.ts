import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isContainerNamespace, type NamespaceFile } from './namespace-file.ts';

/** A namespace that is still to come: on engines up to 27 it is made after the driver's last answer. */
export interface Awaited {
  readonly key: NamespaceFile;
  /** Does anybody wait for it yet? */
  isWanted(): boolean;
  onArrival(): void;
  /** Its container did not start, or takes longer than it is waited for. */
  onTimeout(): void;
}

export interface Arrivals {
  expect(awaited: Awaited): void;
  /** Resolves when none is awaited any more, or when the time is over. */
  settled(timeoutMs: number): Promise<void>;
}

/** The engine makes a file, of which its folder tells, and then mounts the namespace on it, of which nothing does. */
const pollMs = { afterNews: 2, else: 20, withoutNews: 5 } as const;
const newsMs = 200;

/** Tells of the arrival of network namespaces, each for as long as `timeoutMs`. */
export function createArrivals(timeoutMs: number): Arrivals {
  const deadlines = new Map<NamespaceFile, { readonly awaited: Awaited; readonly deadline: number }>();
  const folders = new Map<string, FSWatcher>();
  let wake = new AbortController();
  let lastNews = Number.NEGATIVE_INFINITY;
  let isPolling = false;

  /** Without a folder, or where the kernel cannot watch one more, they are looked for all the time. */
  function watchFolderOf(key: NamespaceFile): void {
    const folder = dirname(key);
    if (!folders.has(folder)) {
      try {
        const watcher = watch(folder, { persistent: false }, () => {
          lastNews = performance.now();
          wake.abort();
        });
        watcher.on('error', () => stopWatching(folder));
        folders.set(folder, watcher);
      } catch {}
    }
  }

  function stopWatching(folder: string): void {
    folders.get(folder)?.close();
    folders.delete(folder);
  }

  function pauseMs(): number {
    const areWatched = [...deadlines.keys()].every((key) => folders.has(dirname(key)));
    if (!areWatched) {
      return pollMs.withoutNews;
    }
    return performance.now() - lastNews < newsMs ? pollMs.afterNews : pollMs.else;
  }

  async function poll(): Promise<void> {
    if (isPolling) {
      return;
    }
    isPolling = true;
    while (deadlines.size > 0) {
      wake = new AbortController();
      for (const [key, { awaited, deadline }] of deadlines) {
        if (!awaited.isWanted()) {
          deadlines.delete(key);
        } else if (await isContainerNamespace(key)) {
          deadlines.delete(key);
          awaited.onArrival();
        } else if (performance.now() >= deadline) {
          deadlines.delete(key);
          awaited.onTimeout();
        }
      }
      // It keeps no process alive that is to end.
      await sleep(pauseMs(), undefined, { ref: false, signal: wake.signal }).catch(() => {});
    }
    isPolling = false;
    [...folders.keys()].forEach(stopWatching);
  }

  return {
    expect(awaited) {
      watchFolderOf(awaited.key);
      deadlines.set(awaited.key, { awaited, deadline: performance.now() + timeoutMs });
      void poll();
    },
    async settled(limitMs) {
      const end = performance.now() + limitMs;
      while (deadlines.size > 0 && performance.now() < end) {
        await sleep(pollMs.withoutNews);
      }
    },
  };
}
