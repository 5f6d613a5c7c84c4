import type { StaticRoute } from '../plugin/api.ts';
import {
  type Address,
  coverEverything,
  covers,
  formatPrefix,
  hostPrefix,
  type Prefix,
  parseAddress,
  plus,
  prefixOf,
} from '../wireguard/address.ts';
import type { NetworkOptions } from './options.ts';
import { allowedIpsOf, type Tunnel } from './tunnel.ts';

/** What the container routes into its tunnel, as a part of the answer to Join. */
export interface Routing {
  readonly Gateway?: string;
  readonly GatewayIPv6?: string;
  readonly StaticRoutes: readonly StaticRoute[];
}

/**
 * The routes of a container, for each family that it has an address of. Where the allowed IPs are everything, the
 * default route by the gateway: a connected default would not start beside a bridge on engines up to 27. Where it is
 * less, or something is excluded, the kill switch has the routes in a table of its own, and the engine gets none but
 * the subnet's, which is connected by itself: a route that holds the subnet of a network that is connected later
 * would keep that from being connected. Without the kill switch, one connected route for each prefix. A shared tunnel is
 * behind its gateway, so there it is a route by that; and its IPv6 is the kill switch’s affair, so that ports can be
 * published on another network.
 */
export function routing(
  tunnel: Pick<Tunnel, 'addresses' | 'gateways' | 'peers'>,
  { killswitch, exclude = [] }: Pick<NetworkOptions, 'killswitch' | 'exclude'>,
  isShared = false,
): Routing {
  const gateways: { Gateway?: string; GatewayIPv6?: string } = {};
  // Once each: a container with the same route twice does not start.
  const nextHops = new Map<string, string>();
  for (const [index, own] of tunnel.addresses.entries()) {
    const family = own.address.kind();
    const prefixes = allowedIpsOf(tunnel).filter(({ address }) => address.kind() === family);
    const gateway = tunnel.gateways[index];
    // An IPv6 gateway would win over a bridge that publishes ports (engines up to 29.4), which then does so no more.
    const isLeft = isShared && family === 'ipv6' && killswitch !== 'off';
    const isDefault = exclude.length === 0 && coverEverything(prefixes) && !isLeft;
    // The engine refuses a gateway that it has no way to.
    if (gateway !== undefined && (isDefault || isShared) && !covers(own, hostPrefix(gateway))) {
      nextHops.set(formatPrefix(hostPrefix(gateway)), '');
    }
    if (gateway !== undefined && isDefault) {
      gateways[family === 'ipv4' ? 'Gateway' : 'GatewayIPv6'] = gateway.toString();
      continue;
    }
    if (killswitch !== 'off') {
      continue;
    }
    for (const prefix of prefixes.filter((other) => !covers(own, other)).flatMap(acceptedParts)) {
      nextHops.set(formatPrefix(prefix), isShared ? (gateway?.toString() ?? '') : '');
    }
  }
  return {
    ...gateways,
    StaticRoutes: [...nextHops].map(([Destination, NextHop]) => ({
      Destination,
      RouteType: NextHop === '' ? 1 : 0,
      NextHop,
    })),
  };
}

/** The routes that the engine makes of the answer, those on the link first, by which gateways are reached. */
export function routesOf({
  Gateway,
  GatewayIPv6,
  StaticRoutes,
}: Routing): { readonly destination: Prefix; readonly gateway?: Address }[] {
  const given = [
    ...StaticRoutes.map(({ Destination, NextHop }) => ({ to: Destination, by: NextHop })),
    ...(Gateway === undefined ? [] : [{ to: '0.0.0.0/0', by: Gateway }]),
    ...(GatewayIPv6 === undefined ? [] : [{ to: '::/0', by: GatewayIPv6 }]),
  ];
  return given.map(({ to, by }) => {
    const gateway = parseAddress(by);
    return { destination: prefixOf(to), ...(gateway && { gateway }) };
  });
}

/** Does the engine set a default route for each family of the tunnel's addresses? */
export function isDefaultRouted(...[tunnel, options]: Parameters<typeof routing>): boolean {
  const { Gateway, GatewayIPv6 } = routing(tunnel, options);
  return tunnel.addresses.every(
    ({ address }) => (address.kind() === 'ipv4' ? Gateway : GatewayIPv6) !== undefined,
  );
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
