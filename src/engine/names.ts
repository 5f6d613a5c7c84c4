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

/** The engine is asked again no sooner; where it did not answer, as while it starts, sooner than that. */
const freshMs = 30_000;
const retryMs = 5000;

/**
 * Makes a function that gives the names that are known, at once, and has the engine asked beside it where they are old: nobody who
 * reads metrics or the status waits for the engine. Where that is away, or cannot be asked as from a managed plugin, there are none,
 * and ids stand in for them.
 */
export function keptNames(
  engine: Pick<Engine, 'networks' | 'containers'>,
  now: () => number = () => performance.now(),
): () => Names {
  let known = noNames;
  let isAsked = false;
  let nextMs = Number.NEGATIVE_INFINITY;

  async function refresh(): Promise<void> {
    isAsked = true;
    try {
      known = await readNames(engine);
      nextMs = now() + freshMs;
    } catch {
      nextMs = now() + retryMs;
    }
    isAsked = false;
  }

  return () => {
    if (!isAsked && now() >= nextMs) {
      void refresh();
    }
    return known;
  };
}
