import { type Address, everything, type Family, type Prefix } from '../wireguard/address.ts';
import { coverage, coverFamily } from '../wireguard/coverage.ts';
import type { Network } from './network.ts';
import { allowedIpsOf, peersOf, type TunnelPeer, type TunnelSecrets } from './tunnel.ts';

/** What a network's tunnels are for, and what may not leave by another link. */
export interface TrafficScope {
  /** What leaves by the tunnel alone. */
  readonly prefixes: readonly Prefix[];
  /** What may leave by another link all the same, and not by the tunnel. */
  readonly excluded: readonly Prefix[];
  /** Families of which nothing else leaves by another link. */
  readonly closed: readonly Family[];
  /** Of a tunnel that is not on the container's own link but behind it: where it is, for each family. */
  readonly via?: readonly Address[];
}

const families: readonly Family[] = ['ipv4', 'ipv6'];

/** @throws Error if there is nothing that it could be for: then nothing would be kept in the tunnel */
export function scopeOf(network: Network, secrets: Pick<TunnelSecrets, 'configuration'>): TrafficScope {
  return scopeOfPeers(network, peersOf(network, secrets));
}

/** The same with the peers that a link has, which need not be those of the network’s file any more. */
export function scopeOfPeers(
  network: Network,
  peers: readonly Pick<TunnelPeer, 'allowedIps'>[],
): TrafficScope {
  const {
    internal,
    options: { conffile, allowedips, exclude = [] },
  } = network;
  const prefixes = allowedIpsOf({ peers });
  if (prefixes.length === 0) {
    throw new Error('no peer has AllowedIPs, so nothing would be kept in the tunnel');
  }
  return {
    // Other containers' IPv6 addresses are behind the gateway of a shared tunnel, too.
    prefixes: network.isShared ? [...prefixes, ...network.subnets.map(({ pool }) => pool)] : prefixes,
    ...(network.isShared && { via: network.subnets.map(({ gateway }) => gateway.address) }),
    excluded: exclude,
    closed: internal ? [] : closedFamilies(conffile === undefined ? (allowedips ?? everything) : prefixes),
  };
}

/** Is IPv6 closed for want of a single prefix of it among the allowed IPs? */
export function isIpv6Implied(network: Network, secrets: Pick<TunnelSecrets, 'configuration'>): boolean {
  return scopeOf(network, secrets).closed.join() === 'ipv6';
}

/**
 * All of a family closes both. More than half of IPv4 and nothing of IPv6 is everything but something, as people
 * write it who think of IPv4 alone, and closes IPv6.
 */
export function closedFamilies(asked: readonly Prefix[]): readonly Family[] {
  if (families.some((family) => coverFamily(asked, family))) {
    return families;
  }
  const isOfIpv4 = asked.every(({ address }) => address.kind() === 'ipv4');
  return isOfIpv4 && coverage(asked, 'ipv4') > 1n << 31n ? ['ipv6'] : [];
}
