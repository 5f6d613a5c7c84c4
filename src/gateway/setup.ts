/**
 * What is in the namespace of a tunnel that several containers share, as input of sh(1), ip(8) and nft(8). The tunnel’s
 * link is there, and for each container a veth: all that containers send is routed here, and leads to another container
 * or into the tunnel, as nothing else is there.
 *
 * Containers are on links of their own rather than at a bridge. They have one subnet by proxy ARP, and no frame of one
 * reaches another: no spoofed ARP or neighbour advertisement, no router advertisement and no redirect.
 */
import { type Address, type Family, formatPrefix, hostPrefix, type Prefix } from '../wireguard/address.ts';

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
  /** The servers that are asked what containers ask the gateway, by its address of their family, in their order. */
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

/** What a container has of its link. */
export interface Inside {
  /** How the link’s name begins. */
  readonly linkPrefix: string;
  readonly addresses: readonly Prefix[];
  /** In the order in which they can be made. Without a gateway the destination is on the link. */
  readonly routes: readonly { readonly destination: Prefix; readonly gateway?: Address }[];
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

/** What has a way into the tunnel: only families that it has an address of. */
export function routedPrefixes({ addresses, prefixes }: Gateway): readonly Prefix[] {
  return prefixes.filter((prefix) =>
    addresses.some(({ address }) => address.kind() === prefix.address.kind()),
  );
}

/** Lines for `ip -batch` in the namespace, where the tunnel’s link is. What is there already is no error. */
export function gatewayLines(gateway: Gateway): string[] {
  const { link, addresses, pools } = gateway;
  return [
    'link set dev lo up',
    ...addresses.map(
      (address) => `address replace ${formatPrefix(address)} dev ${link}${withoutDad(address)}`,
    ),
    `link set dev ${link} up`,
    // Addresses of the subnet that no container has do not go into the tunnel.
    ...pools.map((pool) => `route replace unreachable ${formatPrefix(pool)}`),
    ...routedPrefixes(gateway).map((prefix) => `route replace ${formatPrefix(prefix)} dev ${link}`),
  ];
}

/** For `nft -f`. The table comes in the place of the one before, in one step. */
export function gatewayTable({ link, addresses, gateways, dns, hasIcc }: Gateway): string {
  const hasFamily = (family: Family) => addresses.some(({ address }) => address.kind() === family);
  const servers = (['ipv4', 'ipv6'] as const).flatMap((family) => {
    const gateway = gateways.find((address) => address.kind() === family);
    const own = dns.filter((address) => address.kind() === family && hasFamily(family));
    return gateway === undefined
      ? []
      : own.map((server, index) => ({
          ip: family === 'ipv4' ? 'ip' : 'ip6',
          gateway: gateway.toString(),
          server: server.toString(),
          id: `${family}_${index}`,
          next: index + 1 < own.length ? `${family}_${index + 1}` : undefined,
        }));
  });
  const redirections = servers
    .filter(({ id }) => id.endsWith('_0'))
    .map(
      ({ ip, gateway, id }) =>
        `iifname != "${link}" ${ip} daddr ${gateway} meta l4proto { tcp, udp } th dport 53 jump ask_${id}`,
    );
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
        ...servers.flatMap(({ ip, server, id, next }) =>
          next === undefined
            ? []
            : ['asked', 'waiting'].map(
                (set) =>
                  `iifname "${link}" ${ip} saddr ${server} meta l4proto { tcp, udp } th sport 53 delete @${set}_${id} { th sport }`,
              ),
        ),
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
    ...servers.toReversed().flatMap(askingLines),
    ...text,
    '}',
    '',
  ].join('\n');
}

/**
 * A server is asked unless it has been silent: a query that it was sent is two seconds old, and no answer has come since.
 * Then the next one is, for half a minute, as the resolvers of programs do. Of one server the sets hold the port, or
 * nothing; `asked` is added by the first query, and goes with an answer.
 */
function askingLines({
  ip,
  server,
  id,
  next,
}: {
  readonly ip: string;
  readonly server: string;
  readonly id: string;
  readonly next: string | undefined;
}): string[] {
  const set = (name: string) => `set ${name}_${id} { type inet_service; flags dynamic,timeout; size 16; }`;
  return [
    ...(next === undefined ? [] : [set('asked'), set('waiting')]),
    `chain ask_${id} {`,
    ...(next === undefined
      ? []
      : [
          `th dport @asked_${id} th dport != @waiting_${id} goto ask_${next}`,
          `th dport != @asked_${id} add @waiting_${id} { th dport timeout 2s }`,
          `add @asked_${id} { th dport timeout 30s }`,
        ]),
    `dnat ${ip} to ${server}`,
    '}',
  ];
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

/**
 * For sh(1) on the host, with the container’s namespace as $1: gives a running container its link anew, up, with
 * addresses and routes, as the engine gives it to one that starts. One program does all of it, which a kill of the driver
 * does not stop; what fails leaves nothing.
 */
export function reattachScript(port: Port, pid: number, alias: string, inside: Inside): string {
  const { name } = port;
  const { linkPrefix, addresses, routes } = inside;
  const ipOf = (prefix: Prefix) => `ip ${prefix.address.kind() === 'ipv4' ? '-4' : '-6'}`;
  const hasIpv6 = addresses.some(({ address }) => address.kind() === 'ipv6');
  const [create, ...more] = portLines(port, pid, alias);
  // The engine takes the first number that is free, too.
  const inContainer = [
    'set -e; n=0',
    `while ip link show dev ${linkPrefix}$n >/dev/null 2>&1; do n=$((n + 1)); done`,
    `link=${linkPrefix}$n; ip link set dev ${name} name $link`,
    `f=/proc/sys/net/ipv6/conf/$link/disable_ipv6; [ ! -e $f ] || echo ${hasIpv6 ? 0 : 1} >$f`,
    ...addresses.map((address) => `ip address add ${formatPrefix(address)} dev $link${withoutDad(address)}`),
    'ip link set dev $link up',
    ...routes.map(({ destination, gateway }) => {
      const add = `${ipOf(destination)} route add ${formatPrefix(destination)}${gateway ? ` via ${gateway.toString()}` : ''} dev $link`;
      // Another network’s may be there, as the engine has chosen.
      return destination.length === 0 ? `[ -n "$(${ipOf(destination)} route show default)" ] || ${add}` : add;
    }),
  ].join('\n');
  const batch = (lines: readonly string[]) => `ip -batch - <<'END'\n${lines.join('\n')}\nEND`;
  return [
    'set -e',
    `ip ${create}`,
    `trap 'nsenter --net=/proc/${pid}/ns/net ip link delete dev ${name}' EXIT`,
    ...more.map((line) => `ip ${line}`),
    `nsenter --net=/proc/${pid}/ns/net ${batch(portGatewayLines(port))}`,
    `ip link set dev ${name} netns "$1"`,
    `nsenter --net="$1" sh <<'END'\n${inContainer}\nEND`,
    'trap - EXIT',
  ].join('\n');
}

/** An address that is being looked for elsewhere (duplicate address detection) cannot be used for a second. */
function withoutDad({ address }: Prefix): string {
  return address.kind() === 'ipv6' ? ' nodad' : '';
}
