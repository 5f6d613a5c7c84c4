import { formatPrefix } from '../wireguard/address.ts';
import type { HubConfig } from './config.ts';
import type { HostRoute, HubHost } from './host.ts';
import { hubRoutes } from './rules.ts';

/** Of a route that is added without one. */
const ownMetric = { ipv4: 0, ipv6: 1024 } as const;

/**
 * What keeps a hub from the routes that its link lacks: the host has them already, by another link. One with the same metric
 * would have to be replaced, and one with a smaller metric would be used instead.
 * @returns by the destination of each, as formatPrefix has it, whose it is and what to do
 */
export async function takenRoutes(host: HubHost, config: HubConfig): Promise<ReadonlyMap<string, string>> {
  const { interface: name } = config;
  const isThere = (await host.link(name)) !== undefined;
  const own = new Set(isThere ? (await host.routes(name)).map(formatPrefix) : []);
  const missing = new Map(
    hubRoutes(config)
      .map((prefix) => [formatPrefix(prefix), ownMetric[prefix.address.kind()]] as const)
      .filter(([text]) => !own.has(text)),
  );
  if (missing.size === 0) {
    return new Map();
  }
  const taking = (await host.otherRoutes(name)).filter(
    ({ destination, metric }) => metric <= (missing.get(formatPrefix(destination)) ?? -1),
  );
  return new Map(
    taking.map((route) => {
      const destination = formatPrefix(route.destination);
      const text = textOf(route);
      return [
        destination,
        `route to ${destination} cannot lead to link ${name}: this host has a route of its own (${text}), which the hub ` +
          `does not replace; remove ${destination} from the client in the hub’s file, or delete the host’s route by ` +
          `\`ip route delete ${text}\``,
      ];
    }),
  );
}

/** As ip(8) has it. */
function textOf({ destination, metric, gateway, link }: HostRoute): string {
  return [
    formatPrefix(destination),
    ...(gateway === undefined ? [] : ['via', gateway]),
    ...(link === undefined ? [] : ['dev', link]),
    ...(metric === 0 ? [] : ['metric', String(metric)]),
  ].join(' ');
}
