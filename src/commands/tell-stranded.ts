import { setTimeout as setTimeoutAsync } from 'node:timers/promises';
import { findStranded } from '../doctor/engine-survey.ts';
import { startOf } from '../doctor/stranded.ts';
import type { Engine } from '../engine/client.ts';
import type { Log } from '../log.ts';

/** An engine that is starting containers meanwhile is done with most. */
const defaultDelayMs = 30_000;

/**
 * Says which containers the engine could not start, perhaps because this driver was away, and what to run: the engine does
 * not try again. Where it cannot be asked, as from a managed plugin, nothing is said. Does not reject.
 */
export async function tellStranded({
  engine,
  driver,
  isOver,
  log,
  delayMs = defaultDelayMs,
}: {
  readonly engine: Engine;
  /** Its name. */
  readonly driver: string;
  readonly isOver: AbortSignal;
  readonly log: Log;
  readonly delayMs?: number;
}): Promise<void> {
  try {
    await setTimeoutAsync(delayMs, undefined, { ref: false, signal: isOver });
    const stranded = await findStranded(engine, driver);
    if (stranded.length > 0) {
      log.warn(
        'containers did not start because their network was not ready, and Docker does not try again',
        {
          containers: stranded.map(({ name }) => name).join(','),
          run: startOf(stranded),
        },
      );
    }
  } catch {
    // Stopped meanwhile, or there is no engine to ask.
  }
}
