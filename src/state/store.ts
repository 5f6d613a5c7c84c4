import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../log.ts';
import { type Network, networkOf } from '../networks/network.ts';
import type { Address } from '../wireguard/address.ts';
import { openBootFolder, readStages, removeFoldersOfBoots } from './boot-folder.ts';
import { openDurableFolder, suffix } from './durable-folder.ts';
import { StateError } from './error.ts';
import { readStateFiles, type StateFile, setAside } from './files.ts';
import { leaveLayout01, readLayout01 } from './layout-0.1.ts';
import { currentVersion, type RecordKind, versionIn } from './migrations.ts';
import {
  decodeEndpoint,
  decodeGateway,
  decodeJoined,
  decodeNetworkRecord,
  type Endpoint,
  encode,
  endpointRecord,
  type GatewayRecord,
  type HubPeerRecord,
  type Joined,
  type Stage,
  stageSuffixes,
  stages,
} from './records.ts';

export type { Endpoint, GatewayRecord, HubPeerRecord, Joined } from './records.ts';

/**
 * The networks and endpoints there are, in memory, and on disk before a promise resolves. Each call
 * costs the same however many there are. Endpoints and Joins are of this boot of the machine alone.
 */
export interface Store {
  /** This boot of the machine. */
  readonly bootId: string;
  /** The same object as before unless it was put or removed since: whoever has seen one can tell whether it still is that one. */
  network(networkId: string): Network | undefined;
  networks(): readonly Network[];
  /** Why a network that is on disk cannot be used, as after a downgrade. Its record stays as it is. */
  unusableNetwork(networkId: string): string | undefined;
  endpoint(endpointId: string): Endpoint | undefined;
  /** Who holds an address of a network: there must not be two with one key. */
  endpointAt(networkId: string, address: Address): Endpoint | undefined;
  endpointsOf(networkId: string): readonly Endpoint[];
  endpoints(): readonly Endpoint[];
  joined(endpointId: string): Joined | undefined;
  allJoined(): readonly Joined[];
  /** When those joined that had when this was opened, in UNIX time. */
  joinedEarlier(): readonly { readonly endpointId: string; readonly unixMs: number }[];
  /** Also survives a power cut, from when the promise resolves. */
  putNetwork(network: Network): Promise<void>;
  removeNetwork(networkId: string): Promise<void>;
  putEndpoint(endpoint: Endpoint): Promise<void>;
  removeEndpoint(endpointId: string): Promise<void>;
  /** From here on a link may be there, without its mark. */
  beginJoin(joined: Pick<Joined, 'endpointId' | 'sandbox'>): Promise<void>;
  /** The link has its mark. */
  finishJoin(endpointId: string): Promise<void>;
  /** What has joined is being removed. An unfinished Join's record says enough. */
  beginRemoval(endpointId: string): Promise<void>;
  removeJoined(endpointId: string): Promise<void>;
  /** Of what has joined, the peer that a hub on this host has. */
  putHubPeer(endpointId: string, hubPeer: HubPeerRecord): Promise<void>;
  /** The namespace of a network whose containers share a tunnel; of this boot, as containers are. */
  gateway(networkId: string): GatewayRecord | undefined;
  gateways(): readonly GatewayRecord[];
  putGateway(gateway: GatewayRecord): Promise<void>;
  removeGateway(networkId: string): Promise<void>;
}

/**
 * Opens the state in a folder, which this process must hold (lockState). What makes no sense is set aside
 * with a line in the log.
 * @throws StateError if it cannot be read, or a newer driver's is there; then nothing was touched
 */
export async function openStore(folder: string, log: Log): Promise<Store> {
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const networksPath = join(folder, 'networks');
  const bootsPath = join(folder, 'boots');
  const paths = {
    endpoints: join(bootsPath, bootId, 'endpoints'),
    joined: join(bootsPath, bootId, 'joined'),
    gateways: join(bootsPath, bootId, 'gateways'),
  };

  // All of it, before anything is touched.
  const networkFiles = await readStateFiles(networksPath, suffix);
  const endpointFiles = await readStateFiles(paths.endpoints, suffix);
  const joinedFiles = await readStages(paths.joined);
  const gatewayFiles = await readStateFiles(paths.gateways, suffix);
  const old = await readLayout01(folder, bootId);
  refuseNewer(folder, 'network', networkFiles);
  refuseNewer(folder, 'gateway', gatewayFiles);
  refuseNewer(folder, 'endpoint', [...endpointFiles, ...old.endpoints]);
  for (const stage of stages) {
    refuseNewer(folder, 'joined', [...joinedFiles[stage], ...old.joined[stage]]);
  }

  // Written when the Join was begun, and only renamed since.
  const joinedEarlier = await Promise.all(
    [...joinedFiles.marked, ...old.joined.marked].map(async ({ id, path }) => ({
      endpointId: id,
      unixMs: (await stat(path)).mtimeMs,
    })),
  );

  const records = await decodeFiles(networkFiles, decodeNetworkRecord, log);
  const knownEndpoints = await decodeFiles([...endpointFiles, ...old.endpoints], decodeEndpoint, log);
  const knownJoined: Joined[] = [];
  for (const stage of stages) {
    // A part of what was begun tells nothing: what it was for comes after it.
    const files = [...joinedFiles[stage], ...old.joined[stage]].filter(
      ({ content }) => !(stage === 'begun' && content instanceof Error),
    );
    knownJoined.push(
      ...(await decodeFiles(files, decodeJoined, log)).map((record) => ({ ...record, stage })),
    );
  }
  const knownGateways = await decodeFiles(gatewayFiles, decodeGateway, log);
  const networkFolder = await openDurableFolder(networksPath);
  const endpointFolder = await openBootFolder(paths.endpoints);
  const joinedFolder = await openBootFolder(paths.joined);
  const gatewayFolder = await openBootFolder(paths.gateways);
  await leaveLayout01(folder, old, paths);
  await removeFoldersOfBoots(bootsPath, bootId);

  const networks = new Map<string, Network>();
  const unusable = new Map<string, string>();
  const endpoints = new Map<string, Endpoint>();
  const joined = new Map<string, Joined>();
  const gateways = new Map(knownGateways.map((gateway) => [gateway.networkId, gateway]));
  const byNetwork = new Map<string, Set<string>>();
  /** Who holds an address, by placeOf. */
  const holders = new Map<string, string>();

  const forgetEndpoint = (endpointId: string) => {
    const endpoint = endpoints.get(endpointId);
    if (endpoint === undefined) {
      return;
    }
    endpoints.delete(endpointId);
    const ofNetwork = byNetwork.get(endpoint.networkId);
    ofNetwork?.delete(endpointId);
    if (ofNetwork?.size === 0) {
      byNetwork.delete(endpoint.networkId);
    }
    for (const { address } of endpoint.addresses) {
      const place = placeOf(endpoint.networkId, address);
      // The address may be another's by now.
      if (holders.get(place) === endpointId) {
        holders.delete(place);
      }
    }
  };
  const addEndpoint = (endpoint: Endpoint) => {
    const { endpointId, networkId } = endpoint;
    forgetEndpoint(endpointId);
    endpoints.set(endpointId, endpoint);
    const ofNetwork = byNetwork.get(networkId) ?? new Set();
    byNetwork.set(networkId, ofNetwork.add(endpointId));
    for (const { address } of endpoint.addresses) {
      holders.set(placeOf(networkId, address), endpointId);
    }
  };

  /** There is one file for each: what was begun anew is so from when it is on the disk. */
  const replaceJoined = async (record: Joined) => {
    const before = joined.get(record.endpointId)?.stage;
    joined.set(record.endpointId, record);
    if (before !== undefined && before !== record.stage) {
      await joinedFolder.remove(record.endpointId, stageSuffixes[before]);
    }
  };

  const moveJoined = async (endpointId: string, from: Stage, to: Stage) => {
    const known = joined.get(endpointId);
    if (known?.stage === from) {
      await joinedFolder.move(endpointId, stageSuffixes[from], stageSuffixes[to]);
      joined.set(endpointId, { ...known, stage: to });
    }
  };

  for (const record of records) {
    try {
      networks.set(record.networkId, networkOf(record));
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
      unusable.set(record.networkId, cause);
      log.error('a network cannot be used by this version of wgdriver; its record stays', {
        network: record.networkId,
        cause,
      });
    }
  }
  for (const endpoint of knownEndpoints) {
    addEndpoint(endpoint);
  }
  for (const record of knownJoined) {
    await replaceJoined(record);
  }

  return {
    bootId,
    network: (networkId) => networks.get(networkId),
    networks: () => [...networks.values()],
    unusableNetwork: (networkId) => unusable.get(networkId),
    endpoint: (endpointId) => endpoints.get(endpointId),
    endpointAt: (networkId, address) => endpoints.get(holders.get(placeOf(networkId, address)) ?? ''),
    endpointsOf: (networkId) =>
      [...(byNetwork.get(networkId) ?? [])].flatMap((id) => endpoints.get(id) ?? []),
    endpoints: () => [...endpoints.values()],
    joined: (endpointId) => joined.get(endpointId),
    allJoined: () => [...joined.values()],
    joinedEarlier: () => joinedEarlier,

    async putNetwork(network) {
      const { networkId, record } = network;
      try {
        await networkFolder.write(networkId, encode('network', record));
      } catch (error) {
        // A new one that may not be durable is not left there for the next start.
        if (!networks.has(networkId)) {
          await networkFolder.remove(networkId).catch(() => {});
        }
        throw error;
      }
      networks.set(networkId, network);
      unusable.delete(networkId);
    },

    async removeNetwork(networkId) {
      await networkFolder.remove(networkId);
      networks.delete(networkId);
      unusable.delete(networkId);
    },

    async putEndpoint(endpoint) {
      await endpointFolder.write(endpoint.endpointId, suffix, endpointRecord(endpoint));
      addEndpoint(endpoint);
    },

    async removeEndpoint(endpointId) {
      await endpointFolder.remove(endpointId, suffix);
      forgetEndpoint(endpointId);
    },

    async beginJoin({ endpointId, sandbox }) {
      await joinedFolder.write(endpointId, stageSuffixes.begun, encode('joined', { endpointId, sandbox }));
      await replaceJoined({ endpointId, sandbox, stage: 'begun' });
    },

    finishJoin: (endpointId) => moveJoined(endpointId, 'begun', 'marked'),
    beginRemoval: (endpointId) => moveJoined(endpointId, 'marked', 'leaving'),

    async removeJoined(endpointId) {
      const known = joined.get(endpointId);
      if (known !== undefined) {
        await joinedFolder.remove(endpointId, stageSuffixes[known.stage]);
        joined.delete(endpointId);
      }
    },

    async putHubPeer(endpointId, hubPeer) {
      const known = joined.get(endpointId);
      if (known !== undefined) {
        const { stage, ...record } = { ...known, hubPeer };
        await joinedFolder.write(endpointId, stageSuffixes[stage], encode('joined', record));
        joined.set(endpointId, { ...record, stage });
      }
    },

    gateway: (networkId) => gateways.get(networkId),
    gateways: () => [...gateways.values()],

    async putGateway(gateway) {
      await gatewayFolder.write(gateway.networkId, suffix, encode('gateway', gateway));
      gateways.set(gateway.networkId, gateway);
    },

    async removeGateway(networkId) {
      await gatewayFolder.remove(networkId, suffix);
      gateways.delete(networkId);
    },
  };
}

function placeOf(networkId: string, address: Address): string {
  return `${networkId} ${address.toString()}`;
}

function refuseNewer(folder: string, kind: RecordKind, files: readonly StateFile[]): void {
  for (const { content } of files) {
    const version = versionIn(content) ?? 0;
    if (version > currentVersion(kind)) {
      throw new StateError(
        'newer',
        `state folder ${folder}: written by a newer wgdriver (version ${version} of ${kind} records; this one ` +
          `knows ${currentVersion(kind)}): start the newer one, or choose another --state-dir`,
      );
    }
  }
}

/** What makes no sense is set aside. */
async function decodeFiles<Decoded>(
  files: readonly StateFile[],
  decodeFile: (id: string, content: unknown) => Decoded,
  log: Log,
): Promise<Decoded[]> {
  const records: Decoded[] = [];
  for (const { id, path, content } of files) {
    try {
      if (content instanceof Error) {
        throw content;
      }
      records.push(decodeFile(id, content));
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
      log.error('a state file cannot be read and was set aside', { cause, file: await setAside(path) });
    }
  }
  return records;
}
