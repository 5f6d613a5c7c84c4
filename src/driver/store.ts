import { join } from 'node:path';
import * as v from 'valibot';
import { decode, parsed } from '../decode.ts';
import type { Log } from '../log.ts';
import { formatPrefix, type Prefix, parsePrefix } from '../wireguard/address.ts';
import { type Network, type NetworkRecord, networkOf } from './network.ts';
import { openStateFolder, type StateFolder } from './state-folder.ts';

/** An endpoint: a container's place in a network, which may have a link or not. */
export interface Endpoint {
  readonly endpointId: string;
  readonly networkId: string;
  /** With the length of its subnet. */
  readonly address: Prefix;
}

/**
 * The networks and endpoints there are, in memory, and on disk before a promise resolves. Each call
 * costs the same however many there are.
 */
export interface Store {
  network(networkId: string): Network | undefined;
  endpoint(endpointId: string): Endpoint | undefined;
  /** Who holds an address of a network: there must not be two with one key. */
  endpointAt(networkId: string, address: Prefix): Endpoint | undefined;
  endpointsOf(networkId: string): readonly Endpoint[];
  putNetwork(network: Network): Promise<void>;
  removeNetwork(networkId: string): Promise<void>;
  putEndpoint(endpoint: Endpoint): Promise<void>;
  removeEndpoint(endpointId: string): Promise<void>;
}

/** Written into every file; a file of another version is set aside, not guessed at. */
const version = 1;

const networkFile = v.object({
  version: v.literal(version, `expected ${version}`),
  networkId: v.string(),
  internal: v.boolean(),
  subnets: v.array(v.object({ pool: v.string(), gateway: v.string() })),
  options: v.record(v.string(), v.unknown()),
});

const endpointFile = v.object({
  version: v.literal(version, `expected ${version}`),
  endpointId: v.string(),
  networkId: v.string(),
  address: v.pipe(v.string(), parsed(parsePrefix, 'expected an address with a prefix length')),
});

/** Opens the state in a folder. What cannot be read is set aside with a line in the log. */
export async function openStore(folder: string, log: Log): Promise<Store> {
  const networkFolder = await openStateFolder(join(folder, 'networks'));
  const endpointFolder = await openStateFolder(join(folder, 'endpoints'));

  const networks = new Map<string, Network>();
  const endpoints = new Map<string, Endpoint>();
  const byNetwork = new Map<string, Map<string, Endpoint>>();

  const forgetEndpoint = (endpointId: string) => {
    const endpoint = endpoints.get(endpointId);
    const ofNetwork = endpoint && byNetwork.get(endpoint.networkId);
    const address = endpoint?.address.address.toString() ?? '';
    endpoints.delete(endpointId);
    // The address may be another's by now.
    if (ofNetwork?.get(address) === endpoint) {
      ofNetwork?.delete(address);
    }
  };
  const addEndpoint = (endpoint: Endpoint) => {
    forgetEndpoint(endpoint.endpointId);
    endpoints.set(endpoint.endpointId, endpoint);
    const ofNetwork = byNetwork.get(endpoint.networkId) ?? new Map<string, Endpoint>();
    byNetwork.set(endpoint.networkId, ofNetwork.set(endpoint.address.address.toString(), endpoint));
  };

  for (const record of await readRecords(networkFolder, decodeNetwork, log)) {
    networks.set(record.networkId, record);
  }
  for (const endpoint of await readRecords(endpointFolder, decodeEndpoint, log)) {
    addEndpoint(endpoint);
  }

  return {
    network: (networkId) => networks.get(networkId),
    endpoint: (endpointId) => endpoints.get(endpointId),
    endpointAt: (networkId, { address }) => byNetwork.get(networkId)?.get(address.toString()),
    endpointsOf: (networkId) => [...(byNetwork.get(networkId)?.values() ?? [])],

    async putNetwork(network) {
      await networkFolder.write(network.networkId, { version, ...network.record });
      networks.set(network.networkId, network);
    },

    async removeNetwork(networkId) {
      await networkFolder.remove(networkId);
      networks.delete(networkId);
      byNetwork.delete(networkId);
    },

    async putEndpoint(endpoint) {
      const address = formatPrefix(endpoint.address);
      await endpointFolder.write(endpoint.endpointId, { version, ...endpoint, address });
      addEndpoint(endpoint);
    },

    async removeEndpoint(endpointId) {
      await endpointFolder.remove(endpointId);
      forgetEndpoint(endpointId);
    },
  };
}

function decodeNetwork(id: string, file: unknown): Network {
  const { version: _, ...record } = decode(networkFile, file, `network ${id}`);
  return networkOf(record satisfies NetworkRecord);
}

function decodeEndpoint(id: string, file: unknown): Endpoint {
  const { version: _, ...endpoint } = decode(endpointFile, file, `endpoint ${id}`);
  return endpoint;
}

async function readRecords<Decoded>(
  folder: StateFolder,
  decodeRecord: (id: string, file: unknown) => Decoded,
  log: Log,
): Promise<Decoded[]> {
  const records: Decoded[] = [];
  for (const [id, file] of await folder.readAll()) {
    try {
      if (file instanceof Error) {
        throw file;
      }
      records.push(decodeRecord(id, file));
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
      log.error('a state file cannot be read and is set aside', { cause, file: await folder.setAside(id) });
    }
  }
  return records;
}
