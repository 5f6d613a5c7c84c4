/**
 * What is in the namespace of a tunnel that several containers share, as input of sh(1), ip(8) and nft(8). The tunnel’s
 * link is there, and for each container a veth: all that containers send is routed here, and leads to another container
 * or into the tunnel, as nothing else is there.
 *
 * Containers are on links of their own rather than at a bridge. They have one subnet by proxy ARP, and no frame of one
 * reaches another: no spoofed ARP or neighbour advertisement, no router advertisement and no redirect.
 */
import { type Address, formatPrefix, hostPrefix, type Prefix } from '../wireguard/address.ts';

type Family = 'ipv4' | 'ipv6';

/** A gateway between containers and the tunnel that they share. Of families that the kernel lacks nothing is asked. */
export interface Gateway {
  /** The tunnel’s link, by the name that it has on the host, too. */
  readonly link: string;
  /** The link’s own, each for itself. */
  readonly addresses: readonly Prefix[];
  /** What the tunnel is for. */
  readonly prefixes: readonly Prefix[];
  /** What containers have addresses of. */
  readonly pools: readonly Prefix[];
  /** The gateway’s addresses, one of each family, as containers know it. */
  readonly gateways: readonly Address[];
  /** The servers that are asked what containers ask the gateway; of each family the first counts. */
  readonly dns: readonly Address[];
  /** Do containers reach one another? */
  readonly hasIcc: boolean;
}

/** A container’s link, and its end in the gateway’s namespace. */
export interface Port {
  /** Of both ends. */
  readonly name: string;
  readonly mtu: number;
  /** The container’s. */
  readonly addresses: readonly Address[];
  /** The gateway’s. */
  readonly gateways: readonly Address[];
}

/**
 * Links that come later take what `default` has, and the host’s own settings are in a new namespace to begin with. The
 * first one resets some of the others.
 */
const settings: readonly (readonly [file: string, value: number])[] = [
  ['ipv4/ip_forward', 1],
  ['ipv4/conf/all/proxy_arp', 1],
  ...(['all', 'default'] as const).flatMap(
    (scope) =>
      [
        [`ipv4/conf/${scope}/rp_filter`, 1],
        [`ipv4/conf/${scope}/arp_ignore`, 0],
        [`ipv4/conf/${scope}/arp_filter`, 0],
        [`ipv4/conf/${scope}/accept_redirects`, 0],
        [`ipv4/conf/${scope}/send_redirects`, 0],
        [`ipv6/conf/${scope}/accept_ra`, 0],
        [`ipv6/conf/${scope}/accept_redirects`, 0],
      ] as const,
  ),
  ['ipv6/conf/all/forwarding', 1],
];

/** A script for sh(1) in the namespace; it ends with the first command that fails. */
export function settingsScript(): string {
  return [
    'set -e',
    ...settings.map(([file, value]) => {
      const path = `/proc/sys/net/${file}`;
      return file.startsWith('ipv6/')
        ? `[ ! -e ${path} ] || echo ${value} >${path}`
        : `echo ${value} >${path}`;
    }),
  ].join('\n');
}

/** Lines for `ip -batch` in the namespace, where the tunnel’s link is. What is there already is no error. */
export function gatewayLines({ link, addresses, prefixes, pools }: Gateway): string[] {
  return [
    'link set dev lo up',
    ...addresses.map(
      (address) => `address replace ${formatPrefix(address)} dev ${link}${withoutDad(address)}`,
    ),
    `link set dev ${link} up`,
    // Addresses of the subnet that no container has do not go into the tunnel.
    ...pools.map((pool) => `route replace unreachable ${formatPrefix(pool)}`),
    ...prefixes
      .filter((prefix) => addresses.some(({ address }) => address.kind() === prefix.address.kind()))
      .map((prefix) => `route replace ${formatPrefix(prefix)} dev ${link}`),
  ];
}

/** For `nft -f`. The table comes in the place of the one before, in one step. */
export function gatewayTable({ link, addresses, gateways, dns, hasIcc }: Gateway): string {
  const hasFamily = (family: Family) => addresses.some(({ address }) => address.kind() === family);
  const redirections = (['ipv4', 'ipv6'] as const).flatMap((family) => {
    const server = dns.find((address) => address.kind() === family && hasFamily(family));
    const gateway = gateways.find((address) => address.kind() === family);
    const ip = family === 'ipv4' ? 'ip' : 'ip6';
    return server === undefined || gateway === undefined
      ? []
      : [
          `iifname != "${link}" ${ip} daddr ${gateway.toString()} meta l4proto { tcp, udp } th dport 53 ` +
            `dnat ${ip} to ${server.toString()}`,
        ];
  });
  const chains = [
    // A container sends from its own addresses, and nobody behind the tunnel from a container’s.
    ['type filter hook prerouting priority -300; policy accept', ['fib saddr . iif oif missing drop']],
    [
      'type filter hook input priority 0; policy drop',
      [
        'ct state established,related accept',
        `iifname != "${link}" icmp type echo-request accept`,
        `iifname != "${link}" icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert } accept`,
      ],
    ],
    [
      'type filter hook forward priority 0; policy drop',
      [
        'icmp type redirect drop',
        'icmpv6 type { nd-redirect, nd-router-advert } drop',
        // The way to the hub may carry less than containers’ links, as with an MTU that follows it.
        `oifname "${link}" tcp flags syn tcp option maxseg size set rt mtu`,
        'ct state established,related accept',
        `iifname != "${link}" oifname "${link}" accept`,
        ...(hasIcc ? [`iifname != "${link}" oifname != "${link}" accept`] : []),
      ],
    ],
    ['type nat hook prerouting priority -100; policy accept', redirections],
    ['type nat hook postrouting priority 100; policy accept', [`oifname "${link}" masquerade`]],
  ] as const;
  const text = chains.flatMap(([hook, rules], index) => [`chain c${index} {`, `${hook};`, ...rules, '}']);
  return [
    'table inet wgdriver {',
    '}',
    'delete table inet wgdriver',
    'table inet wgdriver {',
    ...text,
    '}',
    '',
  ].join('\n');
}

/** Lines for `ip -batch` on the host that make a container’s link, down, with its other end in the gateway’s namespace. */
export function portLines({ name, mtu }: Port, pid: number, alias: string): string[] {
  return [
    `link add dev ${name} mtu ${mtu} type veth peer name ${name} mtu ${mtu} netns ${pid}`,
    `link set dev ${name} alias ${alias}`,
  ];
}

/** Lines for `ip -batch` in the gateway’s namespace that bring a container’s traffic there. */
export function portGatewayLines({ name, addresses, gateways }: Port): string[] {
  const families = new Set(addresses.map((address) => address.kind()));
  const own = gateways.filter((address) => families.has(address.kind())).map(hostPrefix);
  return [
    `link set dev ${name} up`,
    // Or the kernel waits up to 0.8 s before it answers for another container.
    `ntable change name arp_cache dev ${name} proxy_delay 0`,
    ...own.map((gateway) => `address replace ${formatPrefix(gateway)} dev ${name}${withoutDad(gateway)}`),
    ...addresses.map((address) => `route replace ${formatPrefix(hostPrefix(address))} dev ${name}`),
  ];
}

/** An address that is being looked for elsewhere (duplicate address detection) cannot be used for a second. */
function withoutDad({ address }: Prefix): string {
  return address.kind() === 'ipv6' ? ' nodad' : '';
}
