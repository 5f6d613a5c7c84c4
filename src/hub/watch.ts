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
const rotationMs = 200;
/** The same while addresses move, one after the other: what a host sends from its handshake until then is lost. */
const movingMs = 20;
/**
 * But at least so many times the processor time of a look: more of them would make it longer where the processor is busy with
 * the rotation itself. Not the time that passes, most of which a look there waits.
 */
const pausePerProcessorTime = 3;
/** How long after one has moved others may be expected to. */
const movingForMs = 2000;
/** The same after one that failed, as all do that come soon after. */
const rotationAgainMs = 5000;
/** From each look at the link's peers to the next, as there is no event for one that goes. */
const peersMs = 5000;
/** From each look at everything to the next: some of it takes programs. */
const repairMs = 60_000;
/** Looks take no more of the time, however many peers there are. */
const mostOfTime = 0.01;

export interface Watching {
  readonly hub: Pick<Hub, 'load' | 'repair' | 'advanceRotation'>;
  readonly file: string;
  readonly log: Log;
  readonly stop: AbortSignal;
  /** Called once, when the file is loaded for the first time. */
  readonly onLoaded: () => Promise<void>;
  /** Calls back when somebody asks to load the file again. */
  readonly onReload: (reload: () => void) => void;
}

/**
 * Keeps a hub as its file says, until it is told to stop; then it remembers where its peers are.
 * @throws Error if the file cannot be loaded at the start
 */
export async function watchHub({ hub, file, log, stop, onLoaded, onReload }: Watching): Promise<void> {
  let isAsked = false;
  let wake = () => {};
  onReload(() => {
    isAsked = true;
    wake();
  });
  stop.addEventListener('abort', () => wake());

  let watched: readonly string[] = [];
  let seen = '';
  await load();
  let pending = seen;
  let isRotating = (await hub.advanceRotation()).left > 0;
  let lastMove = Number.NEGATIVE_INFINITY;
  let [rotationCause, repairCause]: (string | undefined)[] = [];
  await onLoaded();
  const loaded = performance.now();
  let [nextFiles, nextRotation] = [loaded + filesMs, loaded + rotationMs];
  let [nextPeers, nextRepair] = [loaded + peersMs, loaded + repairMs];

  while (!stop.aborted) {
    if (!isAsked) {
      await wait(Math.min(nextFiles, nextPeers, isRotating ? nextRotation : nextFiles));
    }
    if (stop.aborted) {
      break;
    }
    if (isRotating && performance.now() >= nextRotation) {
      await advance();
    }
    if (isAsked || performance.now() >= nextFiles) {
      nextFiles = performance.now() + filesMs;
      const current = [await signatureOf([file]), await signatureOf(watched)].join('\n');
      // Whoever is still writing is not read yet.
      const isChanged = current !== seen && current === pending;
      pending = current;
      if (isAsked || isChanged) {
        isAsked = false;
        await load().catch((error: Error) => {
          log.error('the file was not loaded, and the hub goes on as it was', { cause: error.message });
        });
        await advance();
        pending = seen;
      }
    }
    if (performance.now() >= nextPeers) {
      const started = performance.now();
      const isWhole = started >= nextRepair;
      await repair(isWhole ? 'everything' : 'peers');
      const ended = performance.now();
      nextPeers = ended + Math.max(peersMs, (ended - started) / mostOfTime);
      nextRepair = isWhole ? ended + repairMs : nextRepair;
    }
  }
  await hub.repair('everything').catch((error: Error) => {
    log.warn('the peers’ endpoints could not be saved', { cause: error.message });
  });

  /** Looks at each file before it is read: what is saved meanwhile is seen as a change the next time. */
  async function load(): Promise<void> {
    const ofFile = await signatureOf([file]);
    let config: HubConfig;
    try {
      config = await readHubConfig(file);
      watched = [config.privatekeyfile, ...filesOf(config)];
    } finally {
      seen = [ofFile, await signatureOf(watched)].join('\n');
    }
    await hub.load(config);
  }

  async function advance(): Promise<void> {
    try {
      const before = process.cpuUsage();
      const { moved, left } = await hub.advanceRotation();
      const { user, system } = process.cpuUsage(before);
      const ended = performance.now();
      isRotating = left > 0;
      rotationCause = undefined;
      lastMove = moved > 0 ? ended : lastMove;
      const isMoving = ended - lastMove < movingForMs;
      const pause = Math.max(movingMs, (pausePerProcessorTime * (user + system)) / 1000);
      nextRotation = ended + (isMoving ? Math.min(rotationMs, pause) : rotationMs);
    } catch (error) {
      const { message: cause } = error as Error;
      if (cause !== rotationCause) {
        rotationCause = cause;
        log.error('the key rotation could not be followed; trying again', { cause });
      }
      isRotating = true;
      nextRotation = performance.now() + rotationAgainMs;
    }
  }

  async function repair(what: 'peers' | 'everything'): Promise<void> {
    try {
      await hub.repair(what);
      repairCause = undefined;
    } catch (error) {
      const { message: cause } = error as Error;
      if (cause !== repairCause) {
        repairCause = cause;
        log.error('the hub’s link or rules could not be restored; trying again', { cause });
      }
    }
  }

  async function wait(until: number): Promise<void> {
    const waking = new AbortController();
    wake = () => waking.abort();
    await sleep(Math.max(0, until - performance.now()), undefined, { signal: waking.signal }).catch(() => {});
    wake = () => {};
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
