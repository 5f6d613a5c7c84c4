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

const pollMs = 5;

/** Tells of the arrival of network namespaces, each for as long as `timeoutMs`. */
export function createArrivals(timeoutMs: number): Arrivals {
  const deadlines = new Map<NamespaceFile, { readonly awaited: Awaited; readonly deadline: number }>();
  let isPolling = false;

  async function poll(): Promise<void> {
    if (isPolling) {
      return;
    }
    isPolling = true;
    while (deadlines.size > 0) {
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
      await sleep(pollMs, undefined, { ref: false });
    }
    isPolling = false;
  }

  return {
    expect(awaited) {
      deadlines.set(awaited.key, { awaited, deadline: performance.now() + timeoutMs });
      void poll();
    },
    async settled(limitMs) {
      const end = performance.now() + limitMs;
      while (deadlines.size > 0 && performance.now() < end) {
        await sleep(pollMs);
      }
    },
  };
}
