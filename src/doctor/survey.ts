import { optionPrefix } from '../driver/options.ts';
import type { Container, Endpoint, Network } from '../engine/api.ts';
import type { Engine } from '../engine/client.ts';
import { RequestError } from '../engine/request.ts';
import { parseVersionNumber, type VersionNumber } from '../version-number.ts';

/** A container's place on a network, with what the network itself says. */
export type Attachment = Omit<Endpoint, 'networkId'> & {
  /** Of the driver that is looked at. */
  readonly isOurs: boolean;
  readonly isInternal: boolean;
  /** Does the driver keep what is for this network in its tunnel? */
  readonly hasKillswitch: boolean;
};

/** A running container on a network of the driver that is looked at, and all its networks. */
export interface SurveyedContainer {
  readonly name: string;
  /** The file of its network namespace; empty if it has none any more. */
  readonly sandboxKey: string;
  readonly attachments: readonly Attachment[];
  /** The servers given with `--dns`. */
  readonly dns: readonly string[];
  readonly isPrivileged: boolean;
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
}

/** What the engine says of itself and of one driver's networks. */
export interface Survey {
  readonly versionText: string;
  /** Absent for an engine that was built by hand: then it is taken for a new one. */
  readonly version?: VersionNumber;
  /** Is this host a node of a Swarm? */
  readonly isSwarmNode: boolean;
  /** The driver's. */
  readonly networks: readonly Network[];
  /** The `--config-only` networks with our options, which are no driver's. */
  readonly configs: readonly Network[];
  readonly containers: readonly SurveyedContainer[];
}

/** Engine 28 brought gw-priority, and asks DNS servers in another place. */
export function isFrom28({ version }: Pick<Survey, 'version'>): boolean {
  return version === undefined || version.major >= 28;
}

/**
 * Is a network's driver the one that is looked at? A managed plugin's name carries its tag, and may carry the registry
 * that it came from: `wireguard-plugin` is `registry.example.org/wireguard-plugin:latest` too.
 */
export function isDriver(candidate: string, driver: string): boolean {
  const name = candidate.split('/').at(-1) ?? '';
  return [candidate, name, name.replace(/:[^:]*$/, '')].includes(driver);
}

/** Asks the engine for all that the checks need; the error that came instead, if one did. */
export async function surveyEngine(engine: Engine, driver: string): Promise<Survey | Error> {
  try {
    const versionText = await engine.version();
    const version = parseVersionNumber(versionText);
    const isSwarmNode = await engine.isSwarmNode();
    const networks = await engine.networks();
    const ours = networks.filter((network) => isDriver(network.driver, driver));
    const configs = networks.filter(
      ({ isConfigOnly, optionNames }) =>
        isConfigOnly && optionNames.some((name) => name.startsWith(optionPrefix)),
    );
    const containers = await inspect(engine, await engine.containers(ours.map(({ id }) => id)));
    return {
      versionText,
      ...(version === undefined ? {} : { version }),
      isSwarmNode,
      networks: ours,
      configs,
      containers: containers.map(({ id: _, endpoints, ...container }) => ({
        ...container,
        attachments: endpoints.map((endpoint) => attachmentOf(endpoint, networks, driver)),
      })),
    };
  } catch (error) {
    return error as Error;
  }
}

async function inspect(engine: Engine, ids: readonly string[]): Promise<Container[]> {
  const containers: Container[] = [];
  for (const id of ids) {
    try {
      containers.push(await engine.container(id));
    } catch (error) {
      // Removed since it was listed.
      if (!(error instanceof RequestError && error.status === 404)) {
        throw error;
      }
    }
  }
  return containers;
}

function attachmentOf(
  { networkId, ...endpoint }: Endpoint,
  networks: readonly Network[],
  driver: string,
): Attachment {
  const network = networks.find(({ id }) => id === networkId);
  const isOurs = isDriver(network?.driver ?? '', driver);
  // Its options are those of the --config-only network that it was created from.
  const config = networks.find(({ name }) => name === network?.configFrom);
  return {
    ...endpoint,
    isOurs,
    isInternal: network?.isInternal ?? false,
    hasKillswitch: isOurs && (config ?? network)?.hasKillswitch === true,
  };
}
