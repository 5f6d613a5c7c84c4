import type { CreateNetworkRequest } from '../plugin/api.ts';
import { EnableIPv6, GenericData, Internal } from '../plugin/netlabel.ts';
import { covers, hostPrefix, type Prefix, parsePrefix } from '../wireguard/address.ts';
import { decodeNetworkOptions, type NetworkOptions, optionPrefix, ourOptions } from './options.ts';

/** What is kept of a network: enough to decode it again, since CreateNetwork is never replayed. */
export interface NetworkRecord {
  readonly networkId: string;
  readonly internal: boolean;
  /** One for each --subnet; CIDRs as the engine gave them. */
  readonly subnets: readonly { readonly pool: string; readonly gateway: string }[];
  /** Our options as they were given, by their names less the prefix. May hold the seed. */
  readonly options: Readonly<Record<string, unknown>>;
}

export interface Subnet {
  readonly pool: Prefix;
  /** The hub's address inside the tunnel, with the pool's length. */
  readonly gateway: Prefix;
}

export interface Network {
  readonly record: NetworkRecord;
  readonly networkId: string;
  /** No way out of the subnet: `docker network create --internal`. */
  readonly internal: boolean;
  readonly subnets: readonly Subnet[];
  readonly options: NetworkOptions;
}

/** @throws Error that says what the user must change */
export function recordOf({ NetworkID, Options, IPv4Data, IPv6Data }: CreateNetworkRequest): NetworkRecord {
  if (Options[EnableIPv6] === true || (IPv6Data ?? []).length > 0) {
    throw new Error('networks with IPv6 are not supported yet: create this one without --ipv6');
  }
  return {
    networkId: NetworkID,
    internal: Options[Internal] === true,
    subnets: IPv4Data.map(({ Pool, Gateway }) => ({ pool: Pool, gateway: Gateway })),
    options: Object.fromEntries(ourOptions(genericOptions(Options[GenericData]))),
  };
}

/** @throws Error that says what the user must change */
export function networkOf(record: NetworkRecord): Network {
  const { networkId, internal } = record;
  const options = decodeNetworkOptions(
    Object.fromEntries(Object.entries(record.options).map(([name, value]) => [optionPrefix + name, value])),
  );
  if (internal && options.allowedips !== undefined) {
    throw new Error(
      `option ${optionPrefix}allowedips does not go with --internal, which allows the subnet alone; leave one out`,
    );
  }
  if (record.subnets.length === 0) {
    throw new Error(
      'the network has no IPv4 subnet, and a key is derived from an IPv4 address: give --subnet',
    );
  }
  return { record, networkId, internal, options, subnets: record.subnets.map(subnetOf) };
}

/** The subnet that an endpoint's address is in. */
export function subnetOfAddress(
  { subnets }: Pick<Network, 'subnets'>,
  { address }: Prefix,
): Subnet | undefined {
  return subnets.find(({ pool }) => covers(pool, hostPrefix(address)));
}

function subnetOf({ pool, gateway }: NetworkRecord['subnets'][number]): Subnet {
  const parsedPool = parsePrefix(pool);
  const parsedGateway = parsePrefix(gateway);
  if (parsedPool === undefined || parsedPool.length === 0 || parsedGateway === undefined) {
    throw new Error(
      'the network has no subnet and gateway, as with --ipam-driver null; a key is derived from an address, ' +
        'and the gateway is the hub: create it with --subnet and the default --ipam-driver',
    );
  }
  return { pool: parsedPool, gateway: parsedGateway };
}

function genericOptions(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
