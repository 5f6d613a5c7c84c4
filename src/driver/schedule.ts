import { setTimeout as sleep } from 'node:timers/promises';
import type { WireGuardDriver } from './driver.ts';
import type { Follow } from './hub-following.ts';
import { lookUpEveryMs } from './hub-names.ts';

/** What a driver does by the clock; in milliseconds, each from the end of one to the next unless told otherwise. */
const everyMs = {
  /** The second acts on what the first one saw. */
  reconcile: [10_000, 120_000],
  protectMissed: [5000],
  checkHubLinks: [10_000],
  checkIpv6: [15_000],
  healSharedTunnels: [2000],
} as const;

/** From the start of one to the start of the next: a name that hangs keeps nobody waiting. */
const fillEveryMs = 5000;

/** From the start of a look at all links to the start of the next, if it is quick. */
const watchEveryMs = 15_000;
const longestPauseMs = 45_000;

/**
 * Does all that at its times, until the signal.
 * @param madeUp resolves when what was missed before has been made up for: nothing is reconciled before that
 * @returns when nothing of it is under way any more, but for looks at hubs
 */
export async function runSchedule(
  driver: Pick<WireGuardDriver, keyof typeof everyMs | 'follow' | 'protectAll' | 'reload'>,
  madeUp: Promise<void>,
  isOver: AbortSignal,
): Promise<void> {
  const regularly = (task: keyof typeof everyMs) => repeat(() => driver[task](), isOver, everyMs[task]);
  followHubs(driver.follow, isOver);
  await Promise.all([
    // Whatever protects containers is in place, and is brought up to date while the engine is served.
    driver.protectAll().then(() => Promise.all([driver.reload.resume(), regularly('protectMissed')])),
    madeUp.then(() => regularly('reconcile')),
    regularly('checkHubLinks'),
    regularly('checkIpv6'),
    regularly('healSharedTunnels'),
  ]);
}

/**
 * Does a task until the signal.
 * @param pausesMs from the end of the first to the next, and so on; the last counts for all that follow
 * @returns when it is not under way any more
 */
async function repeat(
  task: () => Promise<void>,
  isOver: AbortSignal,
  pausesMs: readonly number[],
): Promise<void> {
  for (let round = 0; !isOver.aborted; round++) {
    await task();
    const pauseMs = pausesMs[round] ?? pausesMs.at(-1);
    await sleep(pauseMs, undefined, { ref: false, signal: isOver }).catch(() => {});
  }
}

function followHubs(follow: Follow, isOver: AbortSignal): void {
  const timers = [
    setInterval(() => void follow.fill(), fillEveryMs).unref(),
    setInterval(() => void follow.followNames(), lookUpEveryMs).unref(),
  ];
  isOver.addEventListener('abort', () => timers.forEach(clearInterval));
  void follow.followNames();
  void keepWatching(follow, isOver).catch(() => {});
}

async function keepWatching(follow: Follow, signal: AbortSignal): Promise<never> {
  for (;;) {
    const started = performance.now();
    await follow.watch();
    const tookMs = performance.now() - started;
    await sleep(pauseAfter(tookMs), undefined, { ref: false, signal });
  }
}

/**
 * How long links are left alone after a look at them all. Where that takes seconds, as by programs with hundreds of links, it does
 * not take over the host.
 */
export function pauseAfter(tookMs: number): number {
  return Math.max(watchEveryMs - tookMs, Math.min(4 * tookMs, longestPauseMs));
}
