import { type Network, networkOf, recordOf } from '../../src/networks/network.ts';
import { optionPrefix } from '../../src/networks/options.ts';
import type { CreateNetworkRequest } from '../../src/plugin/api.ts';

export const seedText = 'dGVzdHNlZWQK';
export const peerKeyText = '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=';

/** The options of the article, by their names less the prefix. */
export const articleOptions = {
  peer: '192.0.2.1:51820',
  peerkey: peerKeyText,
  seed: seedText,
  additional: 'dGVzdGFkZGl0aW9uYWwK',
};

interface Setting {
  readonly id?: string;
  readonly subnets?: readonly (readonly [pool: string, gateway: string])[];
  readonly internal?: boolean;
  readonly options?: Readonly<Record<string, unknown>>;
}

/** What the engine asks of CreateNetwork, for the article's network unless told otherwise. */
export function createNetworkRequest({
  id = 'network',
  subnets = [['192.168.5.0/24', '192.168.5.1/24']],
  internal = false,
  options = articleOptions,
}: Setting = {}): CreateNetworkRequest {
  const generic = Object.entries(options).map(([name, value]) => [optionPrefix + name, value]);
  return {
    NetworkID: id,
    Options: {
      'com.docker.network.enable_ipv6': false,
      ...(internal ? { 'com.docker.network.internal': true } : {}),
      'com.docker.network.generic': Object.fromEntries(generic),
    },
    IPv4Data: subnets.map(([Pool, Gateway]) => ({ AddressSpace: 'LocalDefault', Pool, Gateway })),
    IPv6Data: [],
  };
}

export function network(setting: Setting = {}): Network {
  return networkOf(recordOf(createNetworkRequest(setting)));
}
