import {
  type Address,
  coverEverything,
  covers,
  formatPrefix,
  hostPrefix,
  type Prefix,
  plus,
  prefixOf,
} from '../wireguard/address.ts';
import type { NetworkOptions } from './options.ts';

const everythingOf = { ipv4: prefixOf('0.0.0.0/0'), ipv6: prefixOf('::/0') };

/** A route of a container into its tunnel. */
export interface Route {
  readonly destination: Prefix;
  /** Absent: the destination is on the link. */
  readonly gateway?: Address;
}

/** What the routes of a tunnel follow from: see Tunnel. */
interface RoutedTunnel {
  readonly addresses: readonly Prefix[];
  readonly gateways: readonly Address[];
  readonly peers: readonly { readonly allowedIps: readonly Prefix[] }[];
}

/**
 * The routes of a container, for each family that it has an address of. Where the allowed IPs are everything, the
 * default route by the gateway: a connected default would not start beside a bridge on engines up to 27. Where it is
 * less, or something is excluded, the kill switch has the routes in a table of its own, and the engine gets none but
 * the subnet's, which is connected by itself: a route that holds the subnet of a network that is connected later
 * would keep that from being connected. Without the kill switch, one connected route for each prefix. A shared tunnel is
 * behind its gateway, so there it is a route by that; and its IPv6 is the kill switch’s affair, so that ports can be
 * published on another network.
 * @returns those on the link first, by which gateways are reached
 */
export function routesOf(
  { addresses, gateways, peers }: RoutedTunnel,
  { killswitch, exclude = [] }: Pick<NetworkOptions, 'killswitch' | 'exclude'>,
  isShared = false,
): Route[] {
  const allowedIps = peers.flatMap((peer) => peer.allowedIps);
  const defaults: Route[] = [];
  // Once each: a container with the same route twice does not start.
  const others = new Map<string, Route>();
  for (const [index, own] of addresses.entries()) {
    const family = own.address.kind();
    const prefixes = allowedIps.filter(({ address }) => address.kind() === family);
    const gateway = gateways[index];
    // An IPv6 gateway would win over a bridge that publishes ports (engines up to 29.4), which then does so no more.
    const isLeft = isShared && family === 'ipv6' && killswitch !== 'off';
    const isDefault = exclude.length === 0 && coverEverything(prefixes) && !isLeft;
    // The engine refuses a gateway that it has no way to.
    if (gateway !== undefined && (isDefault || isShared) && !covers(own, hostPrefix(gateway))) {
      const destination = hostPrefix(gateway);
      others.set(formatPrefix(destination), { destination });
    }
    if (gateway !== undefined && isDefault) {
      defaults.push({ destination: everythingOf[family], gateway });
      continue;
    }
    if (killswitch !== 'off') {
      continue;
    }
    for (const destination of prefixes.filter((other) => !covers(own, other)).flatMap(acceptedParts)) {
      others.set(formatPrefix(destination), { destination, ...(isShared && gateway && { gateway }) });
    }
  }
  return [...others.values(), ...defaults];
}

/** Does the engine set a default route for each family of a tunnel's addresses? */
export function isDefaultRouted({
  addresses,
  routes,
}: {
  readonly addresses: readonly Prefix[];
  readonly routes: readonly Route[];
}): boolean {
  return addresses.every(({ address }) =>
    routes.some((route) => isDefaultRoute(route) && route.destination.address.kind() === address.kind()),
  );
}

/** Is it one that the engine is told by the gateway alone? */
export function isDefaultRoute(route: Route): route is Required<Route> {
  return route.destination.length === 0 && route.gateway !== undefined;
}

/**
 * Engines from 28 on drop a route that begins at 0.0.0.0 without a word, however long its prefix. So it goes in
 * parts, 64.0.0.0/2, 32.0.0.0/3 and so on, up to 0.0.0.0/8, which nobody sends to.
 */
function acceptedParts(prefix: Prefix): Prefix[] {
  const { address } = prefix;
  if (address.toString() !== '0.0.0.0') {
    return [prefix];
  }
  if (prefix.length >= 8) {
    return [];
  }
  const length = prefix.length + 1;
  const upperHalf = { address: plus(address, 1n << BigInt(32 - length)), length };
  return [upperHalf, ...acceptedParts({ address, length })];
}
