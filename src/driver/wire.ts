import { isDefaultRoute, type Route } from '../networks/routing.ts';
import type { JoinResponse } from '../plugin/api.ts';
import { type Family, formatPrefix } from '../wireguard/address.ts';

/** The routes of a container in libnetwork’s terms, as a part of the answer to Join: default routes are gateways there. */
export function joinRoutes(
  routes: readonly Route[],
): Pick<JoinResponse, 'Gateway' | 'GatewayIPv6' | 'StaticRoutes'> {
  const gatewayOf = (family: Family) =>
    routes
      .filter(isDefaultRoute)
      .find(({ gateway }) => gateway.kind() === family)
      ?.gateway.toString();
  const [gateway, gatewayIpv6] = [gatewayOf('ipv4'), gatewayOf('ipv6')];
  return {
    ...(gateway !== undefined && { Gateway: gateway }),
    ...(gatewayIpv6 !== undefined && { GatewayIPv6: gatewayIpv6 }),
    StaticRoutes: routes
      .filter((route) => !isDefaultRoute(route))
      .map(({ destination, gateway: nextHop }) => ({
        Destination: formatPrefix(destination),
        RouteType: nextHop === undefined ? 1 : 0,
        NextHop: nextHop?.toString() ?? '',
      })),
  };
}
