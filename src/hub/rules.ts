import type { Family } from '../netlink/family.ts';
import {
  destination,
  iifName,
  isEstablished,
  masquerade,
  notIifName,
  notOifName,
  oifName,
  type Statement,
  source,
  verdict,
} from '../netlink/nftables/statement.ts';
import type { Chain, TableName } from '../netlink/nftables/table.ts';
import { ipv6AddressOf } from '../networks/ipv6.ts';
import { covers, formatPrefix, type Prefix } from '../wireguard/address.ts';
import { clientPrefixes, type HubConfig, prefixesOf } from './config.ts';

/** linux/netfilter_ipv4.h: NF_IP_PRI_FILTER, NF_IP_PRI_NAT_SRC */
const filterPriority = 0;
const sourceNatPriority = 100;

export interface HubTable extends TableName {
  readonly chains: readonly (Chain & { readonly rules: readonly (readonly Statement[])[] })[];
}

/** The addresses of the hub's link, each with the length of its network. */
export function hubAddresses({ networks }: HubConfig): Prefix[] {
  return networks.flatMap(({ subnets, ipv6 }) =>
    subnets.flatMap(({ subnet, gateway }) => [
      { address: gateway, length: subnet.length },
      ...(ipv6 === undefined || gateway.kind() === 'ipv6'
        ? []
        : [{ address: ipv6AddressOf(ipv6, gateway), length: ipv6.length }]),
    ]),
  );
}

/** What else has to be routed to the link: its own networks the kernel knows from its addresses. */
export function hubRoutes(config: HubConfig): Prefix[] {
  const networks = config.networks.flatMap(prefixesOf);
  const wanted = config.clients
    .flatMap((client) => clientPrefixes(config.networks, client))
    .filter((prefix) => !networks.some((network) => covers(network, prefix)));
  return [...new Map(wanted.map((prefix) => [formatPrefix(prefix), prefix])).values()];
}

/** The families of all that a hub forwards for: of its networks, and of clients that are in none. */
export function hubFamilies(config: HubConfig): Family[] {
  return [...new Set([...hubAddresses(config), ...hubRoutes(config)].map(({ address }) => address.kind()))];
}

/** The table of nftables that a hub has to itself. Its name is of characters that nft(8) takes unquoted. */
export function hubTableName(linkName: string): TableName {
  return { family: 'inet', name: `wgdriver-hub-${linkName.replaceAll(/[^A-Za-z0-9_.-]/g, '_')}` };
}

/**
 * Who may open connections to what, and whose packets get the hub's own address. What it drops is dropped; what it lets
 * pass another table may still drop.
 */
export function hubTable(config: HubConfig): HubTable {
  const { interface: link, allow, clients } = config;
  const accepted = verdict('accept');
  const dropped = verdict('drop');
  const sources = clients.flatMap((client) => clientPrefixes(config.networks, client));
  const clientRules = sources.flatMap((prefix) => {
    const from = [iifName(link), source(prefix)];
    return allow.clients === undefined
      ? [[...from, accepted]]
      : [
          ...allow.clients
            .filter(({ address }) => address.kind() === prefix.address.kind())
            .map((open) => [...from, destination(open), accepted]),
          [...from, dropped],
        ];
  });
  return {
    ...hubTableName(link),
    chains: [
      {
        name: 'forward',
        type: 'filter',
        hook: 'forward',
        priority: filterPriority,
        policy: 'accept',
        rules: [
          [isEstablished, accepted],
          ...clientRules,
          ...(allow.containers ? [] : [[iifName(link), oifName(link), dropped]]),
          ...allow.outside.map((prefix) => [notIifName(link), oifName(link), source(prefix), accepted]),
          [notIifName(link), oifName(link), dropped],
        ],
      },
      {
        name: 'postrouting',
        type: 'nat',
        hook: 'postrouting',
        priority: sourceNatPriority,
        policy: 'accept',
        rules: [...config.networks.flatMap(prefixesOf), ...hubRoutes(config)]
          .filter(({ address }) => config.masquerade.includes(address.kind()))
          .map((prefix) => [notOifName(link), source(prefix), masquerade]),
      },
    ],
  };
}
