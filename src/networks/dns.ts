import { DNSServers } from '../plugin/netlabel.ts';
import { covers, hostPrefix, isPartOf, type Prefix, parseAddress } from '../wireguard/address.ts';
import { optionPrefix } from './options.ts';
import type { TrafficScope } from './scope.ts';

/** The servers that the engine is to ask for a container; none if it does not say. */
export function dnsServers(options: Readonly<Record<string, unknown>>): string[] {
  const servers = options[DNSServers];
  return Array.isArray(servers) ? servers.map(String) : [];
}

/**
 * Of excluded prefixes the tunnel carries what an allowed prefix takes out of them again, as in the kill switch’s rules.
 * @throws Error if the engine would ask DNS servers past the tunnel, or does not say whom it would ask
 */
export function refuseForeignDns(
  options: Readonly<Record<string, unknown>>,
  { prefixes, excluded }: Pick<TrafficScope, 'prefixes' | 'excluded'>,
): void {
  const servers = dnsServers(options);
  for (const server of servers) {
    const address = parseAddress(server);
    const holds = (prefix: Prefix) => address !== undefined && covers(prefix, hostPrefix(address));
    const allowing = prefixes.filter(holds);
    const cause =
      allowing.length === 0
        ? 'is not among the allowed IPs'
        : excluded.some(holds) && !allowing.some((prefix) => isPartOf(excluded, prefix))
          ? `is in what ${optionPrefix}exclude keeps out of the tunnel`
          : undefined;
    if (cause !== undefined) {
      throw new Error(
        `${optionPrefix}killswitch=strict: the DNS server ${server} ${cause}, so queries to it ` +
          `would leave past the tunnel; choose one that the tunnel reaches, with --dns (compose: \`dns:\`)`,
      );
    }
  }
  if (servers.length === 0) {
    throw new Error(
      `${optionPrefix}killswitch=strict: the container has no DNS servers of its own, and Docker may ask the ` +
        `host’s, past the tunnel; start the container on this network with --dns (compose: \`dns:\`). Docker does ` +
        'not tell the driver of them for a network that is connected later, or is --internal',
    );
  }
}
