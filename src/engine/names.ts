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
