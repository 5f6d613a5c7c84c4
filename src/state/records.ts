import * as v from 'valibot';
import { byName, decode, parsed } from '../decode.ts';
import type { NetworkRecord } from '../networks/network.ts';
import { formatPrefix, type Prefix, parsePrefix } from '../wireguard/address.ts';
import { type PublicKey, parsePublicKey } from '../wireguard/key.ts';
import { currentVersion, migrated, type RecordKind } from './migrations.ts';

/** An endpoint: a container's place in a network, which may have a link or not. */
export interface Endpoint {
  readonly endpointId: string;
  readonly networkId: string;
  /** Each with the length of its subnet. */
  readonly addresses: readonly Prefix[];
  /** Our options of the endpoint as they were given, by their names less the prefix. */
  readonly options?: Readonly<Record<string, unknown>> | undefined;
  /** Were DNS servers named for the container? Not known of endpoints that 0.1 made. */
  readonly hasDnsServers?: boolean | undefined;
}

/** How far an endpoint with a link has come, and the suffix of its file: a step is a rename. */
export const stageSuffixes = { begun: '.begun', marked: '.json', leaving: '.leaving' } as const;

export type Stage = keyof typeof stageSuffixes;

/** Of two files of one endpoint, the stage that comes later here counts: what was begun anew. */
export const stages = ['leaving', 'marked', 'begun'] as const satisfies readonly Stage[];

/** How far a Join has come. */
export interface Joined {
  readonly endpointId: string;
  /** The file of the container's network namespace, which older engines make only after Join; or empty. */
  readonly sandbox: string;
  /**
   * `begun` from before the link is made until it carries our mark: what has its name is ours all the same.
   * `leaving` is being removed, and a driver that starts has to go on with that.
   */
  readonly stage: Stage;
  /** With a hub on this host: the peer that its link has of the container, whatever key files say by now. */
  readonly hubPeer?: HubPeerRecord | undefined;
}

export interface HubPeerRecord {
  readonly link: string;
  readonly publicKey: PublicKey;
}

/** The namespace that holds the link which the containers of a network share. */
export interface GatewayRecord {
  readonly networkId: string;
  /** The process that holds it, and when it started: see Keeper. */
  readonly pid: number;
  readonly startTime: string;
  /** Not so until all in it is made: what a kill has cut short is of no use. */
  readonly isOpen: boolean;
}

// What a version does not know is passed over, so whatever a driver must know is a new version.
const networkFields = v.object({
  networkId: v.string(),
  internal: v.boolean(),
  subnets: v.array(v.object({ pool: v.string(), gateway: v.string() })),
  options: byName(v.unknown()),
  isOf01: v.optional(v.boolean()),
});

const endpointFields = v.object({
  endpointId: v.string(),
  networkId: v.string(),
  addresses: v.pipe(
    v.array(v.pipe(v.string(), parsed(parsePrefix, 'expected an address with a prefix length'))),
    v.minLength(1, 'expected an address'),
  ),
  options: v.optional(byName(v.unknown())),
  hasDnsServers: v.optional(v.boolean()),
});

const joinedFields = v.object({
  endpointId: v.string(),
  sandbox: v.string(),
  hubPeer: v.optional(
    v.object({
      link: v.string(),
      publicKey: v.pipe(v.string(), parsed(parsePublicKey, 'expected a public key')),
    }),
  ),
});

const gatewayFields = v.object({
  networkId: v.string(),
  pid: v.pipe(v.number(), v.integer(), v.minValue(2)),
  startTime: v.string(),
  isOpen: v.boolean(),
});

/** @throws Error without any value that it found */
export function decodeGateway(id: string, file: unknown): GatewayRecord {
  return decode(gatewayFields, migrated('gateway', file), `gateway ${id}`);
}

/** @throws Error without any value that it found */
export function decodeNetworkRecord(id: string, file: unknown): NetworkRecord {
  return decode(networkFields, migrated('network', file), `network ${id}`);
}

/** @throws Error without any value that it found */
export function decodeEndpoint(id: string, file: unknown): Endpoint {
  return decode(endpointFields, migrated('endpoint', file), `endpoint ${id}`);
}

/** @throws Error without any value that it found */
export function decodeJoined(id: string, file: unknown): Omit<Joined, 'stage'> {
  return decode(joinedFields, migrated('joined', file), `joined ${id}`);
}

/** What is written of a record. */
export function encode(kind: RecordKind, record: object): object {
  return { version: currentVersion(kind), ...record };
}

export function endpointRecord({ addresses, ...endpoint }: Endpoint): object {
  return encode('endpoint', { ...endpoint, addresses: addresses.map(formatPrefix) });
}
