import { DNSServers } from '../plugin/netlabel.ts';
import { covers, hostPrefix, type Prefix, parseAddress } from '../wireguard/address.ts';
import { optionPrefix } from './options.ts';

/** The servers that the engine is to ask for a container; none if it does not say. */
export function dnsServers(options: Readonly<Record<string, unknown>>): string[] {
  const servers = options[DNSServers];
  return Array.isArray(servers) ? servers.map(String) : [];
}

/** @throws Error if the engine would ask DNS servers past the tunnel, or does not say whom it would ask */
export function refuseForeignDns(
  options: Readonly<Record<string, unknown>>,
  prefixes: readonly Prefix[],
): void {
  const servers = dnsServers(options);
  const foreign = servers.find((server) => {
    const address = parseAddress(server);
    return address === undefined || !prefixes.some((prefix) => covers(prefix, hostPrefix(address)));
  });
  if (foreign !== undefined) {
    throw new Error(
      `${optionPrefix}killswitch=strict: the DNS server ${foreign} is not among the allowed IPs, so queries to it ` +
        `would leave past the tunnel; choose one that is, with --dns (compose: \`dns:\`)`,
    );
  }
  if (servers.length === 0) {
    throw new Error(
      `${optionPrefix}killswitch=strict: the container has no DNS servers of its own, and Docker may ask the ` +
        `host’s, past the tunnel; start the container on this network with --dns (compose: \`dns:\`). Docker does ` +
        'not tell the driver of them for a network that is connected later, or is --internal',
    );
  }
}
