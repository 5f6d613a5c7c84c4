import { setTimeout as setTimeoutAsync } from 'node:timers/promises';
import type { WireGuardDriver } from '../driver/driver.ts';
import type { Engine } from '../engine/client.ts';
import { RequestError } from '../engine/request.ts';
import type { Log } from '../log.ts';

/** The engine writes a network down as soon as it has the driver’s answer. */
const defaultPauseMs = 10_000;

/** At boot the engine starts after this driver. Where it cannot be asked at all, as from a managed plugin, this gives up. */
const maxLooks = 12;

/** How long a call of the engine’s waits for an answer of the engine’s. */
export const askMs = 2000;

/**
 * Has the engine a network? 20.10 answers while it waits for CreateNetwork (seen); a later engine should, as its source locks no
 * more than the new network’s id and name meanwhile (read, not tried). One that holds a lock would not answer, so it must be
 * asked with a limit.
 * @returns undefined if it does not say
 */
export function engineHas(engine: Pick<Engine, 'network'>, networkId: string): Promise<boolean | undefined> {
  return engine.network(networkId).then(
    () => true,
    (error) => (error instanceof RequestError && error.status === 404 ? false : undefined),
  );
}

/**
 * Forgets networks that the engine lacks at two looks: a kill of the driver cut their creation or their removal short, and the
 * engine does not ask again. Nothing is forgotten on the word of an engine that has no network of this driver: it may be
 * another than the one that calls. Does not reject.
 */
export async function forgetLostNetworks({
  engine,
  driver,
  isOver,
  log,
  pauseMs = defaultPauseMs,
}: {
  readonly engine: Pick<Engine, 'networks'>;
  readonly driver: Pick<WireGuardDriver, 'networks' | 'forgetNetwork'>;
  readonly isOver: AbortSignal;
  readonly log: Log;
  readonly pauseMs?: number;
}): Promise<void> {
  /** What the look before did not find. */
  let missing: ReturnType<typeof driver.networks> | undefined;
  try {
    for (let look = 0; look < maxLooks && !isOver.aborted; look++) {
      // One that is created meanwhile is not among them.
      const remembered = driver.networks();
      const known = await engine.networks().then(
        (networks) => new Set(networks.map(({ id }) => id)),
        () => undefined,
      );
      if (known !== undefined) {
        const lost = remembered.filter(({ networkId }) => !known.has(networkId));
        if (lost.length === 0 || lost.length === remembered.length) {
          return;
        }
        if (missing !== undefined) {
          for (const network of lost.filter((each) => missing?.includes(each))) {
            await driver.forgetNetwork(network);
          }
          return;
        }
        missing = lost;
      }
      await setTimeoutAsync(pauseMs, undefined, { ref: false, signal: isOver });
    }
  } catch (error) {
    if (!isOver.aborted) {
      log.warn('a network that Docker no longer has could not be forgotten', { cause: String(error) });
    }
  }
}
