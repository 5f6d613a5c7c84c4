import { setTimeout as setTimeoutAsync } from 'node:timers/promises';
import type { Engine } from './client.ts';

/** What users call things, by the ids that a driver knows them by. */
export interface Names {
  /** A container, by an endpoint of it. */
  container(endpointId: string): string | undefined;
  network(networkId: string): string | undefined;
}

export const noNames: Names = { container: () => undefined, network: () => undefined };

/** Asks the engine. @throws RequestError, as where there is none */
export async function readNames(engine: Pick<Engine, 'networks' | 'containers'>): Promise<Names> {
  const [networks, containers] = await Promise.all([engine.networks(), engine.containers()]);
  const ofNetworks = new Map(networks.map(({ id, name }) => [id, name]));
  const ofEndpoints = new Map(
    containers.flatMap(({ endpointIds, names: [name] }) =>
      name === undefined ? [] : endpointIds.map((id) => [id, name] as const),
    ),
  );
  return {
    container: (endpointId) => ofEndpoints.get(endpointId),
    network: (networkId) => ofNetworks.get(networkId),
  };
}

/** The engine is asked again no sooner. */
const freshMs = 30_000;

/** Where it takes longer than this to answer, the names of the last time do. */
const patienceMs = 1000;

/**
 * Makes a function that gives names for those who read metrics, or the status: nobody else has the engine asked. Where it
 * is away, or cannot be asked as from a managed plugin, there are none, and ids stand in for them. Does not reject.
 */
export function namesOnDemand(
  engine: Pick<Engine, 'networks' | 'containers'>,
  now: () => number = () => performance.now(),
): () => Promise<Names> {
  let known = noNames;
  let asked = { atMs: Number.NEGATIVE_INFINITY, answer: Promise.resolve() };
  return async () => {
    if (now() - asked.atMs >= freshMs) {
      const answer = readNames(engine).then(
        (names) => {
          known = names;
        },
        () => {},
      );
      asked = { atMs: now(), answer };
    }
    await Promise.race([asked.answer, setTimeoutAsync(patienceMs, undefined, { ref: false })]);
    return known;
  };
}
