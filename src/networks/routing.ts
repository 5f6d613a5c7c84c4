import type { StaticRoute } from '../plugin/api.ts';
import {
  coverEverything,
  covers,
  formatPrefix,
  masked,
  type Prefix,
  plus,
  prefixOf,
} from '../wireguard/address.ts';
import type { Network, Subnet } from './network.ts';

/** What the container routes into its tunnel, as a part of the answer to Join. */
export interface Routing {
  readonly Gateway?: string;
  readonly StaticRoutes: readonly StaticRoute[];
}

const everything = [prefixOf('0.0.0.0/0'), prefixOf('::/0')];

/** The hub's allowed IPs: from whom the tunnel takes packets, and for whom it has a way. */
export function allowedIps({ internal, options, subnets }: Network): readonly Prefix[] {
  const asked = internal ? [] : (options.allowedips ?? everything);
  // The subnet always: its other containers are reached through the hub.
  const missing = subnets
    .map(({ pool }) => masked(pool))
    .filter((pool) => !asked.some((prefix) => covers(prefix, pool)));
  return [...asked, ...missing];
}

/**
 * The routes of a container. Where the allowed IPs are everything, the default route by the gateway: a
 * connected default would not start beside a bridge on engines up to 27. Else one connected route for
 * each prefix that the address's own subnet does not hold, which is connected by itself.
 */
export function routing(network: Network, { pool, gateway }: Subnet): Routing {
  const prefixes = allowedIps(network).filter(({ address }) => address.kind() === 'ipv4');
  if (coverEverything(prefixes)) {
    return { Gateway: gateway.address.toString(), StaticRoutes: [] };
  }
  const destinations = prefixes
    .filter((prefix) => !covers(pool, prefix))
    .flatMap(fromOneOn)
    .map(formatPrefix);
  // Once each: a container with the same route twice does not start.
  return {
    StaticRoutes: [...new Set(destinations)].map((Destination) => ({
      Destination,
      RouteType: 1,
      NextHop: '',
    })),
  };
}

/**
 * Engines from 28 on drop a route that begins at 0.0.0.0 without a word, however long its prefix. So it goes in
 * parts, 64.0.0.0/2, 32.0.0.0/3 and so on, up to 0.0.0.0/8, which nobody sends to.
 */
function fromOneOn(prefix: Prefix): Prefix[] {
  const { address } = prefix;
  if (address.toString() !== '0.0.0.0') {
    return [prefix];
  }
  if (prefix.length >= 8) {
    return [];
  }
  const length = prefix.length + 1;
  const upperHalf = { address: plus(address, 1n << BigInt(32 - length)), length };
  return [upperHalf, ...fromOneOn({ address, length })];
}
