import * as v from 'valibot';
import { decode } from '../decode.ts';
import {
  Container,
  ListedContainer,
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
  info(): Promise<SystemInfo>;
  /** The managed plugins, enabled or not. */
  plugins(): Promise<Plugin[]>;
  networks(): Promise<Network[]>;
  /** By name or id; its options come with their values, of which one may be a seed. */
  network(name: string): Promise<NetworkInspection>;
  /** The containers that run. */
  containers(): Promise<ListedContainer[]>;
  /** Those that do not run as well. */
  allContainers(): Promise<ListedContainer[]>;
  container(id: string): Promise<Container>;
}

/**
 * The engine that listens on a unix socket. Without a version in the path it speaks its newest API.
 * @param timeoutMs of each request, up to the answer’s last byte
 * @param isOver ends requests that are under way
 */
export function createEngine(socketPath: string, timeoutMs?: number, isOver?: AbortSignal): Engine {
  const send = requestsTo(socketPath, timeoutMs, isOver);

  async function get<Schema extends v.GenericSchema>(
    schema: Schema,
    path: string,
  ): Promise<v.InferOutput<Schema>> {
    return decode(schema, await send('GET', path), `GET ${path}`);
  }

  return {
    version: async () => (await get(SystemVersion, '/version')).Version,
    info: () => get(SystemInfo, '/info'),
    plugins: () => get(v.array(Plugin), '/plugins'),
    networks: () => get(v.array(Network), '/networks'),
    network: (name) => get(NetworkInspection, `/networks/${encodeURIComponent(name)}`),
    containers: () => get(v.array(ListedContainer), '/containers/json'),
    allContainers: () => get(v.array(ListedContainer), '/containers/json?all=1'),
    container: (id) => get(Container, `/containers/${encodeURIComponent(id)}/json`),
  };
}
