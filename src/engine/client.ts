import * as v from 'valibot';
import { decode } from '../decode.ts';
import {
  Container,
  ContainerId,
  Network,
  NetworkInspection,
  Plugin,
  SystemInfo,
  SystemVersion,
} from './api.ts';
import { requestsTo } from './request.ts';

/** What is asked of the engine, one request a call. @throws RequestError, or Error for an odd answer */
export interface Engine {
  /** Such as `28.5.2` or `20.10.24+dfsg1`. */
  version(): Promise<string>;
  /** Is this host a node of a Swarm, manager or worker? */
  isSwarmNode(): Promise<boolean>;
  /** The managed plugins, enabled or not. */
  plugins(): Promise<Plugin[]>;
  networks(): Promise<Network[]>;
  /** By name or id; its options come with their values, of which one may be a seed. */
  network(name: string): Promise<NetworkInspection>;
  /** The ids of the running containers that are on any of these networks. */
  containers(networkIds: readonly string[]): Promise<string[]>;
  container(id: string): Promise<Container>;
}

/** The engine that listens on a unix socket. Without a version in the path it speaks its newest API. */
export function createEngine(socketPath: string): Engine {
  const send = requestsTo(socketPath);

  async function get<Schema extends v.GenericSchema>(
    schema: Schema,
    path: string,
    filters?: Readonly<Record<string, readonly string[]>>,
  ): Promise<v.InferOutput<Schema>> {
    const answer = await send('GET', path, filters && { filters: JSON.stringify(filters) });
    return decode(schema, answer, `GET ${path}`);
  }

  return {
    version: async () => (await get(SystemVersion, '/version')).Version,
    isSwarmNode: async () => (await get(SystemInfo, '/info')).isSwarmNode,
    plugins: () => get(v.array(Plugin), '/plugins'),
    networks: () => get(v.array(Network), '/networks'),
    network: (name) => get(NetworkInspection, `/networks/${encodeURIComponent(name)}`),
    // An empty filter would mean all containers.
    containers: async (networkIds) =>
      networkIds.length === 0 ? [] : get(v.array(ContainerId), '/containers/json', { network: networkIds }),
    container: (id) => get(Container, `/containers/${encodeURIComponent(id)}/json`),
  };
}
