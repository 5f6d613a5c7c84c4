import type { Family } from '../netlink/family.ts';
import {
  destination,
  destinationIn,
  hasConnectionMark,
  hasConnectionMarkBits,
  hasMark,
  hasMarkBits,
  icmpType,
  icmpv6Type,
  iif,
  isArp,
  isIcmpv6,
  isNewConnection,
  isReply,
  isRouted,
  notOif,
  oif,
  oifNamed,
  type Statement,
  setConnectionMark,
  setMark,
  setMarkOfConnection,
  verdict,
} from '../netlink/nftables/statement.ts';
import type { AddressSet, Chain, TableName } from '../netlink/nftables/table.ts';
import type { LinkAddress } from '../netlink/route/address.ts';
import type { Link } from '../netlink/route/link.ts';
import { RT_TABLE_MAIN } from '../netlink/route/route.ts';
import type { Rule } from '../netlink/route/rule.ts';
import { type Address, covers, formatPrefix, isPartOf, type Prefix, prefixOf } from '../wireguard/address.ts';
import { coverFamily, merged } from '../wireguard/coverage.ts';
import { usualOwner } from '../wireguard/link-alias.ts';
import { containerLinkPrefix } from '../wireguard/link-name.ts';
import { families } from './families.ts';

/** A link of a container's namespace. */
export type ContainerLink = Pick<Link, 'index' | 'name' | 'alias' | 'isUp'> & {
  readonly kind?: string | undefined;
  /** A tunnel that was made in this namespace, so that its outer packets leave from here and are judged again. */
  readonly isInner?: boolean;
};

/** A default route of the main table, with one next hop. */
export interface DefaultRoute {
  readonly family: Family;
  readonly oif: number;
  readonly gateway: Address | undefined;
}

/** What is in a container's namespace, as far as the protection depends on it. */
export interface ContainerNetwork {
  readonly links: readonly ContainerLink[];
  readonly addresses: readonly LinkAddress[];
  /** Those of router advertisements left out. */
  readonly defaultRoutes: readonly DefaultRoute[];
  /** What a protection has put there: see isProtectionTable and isProtectionRule. */
  readonly routes: readonly ProtectionRoute[];
  readonly rules: readonly Rule[];
}

/** What a tunnel is for. */
export interface TunnelScope {
  /** What may leave by it alone, connected networks excepted. */
  readonly prefixes: readonly Prefix[];
  /** What does not go into it, and may leave by another link. */
  readonly excluded: readonly Prefix[];
  /** The families of which nothing else leaves by another link, connected networks excepted. */
  readonly closed: readonly Family[];
  /** The routers that the tunnel's link leads to, one of each family. Absent: the link is the tunnel itself. */
  readonly via?: readonly Address[];
}

/** A tunnel that a container has or is about to get. */
export interface ProtectedTunnel extends TunnelScope {
  /** Is this its link? */
  readonly isLink: (link: Pick<ContainerLink, 'alias'>) => boolean;
  /**
   * The number of its link, which it keeps when it is moved; if that is known before it comes, and the engine has the
   * default routes of the link's families.
   */
  readonly linkIndex?: number | undefined;
  /** Its link goes or has gone, and does not count; what it was for stays closed. */
  readonly isLeaving: boolean;
  /** The prefixes once each, by their texts: made once, lists have thousands. */
  readonly byText: ReadonlyMap<string, Prefix>;
  /** The prefixes of each family as a set, unless there are none. */
  readonly ranges: readonly Pick<AddressSet, 'family' | 'ranges'>[];
}

export function tunnelOf(
  isLink: ProtectedTunnel['isLink'],
  scope: TunnelScope,
  linkIndex?: number,
): ProtectedTunnel {
  return {
    ...scope,
    isLink,
    linkIndex,
    isLeaving: false,
    byText: new Map(scope.prefixes.map((prefix) => [formatPrefix(prefix), prefix])),
    ranges: families
      .map((family) => ({ family, ranges: merged(scope.prefixes, family) }))
      .filter(({ ranges }) => ranges.length > 0),
  };
}

/** A route of a protection, in a table of its own. */
export interface ProtectionRoute {
  readonly table: number;
  readonly destination: Prefix;
  /** Of the link that leads there. Without it the destination is unreachable, or left to the rules behind. */
  readonly oif: number | undefined;
  readonly isThrow?: boolean;
  readonly gateway?: Address | undefined;
  /** The gateway is on the link, whether or not there is a route to it yet. */
  readonly isOnLink?: boolean;
  readonly metric: number;
}

export interface ProtectionTable extends Pick<TableName, 'family'> {
  readonly sets: readonly AddressSet[];
  readonly chains: readonly (Chain & { readonly rules: readonly (readonly Statement[])[] })[];
}

/** What keeps a container's traffic in its tunnels. */
export interface Protection {
  readonly filter: ProtectionTable;
  /** For frames that a process writes itself, which pass by the other one. */
  readonly frameFilter: ProtectionTable;
  readonly routes: readonly ProtectionRoute[];
  /** In the order in which they are asked. */
  readonly rules: readonly Rule[];
  /** The one tunnel that it is for, if nothing that happens to the tunnel's link makes it another. */
  readonly lone?: LoneTunnel | undefined;
}

/** A tunnel whose link is all that its container has beside the loopback, or will be. */
interface LoneTunnel {
  readonly isLink: ProtectedTunnel['isLink'];
  readonly linkIndex: number;
}

/** Something new of a link of a container's namespace, or of one of its addresses or default routes. */
export interface News {
  /** Undefined if it is of no link, or of several. */
  readonly index: number | undefined;
  /** The link as it is now; undefined if it has gone; absent if the news is of an address or a route. */
  readonly link?: Pick<ContainerLink, 'name' | 'alias'> | undefined;
}

/** May a protection have to become another one? Of what the engine does with the link that it was made for it need not. */
export function concerns(news: News, { lone }: Protection): boolean {
  const { index, link } = news;
  if (lone === undefined || ('link' in news && link === undefined)) {
    return true;
  }
  const isLoopback = index === loopbackIndex && (link === undefined || link.name === 'lo');
  const isOurs =
    index === lone.linkIndex && (link === undefined || (lone.isLink(link) && hasContainerLinkName(link)));
  return !isLoopback && !isOurs;
}

/**
 * The tunnel of a container that has one, and nothing else to send by. Where the engine has the default routes, they lead
 * into the tunnel or nowhere, and the filter is enough. Where there are rules of a protection, there was more, and they
 * stay.
 */
export function loneTunnel(
  { links, rules }: Pick<ContainerNetwork, 'links' | 'rules'>,
  tunnels: readonly ProtectedTunnel[],
): LoneTunnel | undefined {
  const [tunnel, ...more] = tunnels;
  if (tunnel?.linkIndex === undefined || more.length > 0) {
    return undefined;
  }
  const { isLink, linkIndex, closed } = tunnel;
  const isAlone =
    closed.length === families.length &&
    rules.length === 0 &&
    links.every((link) => link.name === 'lo' || isLink(link)) &&
    links.filter(isLink).length <= 1;
  return isAlone ? { isLink, linkIndex } : undefined;
}

/** The first link of every namespace (LOOPBACK_IFINDEX). */
const loopbackIndex = 1;

function hasContainerLinkName({ name }: Pick<ContainerLink, 'name'>): boolean {
  return name.startsWith(containerLinkPrefix);
}

/** Do both have the same tables? What a set holds is made once for each tunnel. */
export function haveSameTables(a: Protection, b: Protection): boolean {
  const sets = ({ filter }: Protection) => filter.sets.map(({ ranges }) => ranges);
  return (
    sets(a).length === sets(b).length &&
    sets(a).every((ranges, index) => ranges === sets(b)[index]) &&
    chainsText(a) === chainsText(b)
  );
}

/** Encoded expressions say what the text beside them does. */
function chainsText({ filter, frameFilter }: Protection): string {
  return JSON.stringify([filter.chains, frameFilter.chains], (key, value: unknown) =>
    key === 'expressions' ? undefined : value,
  );
}

/** The name of nftables' tables, of the driver that has the usual name, and of drivers of all names before. */
export const usualTable = 'wgdriver';

/**
 * The name of a driver's tables. In a container that is on networks of two drivers each has tables of its own, so that
 * what the one takes away or does not know of the other still keeps closed.
 */
export function tableOf(owner: string): string {
  return owner === usualOwner ? usualTable : `${usualTable}-${owner}`;
}

/** Of the table of tunnels. */
export const tunnelTable = 30567;
/**
 * Of all rules, the last before the kernel's own, of the main table, which is at 32766. A rule that is given no priority
 * comes before the first there is, so the rules of a VPN's client in the container come before these, whichever of them
 * were there first: of one priority the older is asked first.
 */
const rulePriority = 32765;
/** The rules of driver 0.1, which left out routes of the main table with a prefix of this length alone. */
const oldRules = { priorities: [30567, 30568, 30569] as readonly number[], shortestConnected: 0 };
/**
 * Routes of the main table with a prefix of this length or shorter lead nowhere: default routes, and what others set
 * in their place, in two halves or in more parts.
 */
const shortestConnected = 7;

/**
 * Is a table of routes one of a protection's: of tunnels, or of a link's replies? All upper bits count: other programs
 * number tables as they like, and Mullvad's client has 0x6d6f6c65.
 */
export function isProtectionTable(table: number): boolean {
  return table === tunnelTable || table >>> linkIndexBits === passMark >>> linkIndexBits;
}

/** Is a rule one of a protection's, an earlier driver's too? */
export function isProtectionRule({ priority, table, mark, suppressPrefixLength }: Rule): boolean {
  const isOld = oldRules.priorities.includes(priority);
  const isConnected =
    table === RT_TABLE_MAIN &&
    mark === undefined &&
    suppressPrefixLength === (isOld ? oldRules.shortestConnected : shortestConnected);
  return (isOld || priority === rulePriority) && (isProtectionTable(table) || isConnected);
}

/**
 * On the packets that may leave by another link. With a link's index in the lower bits it is the number of
 * the table by which replies leave, and the mark of their connections. On packets any process with CAP_NET_RAW
 * can set it (SO_MARK, from Linux 5.17 on), so it never decides alone; on connections only these rules do.
 */
const passMark = 0x4000_0000;
const linkIndexBits = 28;

/** A route of this metric counts only where there is no other. */
const lastMetric = 0x7fff_ffff;
/** What linux/netfilter_ipv4.h calls NF_IP_PRI_MANGLE: behind conntrack, before the routing decision. */
const manglePriority = -150;

/** What the other filter has let pass. */
const routedMayPass = [hasMarkBits(passMark), isRouted, verdict('accept')];

const everywhere = { ipv4: prefixOf('0.0.0.0/0'), ipv6: prefixOf('::/0') } as const;
const linkLocal = { ipv4: prefixOf('169.254.0.0/16'), ipv6: prefixOf('fe80::/10') } as const;
const linkMulticast = prefixOf('ff02::/16');

/** What a route has that is given none: linux/ipv6_route.h, IP6_RT_PRIO_USER. */
const firstMetric = { ipv4: 0, ipv6: 1024 } as const;

// RFC 792, RFC 4861 section 4
const ICMP_REDIRECT = 5;
const ICMPV6_ROUTER_ADVERTISEMENT = 134;
const ICMPV6_REDIRECT = 137;

/**
 * The protection of a container with some tunnels. Where one of them is the way to everything, nothing
 * leaves by another link but what is for its connected networks, and what answers a connection that came in
 * by it; else this holds for the tunnels' prefixes alone.
 *
 * A tunnel's link need not be there yet. Until it is of use the filter knows it by its name, and the engine's routes
 * are left as they are: a container that has no other network can send as soon as it is.
 */
export function protectionOf(
  { links, addresses, defaultRoutes, rules }: Omit<ContainerNetwork, 'routes'>,
  tunnels: readonly ProtectedTunnel[],
): Protection {
  const lone = loneTunnel({ links, rules }, tunnels);
  if (lone !== undefined) {
    return loneProtection(links, lone);
  }
  const prefixes = tunnels.flatMap((tunnel) => tunnel.prefixes);
  // Two halves are everything on two networks, too. Of one tunnel its scope says so, with what it leaves out.
  const isWhole = tunnels.length > 1 && families.some((family) => coverFamily(prefixes, family));
  const closed = families.filter(
    (family) => isWhole || tunnels.some((tunnel) => tunnel.closed.includes(family)),
  );
  const lo = links.filter(({ name }) => name === 'lo');
  const ours = links.filter((link) => tunnels.some(({ isLink }) => isLink(link)));
  const inner = links.filter((link) => link.isInner && !ours.includes(link));
  const others = links.filter((link) => ![...lo, ...ours, ...inner].includes(link));

  const isOfUse = ({ isLink }: ProtectedTunnel) =>
    ours.some((link) => isLink(link) && families.some((family) => hasFamily(link, family)));
  const isReady = tunnels.every((tunnel) => tunnel.isLeaving || isOfUse(tunnel));
  // What another tunnel has them for already goes on while the next one comes.
  const hasRules = isReady || (rules.length > 0 && tunnels.some(isOfUse));

  const accepted = verdict('accept');
  const dropped = verdict('drop');
  const pass = [setMark(passMark), accepted];
  const policy = closed.length === families.length ? 'drop' : 'accept';
  // Whatever another tunnel is for stays in it.
  const excluded = tunnels
    .flatMap((tunnel) => tunnel.excluded)
    .filter((prefix) =>
      tunnels.every(
        (tunnel) =>
          tunnel.excluded.some((own) => covers(own, prefix)) ||
          !(
            tunnel.closed.includes(prefix.address.kind()) ||
            tunnel.prefixes.some((own) => covers(own, prefix))
          ),
      ),
    );
  const isExcepted = (prefix: Prefix) => isPartOf(excluded, prefix);
  const drop = (prefix: Prefix) => [destination(prefix), dropped];
  const sets =
    policy === 'drop'
      ? []
      : tunnels.flatMap(({ ranges }, index) =>
          ranges.map((set) => ({ ...set, name: `tunnel-${index}-${set.family}` })),
        );
  const drops =
    policy === 'drop'
      ? []
      : [
          ...sets.map(({ name, family }) => [destinationIn(name, family), dropped]),
          ...closed.map((family) => drop(everywhere[family])),
        ];
  return {
    filter: {
      family: 'inet',
      sets,
      chains: [
        {
          name: 'prerouting',
          type: 'filter',
          hook: 'prerouting',
          priority: manglePriority,
          policy: 'accept',
          rules: [
            ...neighboursDrops(closed),
            ...others.map(({ index }) => [iif(index), isNewConnection, setConnectionMark(replyMark(index))]),
          ],
        },
        {
          name: 'output',
          type: 'route',
          hook: 'output',
          priority: manglePriority,
          policy: 'accept',
          rules: [[isReply, hasConnectionMarkBits(passMark), setMarkOfConnection]],
        },
        {
          name: 'postrouting',
          type: 'filter',
          hook: 'postrouting',
          priority: 0,
          policy,
          rules: [
            ...[...lo, ...ours, ...inner].map(({ index }) => [oif(index), accepted]),
            ...(isReady
              ? []
              : [
                  [
                    ...others.filter(hasContainerLinkName).map(({ index }) => notOif(index)),
                    oifNamed(containerLinkPrefix),
                    accepted,
                  ],
                ]),
            ...others.flatMap((link) =>
              connectedNetworks(link).map((prefix) => [oif(link.index), destination(prefix), ...pass]),
            ),
            ...others.map(({ index }) => [
              oif(index),
              isReply,
              hasMark(replyMark(index)),
              hasConnectionMark(replyMark(index)),
              accepted,
            ]),
            // Neighbour discovery and the reports of multicast listeners go no farther than the link.
            [destination(linkMulticast), isIcmpv6, ...pass],
            ...prefixes.filter(isExcepted).map(drop),
            ...excluded.map((prefix) => [destination(prefix), ...pass]),
            ...drops,
          ],
        },
      ],
    },
    frameFilter: {
      family: 'netdev',
      sets,
      chains: others.map((link) => frameChain(link, policy, [routedMayPass, [isArp, accepted], ...drops])),
    },
    routes: [
      ...tunnelRoutes(),
      ...families.flatMap((family) => others.flatMap((link) => replyRoute(link, family))),
    ],
    rules: (hasRules ? families : []).flatMap((family) => [
      { family, priority: rulePriority, table: RT_TABLE_MAIN, suppressPrefixLength: shortestConnected },
      ...others.map(({ index }) => ({
        family,
        priority: rulePriority,
        table: replyMark(index),
        mark: replyMark(index),
      })),
      { family, priority: rulePriority, table: tunnelTable },
    ]),
  };

  /**
   * What is on the other side of a link without a router between, by the addresses that the engine gave it: never by
   * routes, which a neighbour can make by a router advertisement, and not by addresses that came of themselves. The
   * engine gives one of each family, of scope global; of that scope the kernel has the latest IPv4 address last, and the
   * latest IPv6 address first. It puts IPv4 addresses of the link's scope before those, and IPv6 ones of a site behind.
   */
  function connectedNetworks({ index }: ContainerLink): Prefix[] {
    const own = addresses.filter((address) => address.index === index);
    const given = (family: Family) =>
      own
        .filter(({ network, isPermanent, isGlobal }) => isPermanent && isGlobal && network.length > 0)
        .map(({ network }) => network)
        .filter(({ address }) => address.kind() === family);
    const routable = (family: Family) =>
      given(family).filter((network) => !covers(linkLocal[family], network));
    return [
      ...routable('ipv4').slice(0, 1),
      ...given('ipv4').filter((network) => covers(linkLocal.ipv4, network)),
      ...routable('ipv6').slice(-1),
      // Neighbour discovery is by these, whoever made them, and no router passes them on.
      ...(own.some(({ network }) => covers(linkLocal.ipv6, network)) ? [linkLocal.ipv6] : []),
    ];
  }

  /** In the table of tunnels: each prefix by its link; and what has none now, or loses it, is unreachable. */
  function tunnelRoutes(): ProtectionRoute[] {
    const destinations = new Map<string, Prefix>([
      ...closed.map((family) => [formatPrefix(everywhere[family]), everywhere[family]] as const),
      ...tunnels.flatMap(({ byText }) => [...byText]),
    ]);
    const carriers = families.flatMap((family) =>
      tunnels.map(({ isLink, byText, via }) => ({
        family,
        byText,
        gateway: via?.find((address) => address.kind() === family),
        links: ours.filter((link) => isLink(link) && hasFamily(link, family)),
      })),
    );
    const exceptions = excluded
      .filter((prefix) => !destinations.has(formatPrefix(prefix)))
      .map((prefix) => ({
        table: tunnelTable,
        destination: prefix,
        oif: undefined,
        isThrow: true,
        metric: firstMetric[prefix.address.kind()],
      }));
    const routes = [...destinations].flatMap(([text, prefix]) => {
      const family = prefix.address.kind();
      const carrying = carriers.filter((carrier) => carrier.family === family && carrier.byText.has(text));
      const link = preferred(
        family,
        carrying.flatMap((carrier) => carrier.links),
      );
      const oif = link?.index;
      const gateway = carrying.find(({ links: own }) => own.some((other) => other === link))?.gateway;
      const unreachable = { table: tunnelTable, destination: prefix, oif: undefined, metric: lastMetric };
      if (oif === undefined) {
        return [unreachable];
      }
      const route = {
        table: tunnelTable,
        destination: prefix,
        oif,
        ...(gateway && { gateway, isOnLink: true }),
        metric: firstMetric[family],
      };
      // Of one tunnel the filter stops what its link carries no more; beside another it would go into that.
      return tunnels.length > 1 || prefix.length === 0 ? [route, unreachable] : [route];
    });
    return [...routes, ...exceptions];
  }

  /** Is a link up, with an address of the family? */
  function hasFamily({ index, isUp }: ContainerLink, family: Family): boolean {
    return (
      isUp &&
      addresses.some(
        ({ index: own, network }) =>
          own === index && network.address.kind() === family && !covers(linkLocal.ipv6, network),
      )
    );
  }

  /** Of two tunnels to the same, the one that the engine has chosen for everything; or else the first. */
  function preferred(family: Family, candidates: readonly ContainerLink[]): ContainerLink | undefined {
    return candidates.length < 2
      ? candidates[0]
      : (candidates.find((link) => defaultRoute(link, family) !== undefined) ?? candidates[0]);
  }

  function defaultRoute({ index }: ContainerLink, family: Family): DefaultRoute | undefined {
    return defaultRoutes.find((route) => route.oif === index && route.family === family);
  }

  /** Ports are published on the network that the engine has chosen for everything, and on no other. */
  function replyRoute(link: ContainerLink, family: Family): ProtectionRoute[] {
    const gateway = defaultRoute(link, family)?.gateway;
    const table = replyMark(link.index);
    return gateway === undefined
      ? []
      : [{ table, destination: everywhere[family], oif: link.index, gateway, metric: firstMetric[family] }];
  }
}

/**
 * The protection of a container that has one tunnel and nothing else to send by: its filter alone, without connection
 * tracking. It is the same before the link has come.
 */
function loneProtection(links: readonly ContainerLink[], { isLink, linkIndex }: LoneTunnel): Protection {
  const link = links.find(isLink);
  const index = link?.index ?? linkIndex;
  // By its name, too, as the number may be another's before the link has come.
  const isNamed = link === undefined || hasContainerLinkName(link);
  return {
    filter: {
      family: 'inet',
      sets: [],
      chains: [
        {
          name: 'prerouting',
          type: 'filter',
          hook: 'prerouting',
          priority: manglePriority,
          policy: 'accept',
          rules: neighboursDrops(families),
        },
        {
          name: 'postrouting',
          type: 'filter',
          hook: 'postrouting',
          priority: 0,
          policy: 'drop',
          rules: [
            ...links.filter(({ name }) => name === 'lo').map((lo) => [oif(lo.index), verdict('accept')]),
            [oif(index), ...(isNamed ? [oifNamed(containerLinkPrefix)] : []), verdict('accept')],
            // Engine 28 starts no container whose address it cannot advertise by the link of another network that has
            // just come (RFC 4861, section 7.2.6).
            [destination(linkMulticast), isIcmpv6, verdict('accept')],
          ],
        },
      ],
    },
    frameFilter: { family: 'netdev', sets: [], chains: [] },
    routes: [],
    rules: [],
    lone: isNamed ? { isLink, linkIndex: index } : undefined,
  };
}

/** What a neighbour could say about routes. */
function neighboursDrops(closed: readonly Family[]): Statement[][] {
  return [
    ...(closed.includes('ipv4') ? [icmpType(ICMP_REDIRECT)] : []),
    ...(closed.includes('ipv6') ? [ICMPV6_ROUTER_ADVERTISEMENT, ICMPV6_REDIRECT].map(icmpv6Type) : []),
  ].map((message) => [message, verdict('drop')]);
}

/** What a kernel can or cannot do, on the one link that a new namespace has. */
export function trialProtection(): Protection {
  const lo = { index: 1, name: 'lo', alias: undefined, isUp: false };
  const network = { links: [lo], addresses: [], defaultRoutes: [], rules: [] };
  const scope = { prefixes: [everywhere.ipv4], excluded: [], closed: families };
  const protection = protectionOf(network, [tunnelOf(() => false, scope)]);
  return {
    ...protection,
    frameFilter: { family: 'netdev', sets: [], chains: [frameChain(lo, 'accept', [routedMayPass])] },
  };
}

function frameChain(
  { index, name }: ContainerLink,
  policy: Chain['policy'],
  rules: readonly (readonly Statement[])[],
): ProtectionTable['chains'][number] {
  return {
    name: `egress-${index}`,
    type: 'filter',
    hook: 'egress',
    device: name,
    priority: 0,
    policy,
    rules,
  };
}

function replyMark(index: number): number {
  return (passMark | index) >>> 0;
}
