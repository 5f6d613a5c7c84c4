import type { Container, EndpointSettings, ListedContainer, Network, SystemInfo } from '../engine/api.ts';
import type { Engine } from '../engine/client.ts';
import { isDriver } from '../engine/managed-plugin.ts';
import { RequestError } from '../engine/request.ts';
import { optionPrefix } from '../networks/options.ts';
import { parseVersionNumber, type VersionNumber } from '../version-number.ts';
import { type Prefix, parsePrefix } from '../wireguard/address.ts';

/** A container's place on a network, with what the network itself says. */
export type Attachment = Omit<EndpointSettings, 'networkId'> & {
  /** Of the driver that is looked at. */
  readonly isOurs: boolean;
  readonly isInternal: boolean;
  /** Its link is one that leads to a tunnel in a namespace of its network’s. */
  readonly isShared?: boolean;
  /** Does the driver keep what is for this network in its tunnel? */
  readonly hasKillswitch: boolean;
  /** What goes into its tunnel; absent is everything, or not known. */
  readonly allowedips?: readonly Prefix[];
};

/** What the processes of a container may do. */
export interface Privileges {
  readonly name: string;
  readonly isPrivileged: boolean;
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
}

/** A container that is to be in another one’s network namespace. */
export interface Sharer extends Privileges {
  readonly pid: number;
}

/** A container on a network of ours that the engine could not start. */
export interface StrandedContainer {
  readonly name: string;
  /** The engine’s words. */
  readonly cause: string;
}

/** A running container on a network of the driver that is looked at, and all its networks. */
export interface SurveyedContainer extends Privileges {
  /** The file of its network namespace; empty if it has none any more. */
  readonly sandboxKey: string;
  readonly attachments: readonly Attachment[];
  /** The servers given with `--dns`. */
  readonly dns: readonly string[];
  /** Of its first process. */
  readonly pid: number;
  /** Containers that were started in its network namespace, by `--network container:NAME`. */
  readonly sharers: readonly Sharer[];
}

/** What the engine says of itself and of one driver's networks. */
export interface Survey extends SystemInfo {
  readonly versionText: string;
  /** Absent for an engine that was built by hand: then it is taken for a new one. */
  readonly version?: VersionNumber;
  /** The driver's. */
  readonly networks: readonly Network[];
  /** The `--config-only` networks with our options, which are no driver's. */
  readonly configs: readonly Network[];
  readonly containers: readonly SurveyedContainer[];
  readonly stranded: readonly StrandedContainer[];
}

/** Engine 28 brought gw-priority, and asks DNS servers in another place. */
export function isFrom28({ version }: Pick<Survey, 'version'>): boolean {
  return version === undefined || version.major >= 28;
}

/** Asks the engine for all that the checks need; the error that came instead, if one did. */
export async function surveyEngine(engine: Engine, driver: string): Promise<Survey | Error> {
  try {
    const versionText = await engine.version();
    const version = parseVersionNumber(versionText);
    const info = await engine.info();
    const networks = await engine.networks();
    const ours = networks.filter((network) => isDriver(network.driver, driver));
    const configs = networks.filter(
      ({ isConfigOnly, optionNames }) =>
        isConfigOnly && optionNames.some((name) => name.startsWith(optionPrefix)),
    );
    const all = ours.length === 0 ? [] : await engine.allContainers();
    const running = all.filter(({ isStopped }) => !isStopped);
    const onOurs = running.filter(isOnOneOf(ours));
    const containers: SurveyedContainer[] = [];
    for (const listed of onOurs) {
      const [container] = await inspect(engine, [listed]);
      if (container !== undefined) {
        const { id: _, endpoints, startError: __, ...itself } = container;
        const attachments = endpoints.map((endpoint) => attachmentOf(endpoint, networks, driver));
        const sharers = (await inspect(engine, running.filter(isSharerOf(listed)))).map(sharerOf);
        containers.push({ ...itself, attachments, sharers });
      }
    }
    return {
      versionText,
      ...(version === undefined ? {} : { version }),
      ...info,
      networks: ours,
      configs,
      containers,
      stranded: await strandedOf(engine, all.filter(isOnOneOf(ours))),
    };
  } catch (error) {
    return error as Error;
  }
}

function isOnOneOf(networks: readonly Network[]) {
  const ids = new Set(networks.map(({ id }) => id));
  const names = new Set(networks.map(({ name }) => name));
  // One that has never had an endpoint there knows the name alone.
  return ({ networkIds, networkNames }: ListedContainer) =>
    networkIds.some((id) => ids.has(id)) || networkNames.some((name) => names.has(name));
}

/** Each is asked for by itself, and a host may have thousands that have ended. */
const mostStopped = 100;

/** Of containers, those whose last start failed by what the engine says of networks. */
async function strandedOf(engine: Engine, listed: readonly ListedContainer[]): Promise<StrandedContainer[]> {
  const stopped = await inspect(engine, listed.filter(({ isStopped }) => isStopped).slice(0, mostStopped));
  return stopped
    .filter(
      ({ startError }) =>
        /network|endpoint|plugin|remote:/i.test(startError) && !/OCI runtime/.test(startError),
    )
    .map(({ name, startError }) => ({ name, cause: startError }));
}

/**
 * The containers on a driver's networks that the engine could not start, as at a boot without the driver.
 * @throws RequestError
 */
export async function findStranded(engine: Engine, driver: string): Promise<StrandedContainer[]> {
  const ours = (await engine.networks()).filter((network) => isDriver(network.driver, driver));
  return ours.length === 0 ? [] : strandedOf(engine, (await engine.allContainers()).filter(isOnOneOf(ours)));
}

function isSharerOf({ id, names }: ListedContainer) {
  const modes = [id, ...names].map((name) => `container:${name}`);
  return ({ networkMode }: ListedContainer) => modes.includes(networkMode);
}

function sharerOf({ name, pid, isPrivileged, capAdd, capDrop }: Container): Sharer {
  return { name, pid, isPrivileged, capAdd, capDrop };
}

async function inspect(engine: Engine, listed: readonly ListedContainer[]): Promise<Container[]> {
  const containers: Container[] = [];
  for (const { id } of listed) {
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

/** The `--config-only` network whose options a network has. */
export function configOf({ configFrom }: Network, networks: readonly Network[]): Network | undefined {
  return networks.find(({ name }) => name === configFrom);
}

/** Do the containers of a network share a tunnel? As networkOf in src/networks/network.ts tells it. */
export function isSharedTunnel(network: Network, config: Network | undefined): boolean {
  const has = (name: string) => (config ?? network).optionNames.includes(optionPrefix + name);
  // With `--ipam-driver null` the engine shows all of IPv4, or none.
  const hasSubnet = network.subnets.some(({ subnet }) => !subnet.endsWith('/0'));
  return has('conffile') && !has('seed') && !has('seedfile') && hasSubnet;
}

function attachmentOf(
  { networkId, ...endpoint }: EndpointSettings,
  networks: readonly Network[],
  driver: string,
): Attachment {
  const network = networks.find(({ id }) => id === networkId);
  const isOurs = isDriver(network?.driver ?? '', driver);
  const config = network && configOf(network, networks);
  const settings = config ?? network;
  const prefixes = isOurs
    ? settings?.allowedips?.split(',').map((text) => parsePrefix(text.trim()))
    : undefined;
  return {
    ...endpoint,
    isOurs,
    isInternal: network?.isInternal ?? false,
    ...(isOurs && network && isSharedTunnel(network, config) && { isShared: true }),
    hasKillswitch: isOurs && settings?.hasKillswitch === true,
    ...(prefixes?.every((prefix) => prefix !== undefined) && { allowedips: prefixes }),
  };
}
