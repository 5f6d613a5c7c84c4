import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { decode, parsed } from '../decode.ts';
import type { Log } from '../log.ts';
import { type Network, type NetworkRecord, networkOf } from '../networks/network.ts';
import { type Address, formatPrefix, type Prefix, parsePrefix } from '../wireguard/address.ts';
import type { StateFiles } from './files.ts';
import { openStateFolder, type StateFolder } from './folder.ts';
import { type JoinedFolder, openJoinedFolder, type Stage } from './joined-folder.ts';

/** An endpoint: a container's place in a network, which may have a link or not. */
export interface Endpoint {
  readonly endpointId: string;
  readonly networkId: string;
  /** Each with the length of its subnet. */
  readonly addresses: readonly Prefix[];
  /** The boot of the machine that it was created in (random(4)): no link outlives that. */
  readonly bootId?: string | undefined;
}

/** How far a Join of this boot of the machine has come. */
export interface Joined {
  readonly endpointId: string;
  /** The file of the container's network namespace, which older engines make only after Join; or empty. */
  readonly sandbox: string;
  /**
   * `begun` from before the link is made until it carries our mark: what has its name is ours all the same.
   * `leaving` is being removed, and a driver that starts has to go on with that.
   */
  readonly stage: Stage;
}

/**
 * The networks and endpoints there are, in memory, and on disk before a promise resolves. Each call
 * costs the same however many there are.
 */
export interface Store {
  /** This boot of the machine. */
  readonly bootId: string;
  network(networkId: string): Network | undefined;
  endpoint(endpointId: string): Endpoint | undefined;
  /** Who holds an address of a network: there must not be two with one key. */
  endpointAt(networkId: string, address: Address): Endpoint | undefined;
  endpointsOf(networkId: string): readonly Endpoint[];
  endpoints(): readonly Endpoint[];
  joined(endpointId: string): Joined | undefined;
  allJoined(): readonly Joined[];
  putNetwork(network: Network): Promise<void>;
  removeNetwork(networkId: string): Promise<void>;
  putEndpoint(endpoint: Endpoint): Promise<void>;
  removeEndpoint(endpointId: string): Promise<void>;
  /** From here on a link may be there, without its mark. It outlives this process and not a power cut, as links do. */
  beginJoin(joined: Pick<Joined, 'endpointId' | 'sandbox'>): Promise<void>;
  /** The link has its mark. */
  finishJoin(endpointId: string): Promise<void>;
  /** What has joined is being removed. An unfinished Join's record says enough. */
  beginRemoval(endpointId: string): Promise<void>;
  removeJoined(endpointId: string): Promise<void>;
}

/**
 * Written into every file. What older drivers of a version do not know they pass over, so whatever they
 * must know is a new version: a driver refuses to start on one newer than its own.
 */
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
  bootId: v.optional(v.string()),
});

const joinedFile = v.object({
  version: v.literal(version, `expected ${version}`),
  endpointId: v.string(),
  sandbox: v.string(),
});

/** A random(4) UUID, as the folder of a boot is called. */
const bootIdPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Opens the state in a folder, which this process must hold (lockState). What cannot be read is set aside
 * with a line in the log.
 * @throws Error if a newer driver's state is there; then nothing was touched
 */
export async function openStore(folder: string, log: Log): Promise<Store> {
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const networkFolder = await openStateFolder(join(folder, 'networks'));
  const endpointFolder = await openStateFolder(join(folder, 'endpoints'));
  const networkFiles = await networkFolder.readAll();
  const endpointFiles = await endpointFolder.readAll();
  refuseNewer(folder, [...networkFiles, ...endpointFiles]);
  const joinedFolder = await openFolderOfBoot(join(folder, 'joined'), bootId);

  const networks = new Map<string, Network>();
  const endpoints = new Map<string, Endpoint>();
  const joined = new Map<string, Joined>();
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
    const before = joined.get(record.endpointId);
    joined.set(record.endpointId, record);
    if (before !== undefined && before.stage !== record.stage) {
      await joinedFolder.remove(before.endpointId, before.stage);
    }
  };

  const moveJoined = async (endpointId: string, from: Stage, to: Stage) => {
    const known = joined.get(endpointId);
    if (known?.stage === from) {
      await joinedFolder.move(endpointId, from, to);
      joined.set(endpointId, { ...known, stage: to });
    }
  };

  for (const record of await decodeRecords(networkFolder, networkFiles, decodeNetwork, log)) {
    networks.set(record.networkId, record);
  }
  for (const endpoint of await decodeRecords(endpointFolder, endpointFiles, decodeEndpoint, log)) {
    addEndpoint(endpoint);
  }
  for (const stage of ['leaving', 'marked', 'begun'] as const) {
    const files = joinedFolder.files(stage);
    // A part of what was begun tells nothing: what it was for comes after it.
    const records = (await files.readAll()).filter(
      ([, record]) => !(stage === 'begun' && record instanceof Error),
    );
    for (const record of await decodeRecords(files, records, decodeJoined, log)) {
      await replaceJoined({ ...record, stage });
    }
  }

  return {
    bootId,
    network: (networkId) => networks.get(networkId),
    endpoint: (endpointId) => endpoints.get(endpointId),
    endpointAt: (networkId, address) => endpoints.get(holders.get(placeOf(networkId, address)) ?? ''),
    endpointsOf: (networkId) =>
      [...(byNetwork.get(networkId) ?? [])].flatMap((id) => endpoints.get(id) ?? []),
    endpoints: () => [...endpoints.values()],
    joined: (endpointId) => joined.get(endpointId),
    allJoined: () => [...joined.values()],

    async putNetwork(network) {
      const { networkId, record } = network;
      await writeOrUndo(networkFolder, networkId, record, networks.has(networkId));
      networks.set(networkId, network);
    },

    async removeNetwork(networkId) {
      await networkFolder.remove(networkId);
      networks.delete(networkId);
    },

    async putEndpoint(endpoint) {
      const { endpointId, addresses, ...rest } = endpoint;
      const [address] = addresses.map(formatPrefix);
      await writeOrUndo(
        endpointFolder,
        endpointId,
        { endpointId, ...rest, address },
        endpoints.has(endpointId),
      );
      addEndpoint(endpoint);
    },

    async removeEndpoint(endpointId) {
      await endpointFolder.remove(endpointId);
      forgetEndpoint(endpointId);
    },

    async beginJoin({ endpointId, sandbox }) {
      await joinedFolder.begin(endpointId, { version, endpointId, sandbox });
      await replaceJoined({ endpointId, sandbox, stage: 'begun' });
    },

    finishJoin: (endpointId) => moveJoined(endpointId, 'begun', 'marked'),
    beginRemoval: (endpointId) => moveJoined(endpointId, 'marked', 'leaving'),

    async removeJoined(endpointId) {
      const known = joined.get(endpointId);
      if (known !== undefined) {
        await joinedFolder.remove(endpointId, known.stage);
        joined.delete(endpointId);
      }
    },
  };
}

/** Writes a record; a new one that may not be durable is not left there for the next start. */
async function writeOrUndo(folder: StateFolder, id: string, record: object, isKnown: boolean): Promise<void> {
  try {
    await folder.write(id, { version, ...record });
  } catch (error) {
    if (!isKnown) {
      await folder.remove(id).catch(() => {});
    }
    throw error;
  }
}

/** A folder for the records of this boot; those of earlier ones mean nothing any more, and go unread. */
async function openFolderOfBoot(path: string, bootId: string): Promise<JoinedFolder> {
  const folder = await openJoinedFolder(join(path, bootId));
  for (const name of (await readdir(path)).filter((other) => other !== bootId && bootIdPattern.test(other))) {
    await rm(join(path, name), { recursive: true });
  }
  return folder;
}

function refuseNewer(folder: string, files: readonly [id: string, file: unknown][]): void {
  for (const [, file] of files) {
    const { success, output } = v.safeParse(v.object({ version: v.number() }), file);
    if (success && output.version > version) {
      throw new Error(
        `state folder ${folder}: written by a newer wgdriver, in version ${output.version} of the format where ` +
          `this one knows ${version}; start the newer one, or choose another --state-dir`,
      );
    }
  }
}

function placeOf(networkId: string, address: Address): string {
  return `${networkId} ${address.toString()}`;
}

function decodeNetwork(id: string, file: unknown): Network {
  const { version: _, ...record } = decode(networkFile, file, `network ${id}`);
  return networkOf(record satisfies NetworkRecord);
}

function decodeEndpoint(id: string, file: unknown): Endpoint {
  const { version: _, address, ...endpoint } = decode(endpointFile, file, `endpoint ${id}`);
  return { ...endpoint, addresses: [address] };
}

function decodeJoined(id: string, file: unknown): Omit<Joined, 'stage'> {
  const { version: _, ...joined } = decode(joinedFile, file, `joined ${id}`);
  return joined;
}

async function decodeRecords<Decoded>(
  folder: StateFiles,
  files: readonly [id: string, file: unknown][],
  decodeRecord: (id: string, file: unknown) => Decoded,
  log: Log,
): Promise<Decoded[]> {
  const records: Decoded[] = [];
  for (const [id, file] of files) {
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
