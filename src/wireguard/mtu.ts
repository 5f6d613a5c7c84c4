import type { Prefix } from './address.ts';

/** How outer packets leave this host for a hub. */
export interface Uplink {
  /** The largest packet that the route takes, in bytes; of a route that does not say, its link's. */
  readonly mtu: number;
  /** The hub is this host itself. */
  readonly isLocal: boolean;
  /** The hub is a neighbour on the link: no router is in between, whose links may carry less. */
  readonly isOnLink: boolean;
}

/** IPv6 and UDP headers, and what WireGuard adds: the worst case, as wg-quick(8) has it. A hub may have both families. */
const overhead = 80;

/** What the Internet carries, whatever the first link can. */
const internetMtu = 1500;

/** RFC 8200 section 5: IPv6 needs as much. */
export const minIpv6Mtu = 1280;

/**
 * Why a link with this MTU cannot have addresses or routes of these prefixes; undefined if it can. With less than IPv6
 * needs, the kernel takes IPv6 from the link without a word.
 */
export function smallMtuFault(mtu: number, prefixes: readonly Prefix[]): string | undefined {
  return mtu < minIpv6Mtu && prefixes.some(({ address }) => address.kind() === 'ipv6')
    ? `expected at least ${minIpv6Mtu} with IPv6 addresses (RFC 8200)`
    : undefined;
}

/** The MTU of a tunnel whose outer packets leave by these ways; undefined if there is none. */
export function mtuOver(uplinks: readonly Uplink[]): number | undefined {
  if (uplinks.length === 0) {
    return undefined;
  }
  const outer = uplinks.map(({ mtu, isLocal, isOnLink }) =>
    isLocal ? internetMtu : isOnLink ? mtu : Math.min(mtu, internetMtu),
  );
  return Math.max(minIpv6Mtu, Math.min(...outer) - overhead);
}
