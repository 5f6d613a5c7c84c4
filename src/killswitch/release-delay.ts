import { setTimeout as sleep } from 'node:timers/promises';
import { isContainerNamespace, type NamespaceFile } from './namespace-file.ts';

/**
 * From when an endpoint is released until its protection goes. A container's other networks are taken down after ours, within seconds,
 * and whoever shares its namespace runs on meanwhile.
 */
export const defaultReleaseMs = 10_000;

/** In which a container that was stopped has ended. */
const pollMs = 1000;

/** Waits until a protection may go, or the namespace has gone. @returns whether it is there yet */
export async function outlives(sandbox: NamespaceFile, releaseMs: number): Promise<boolean> {
  const end = performance.now() + releaseMs;
  while (performance.now() < end) {
    if (!(await isContainerNamespace(sandbox))) {
      return false;
    }
    await sleep(Math.max(0, Math.min(pollMs, end - performance.now())), undefined, { ref: false });
  }
  return isContainerNamespace(sandbox);
}
