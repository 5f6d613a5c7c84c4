import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
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

/** How long after one look the next one is. */
const pauseMs = { quick: 2, made: 20, else: 500, withoutNews: 5 } as const;
/** The engine makes a file, of which its folder tells, and then mounts the namespace on it, of which nothing does. */
const quickMs = 200;

interface Expected {
  readonly awaited: Awaited;
  readonly deadline: number;
  /** Of all times, on `performance`’s clock. */
  quickUntil: number;
  nextLook: number;
  /** Has its folder told of its file? */
  isMade: boolean;
}

/** Tells of the arrival of network namespaces, each for as long as `timeoutMs`. */
export function createArrivals(timeoutMs: number): Arrivals {
  const expected = new Map<NamespaceFile, Expected>();
  const folders = new Map<string, FSWatcher>();
  let wake = new AbortController();
  let isPolling = false;

  /** Without a folder, or where the kernel cannot watch one more, its files are looked for all the time. */
  function watchFolderOf(key: NamespaceFile): void {
    const folder = dirname(key);
    if (!folders.has(folder)) {
      try {
        const watcher = watch(folder, { persistent: false }, (_, name) => noteNews(folder, name));
        watcher.on('error', () => stopWatching(folder));
        folders.set(folder, watcher);
      } catch {}
    }
  }

  function stopWatching(folder: string): void {
    folders.get(folder)?.close();
    folders.delete(folder);
  }

  /** @param name of the file; null where the runtime does not tell */
  function noteNews(folder: string, name: string | null): void {
    for (const [key, each] of expected) {
      if (dirname(key) === folder && (name === null || basename(key) === name)) {
        each.isMade = true;
        lookQuickly(each);
      }
    }
  }

  function lookQuickly(each: Expected): void {
    each.nextLook = performance.now();
    each.quickUntil = each.nextLook + quickMs;
    wake.abort();
  }

  function pauseOf(key: NamespaceFile, { quickUntil, isMade }: Expected): number {
    if (performance.now() < quickUntil) {
      return pauseMs.quick;
    }
    return isMade ? pauseMs.made : folders.has(dirname(key)) ? pauseMs.else : pauseMs.withoutNews;
  }

  async function look(key: NamespaceFile, each: Expected): Promise<void> {
    if (!each.awaited.isWanted()) {
      expected.delete(key);
    } else if (await isContainerNamespace(key)) {
      expected.delete(key);
      each.awaited.onArrival();
    } else if (performance.now() >= each.deadline) {
      expected.delete(key);
      each.awaited.onTimeout();
    } else {
      each.nextLook = performance.now() + pauseOf(key, each);
    }
  }

  async function poll(): Promise<void> {
    if (isPolling) {
      return;
    }
    isPolling = true;
    while (expected.size > 0) {
      wake = new AbortController();
      for (const [key, each] of expected) {
        if (each.nextLook <= performance.now()) {
          await look(key, each);
        }
      }
      const pauses = [...expected.values()].map(({ nextLook }) => Math.max(0, nextLook - performance.now()));
      // It keeps no process alive that is to end.
      const pause = sleep(Math.min(pauseMs.else, ...pauses), undefined, { ref: false, signal: wake.signal });
      await pause.catch(() => {});
    }
    isPolling = false;
    [...folders.keys()].forEach(stopWatching);
  }

  return {
    expect(awaited) {
      watchFolderOf(awaited.key);
      const now = performance.now();
      const each = { awaited, deadline: now + timeoutMs, quickUntil: 0, nextLook: now, isMade: false };
      expected.set(awaited.key, each);
      // It may have been made just before its folder was watched.
      lookQuickly(each);
      void poll();
    },
    async settled(limitMs) {
      const end = performance.now() + limitMs;
      while (expected.size > 0 && performance.now() < end) {
        await sleep(pauseMs.withoutNews);
      }
    },
  };
}
