import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../log.ts';
import type { HubConfig } from './config.ts';
import { readHubConfig } from './files.ts';
import type { Hub } from './hub.ts';
import { filesOf } from './sources.ts';

/** From each look at the files to the next. */
const filesMs = 2000;
/** There is no event for a handshake: from each look for one to the next, while a key is being rotated. */
const followMs = 200;
/** From each look at the link to the next, and at most a hundredth of the time for it. */
const lookMs = 60_000;
const mostOfTime = 0.01;

export interface Keeping {
  readonly hub: Hub;
  readonly file: string;
  /** What is loaded already. */
  readonly config: HubConfig;
  readonly log: Log;
  readonly stop: AbortSignal;
  /** Calls back when somebody asks to load the file again. */
  readonly onReload: (reload: () => void) => void;
}

/** Keeps a hub as its file says, until it is told to stop; then it remembers where its peers are. */
export async function keepHub({ hub, file, config, log, stop, onReload }: Keeping): Promise<void> {
  let watched = [file, config.privatekeyfile, ...filesOf(config)];
  let seen = await signatureOf(watched);
  let pending = seen;
  let isAsked = false;
  let wake = new AbortController();
  onReload(() => {
    isAsked = true;
    wake.abort();
  });
  let isRotating = await hub.follow();
  let [nextFiles, nextLook] = [performance.now() + filesMs, performance.now() + lookMs];

  while (!stop.aborted) {
    const next = Math.min(nextFiles, nextLook, isRotating ? performance.now() + followMs : nextFiles);
    wake = new AbortController();
    if (!isAsked) {
      const signal = AbortSignal.any([stop, wake.signal]);
      await sleep(Math.max(0, next - performance.now()), undefined, { signal }).catch(() => {});
    }
    if (stop.aborted) {
      break;
    }
    if (isRotating) {
      isRotating = await hub.follow().catch((error: Error) => {
        log.error('could not follow the rotation', { cause: error.message });
        return true;
      });
    }
    if (isAsked || performance.now() >= nextFiles) {
      nextFiles = performance.now() + filesMs;
      const current = await signatureOf(watched);
      // Whoever is still writing is not read yet.
      const isChanged = current !== seen && current === pending;
      pending = current;
      if (isAsked || isChanged) {
        isAsked = false;
        await reload();
      }
    }
    if (performance.now() >= nextLook) {
      const started = performance.now();
      await hub.look().catch((error: Error) => {
        log.error('the hub is not as it should be', { cause: error.message });
      });
      const took = performance.now() - started;
      nextLook = performance.now() + Math.max(lookMs, took / mostOfTime);
    }
  }
  await hub.look().catch((error: Error) => {
    log.warn('could not remember where the peers are', { cause: error.message });
  });

  async function reload(): Promise<void> {
    try {
      const fresh = await readHubConfig(file);
      watched = [file, fresh.privatekeyfile, ...filesOf(fresh)];
      await hub.load(fresh);
      isRotating = await hub.follow();
    } catch (error) {
      log.error('not loaded: what runs stays as it is', { cause: (error as Error).message });
    }
    seen = await signatureOf(watched);
    pending = seen;
  }
}

/** Changes when one of the files does. */
async function signatureOf(files: readonly string[]): Promise<string> {
  const parts = await Promise.all(
    files.map(async (file) => {
      const found = await stat(file, { bigint: true }).catch(() => undefined);
      return `${file} ${found?.ino} ${found?.mtimeNs} ${found?.size}`;
    }),
  );
  return parts.join('\n');
}
