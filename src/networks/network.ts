import type { CreateNetworkRequest } from '../plugin/api.ts';
import { EnableIPv6, GenericData, Internal } from '../plugin/netlabel.ts';
import {
  covers,
  formatPrefix,
  hostPrefix,
  type Prefix,
  parseAddress,
  parsePrefix,
  prefixOf,
} from '../wireguard/address.ts';
import { smallMtuFault } from '../wireguard/mtu.ts';
import { ipv6PrefixOf, isUnicast, localPrefixOf, refuseOverlap } from './ipv6.ts';
import {
  decodeNetworkOptions,
  givenOptions,
  type Mtu,
  type NetworkOptions,
  optionPrefix,
  withPrefix,
} from './options.ts';

/** What is kept of a network: enough to decode it again, since CreateNetwork is never replayed. */
export interface NetworkRecord {
  readonly networkId: string;
  readonly internal: boolean;
  /** One for each --subnet; CIDRs as the engine gave them, all of one family. */
  readonly subnets: readonly { readonly pool: string; readonly gateway: string }[];
  /** Our options as they were given, by their names less the prefix. May hold the seed. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Was it 0.1 that made the network? */
  readonly isOf01?: boolean | undefined;
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
  /**
   * Its one container is the peer that its configuration file is made for, with the file's key and addresses:
   * `--ipam-driver null`, and no subnets.
   */
  readonly isOnePeer: boolean;
  /** Its containers share one link, with the key and the addresses of its configuration file: there is no seed. */
  readonly isShared: boolean;
  /** Those of --subnet, and of `ipv6` one for each of them. */
  readonly subnets: readonly Subnet[];
  /** Of option ipv6. A shared tunnel's network without it has one all the same, in case its file has an IPv6 address. */
  readonly ipv6?: Prefix;
  readonly options: NetworkOptions;
}

/** @throws Error that says what the user must change */
export function recordOf({ NetworkID, Options, IPv4Data, IPv6Data }: CreateNetworkRequest): NetworkRecord {
  // Without IPv4 the engine gives IPv6 addresses, which keys are derived from then.
  const hasIPv4 = (IPv4Data ?? []).length > 0;
  if (hasIPv4 && (Options[EnableIPv6] === true || (IPv6Data ?? []).length > 0)) {
    throw new Error(
      `create the network without --ipv6 (compose: enable_ipv6) and with -o ${optionPrefix}ipv6=PREFIX, such as ` +
        'fd12:3456:789a::/64: the driver then makes each container’s IPv6 address from its IPv4 address, so that ' +
        'the hub knows both',
    );
  }
  return {
    networkId: NetworkID,
    internal: Options[Internal] === true,
    subnets: [...(IPv4Data ?? []), ...(IPv6Data ?? [])].map(({ Pool, Gateway }) => ({
      pool: Pool,
      gateway: Gateway,
    })),
    options: givenOptions(genericOptions(Options[GenericData])),
  };
}

/** @throws Error that says what the user must change */
export function networkOf(record: NetworkRecord): Network {
  const { networkId, internal } = record;
  const options = decodeNetworkOptions(withPrefix(record.options));
  if (internal && options.allowedips !== undefined) {
    throw new Error(
      `option ${optionPrefix}allowedips cannot be combined with --internal, which allows only the subnet: leave ` +
        'one out',
    );
  }
  const isOnePeer =
    options.conffile !== undefined && record.subnets.every(({ pool }) => parsePrefix(pool)?.length === 0);
  const isShared = options.conffile !== undefined && options.seed === undefined && !isOnePeer;
  if (options.conffile !== undefined) {
    refuseBesideConffile(record, options, isShared);
  }
  if (options.icc !== undefined && !isShared) {
    throw new Error(
      `option ${optionPrefix}icc is for containers that share a tunnel: ${optionPrefix}conffile with --subnet and ` +
        'without a seed; leave it out',
    );
  }
  if (isOnePeer) {
    refuseExclude(internal, options, []);
    return { record, networkId, internal, isOnePeer, isShared, options, subnets: [] };
  }
  if (record.subnets.length === 0) {
    throw new Error('the network has no subnet, but keys are derived from addresses: give --subnet');
  }
  const given = record.subnets.map(subnetOf);
  const { mtu, peer } = options;
  const ipv6 = options.ipv6 ?? (isShared ? localPrefixOf(networkId) : undefined);
  if (isShared && given.some(({ pool }) => pool.address.kind() === 'ipv6')) {
    throw new Error(
      'containers that share a tunnel get their IPv6 addresses from the driver: create the network with an IPv4 ' +
        `--subnet and without --ipv4=false; ${optionPrefix}ipv6 chooses the IPv6 prefix`,
    );
  }
  if (ipv6 !== undefined && given.some(({ pool }) => pool.address.kind() === 'ipv6')) {
    throw new Error(
      `option ${optionPrefix}ipv6 cannot be combined with --ipv4=false, where Docker assigns IPv6 addresses: ` +
        'leave one out',
    );
  }
  const subnets =
    ipv6 === undefined ? given : [...given, ...given.map((subnet) => ipv6SubnetOf(ipv6, subnet))];
  refuseSmallMtu(
    `option ${optionPrefix}mtu`,
    mtu,
    // Whether a shared tunnel has IPv6, its file says: see refuseUnfit.
    (isShared ? given : subnets).map(({ pool }) => pool),
  );
  if (ipv6 !== undefined) {
    const host = peer && parseAddress(peer.host);
    refuseOverlap(ipv6, host === undefined ? [] : [host]);
  }
  refuseExclude(internal, options, subnets);
  return { record, networkId, internal, isOnePeer, isShared, options, subnets, ...(ipv6 && { ipv6 }) };
}

/**
 * @param subject what says the MTU
 * @param prefixes that containers get addresses of
 * @throws Error for an MTU that IPv6 does not go with
 */
export function refuseSmallMtu(subject: string, mtu: Mtu | undefined, prefixes: readonly Prefix[]): void {
  const fault = typeof mtu === 'number' ? smallMtuFault(mtu, prefixes) : undefined;
  if (fault !== undefined) {
    throw new Error(`${subject}: ${fault}`);
  }
}

function refuseBesideConffile(
  { internal }: NetworkRecord,
  { ipv6 }: NetworkOptions,
  isShared: boolean,
): void {
  if (internal) {
    throw new Error(
      `option ${optionPrefix}conffile cannot be combined with --internal, which allows only the subnet, because ` +
        'the file’s AllowedIPs say what is allowed: leave one out',
    );
  }
  if (ipv6 !== undefined && !isShared) {
    throw new Error(
      `option ${optionPrefix}ipv6 cannot be combined with ${optionPrefix}conffile, which sets the ` +
        'container’s addresses: leave one out',
    );
  }
}

function refuseExclude(
  internal: boolean,
  { exclude = [], killswitch }: NetworkOptions,
  subnets: readonly Subnet[],
): void {
  const option = `option ${optionPrefix}exclude`;
  if (exclude.length > 0 && internal) {
    throw new Error(
      `${option} cannot be combined with --internal, which allows only the subnet: leave one out`,
    );
  }
  if (exclude.length > 0 && killswitch === 'off') {
    throw new Error(
      `${option} cannot be combined with ${optionPrefix}killswitch=off, which leaves routes to Docker: leave one out`,
    );
  }
  if (subnets.some(({ pool }) => exclude.some((prefix) => covers(prefix, pool) || covers(pool, prefix)))) {
    throw new Error(
      `${option}: expected prefixes outside the network’s subnet, which always goes through the tunnel`,
    );
  }
}

/** What no container can have an address of: the engine would take it, and runc fail to start any. */
const unusable = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/4'].map(prefixOf);

/**
 * For a network that is being made. One that is there already is left alone.
 * @throws Error for a subnet whose addresses no container can have
 */
export function refuseUnusable({ subnets }: Network): void {
  const found = subnets.find(({ pool }) => unusable.some((prefix) => covers(prefix, pool)));
  if (found !== undefined) {
    throw new Error(
      `subnet ${formatPrefix(found.pool)}: no container can have a multicast, loopback or unspecified address; ` +
        'choose a private subnet, such as 192.168.5.0/24',
    );
  }
}

/** What the engine chooses subnets of where none is given (moby, daemon/libnetwork/ipamutils/utils.go). */
const defaultPools = [
  { pool: prefixOf('172.16.0.0/12'), length: 16 },
  { pool: prefixOf('192.168.0.0/16'), length: 20 },
];

/** Does a subnet look like one that the engine chose, because the network was made without `--subnet`? */
export function looksChosen({ pool }: Subnet): boolean {
  return defaultPools.some(({ pool: all, length }) => pool.length === length && covers(all, pool));
}

/** The subnet that an endpoint's address is in. */
export function subnetOfAddress(
  { subnets }: Pick<Network, 'subnets'>,
  { address }: Prefix,
): Subnet | undefined {
  return subnets.find(({ pool }) => covers(pool, hostPrefix(address)));
}

function ipv6SubnetOf(prefix: Prefix, { pool, gateway }: Subnet): Subnet {
  return { pool: ipv6PrefixOf(prefix, pool), gateway: ipv6PrefixOf(prefix, gateway) };
}

function subnetOf({ pool, gateway }: NetworkRecord['subnets'][number]): Subnet {
  const parsedPool = parsePrefix(pool);
  const parsedGateway = parsePrefix(gateway);
  if (parsedPool === undefined || parsedPool.length === 0 || parsedGateway === undefined) {
    throw new Error(
      'the network has no subnet and gateway, as with --ipam-driver null, but keys are derived from addresses and ' +
        'the gateway is the hub: create it with --subnet and the default --ipam-driver',
    );
  }
  if (parsedPool.address.kind() === 'ipv6' && !isUnicast(parsedPool)) {
    throw new Error(
      `subnet ${formatPrefix(parsedPool)}: expected unique local or global unicast addresses (fc00::/7 or 2000::/3)`,
    );
  }
  return { pool: parsedPool, gateway: parsedGateway };
}

/** All options of `docker network create -o`. */
export function genericOptions(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
