import type { Family } from '../netlink/family.ts';
import {
  destination,
  hasConnectionMark,
  hasConnectionMarkBits,
  hasMark,
  hasMarkBits,
  iif,
  isArp,
  isIcmpv6,
  isNewConnection,
  isReply,
  isRouted,
  oif,
  oifNamed,
  type Statement,
  setConnectionMark,
  setMark,
  setMarkOfConnection,
  verdict,
} from '../netlink/nftables/statement.ts';
import type { Chain, TableName } from '../netlink/nftables/table.ts';
import type { Link } from '../netlink/route/link.ts';
import { RT_TABLE_MAIN } from '../netlink/route/route.ts';
import type { Rule } from '../netlink/route/rule.ts';
import {
  type Address,
  coverEverything,
  covers,
  formatPrefix,
  type Prefix,
  prefixOf,
} from '../wireguard/address.ts';
import { containerLinkPrefix } from '../wireguard/link-name.ts';
import { families } from './families.ts';

/** A link of a container's namespace. */
export type ContainerLink = Pick<Link, 'index' | 'name' | 'alias'>;

/** A unicast route of the main table of a container's namespace, with one next hop. */
export interface ContainerRoute {
  readonly destination: Prefix;
  readonly oif: number;
  readonly gateway: Address | undefined;
}

/** What is in a container's namespace, as far as the protection depends on it. */
export interface ContainerNetwork {
  readonly links: readonly ContainerLink[];
  readonly routes: readonly ContainerRoute[];
}

/** A tunnel that a container has or is about to get. */
export interface Tunnel {
  /** Is this its link? */
  readonly isLink: (link: ContainerLink) => boolean;
  /** What may leave by it alone, connected networks excepted. */
  readonly prefixes: readonly Prefix[];
}

export interface ProtectionRoute {
  readonly table: number;
  readonly destination: Prefix;
  /** Without it the destination is unreachable. */
  readonly link?: ContainerLink | undefined;
  readonly gateway?: Address | undefined;
  readonly metric?: number;
}

/** Has the table of tunnels, as it is to be, nothing for a destination? */
export function isStale(destination: Prefix, routes: readonly ProtectionRoute[]): boolean {
  return !routes.some(
    (route) => route.table === tunnelTable && formatPrefix(route.destination) === formatPrefix(destination),
  );
}

export interface ProtectionTable extends TableName {
  readonly chains: readonly (Chain & { readonly rules: readonly (readonly Statement[])[] })[];
}

/** What keeps a container's traffic in its tunnels. */
export interface Protection {
  readonly filter: ProtectionTable;
  /** For frames that a process writes itself, which pass by the other one. */
  readonly frameFilter: ProtectionTable;
  readonly routes: readonly ProtectionRoute[];
  readonly rules: readonly Rule[];
}

/** The names of the tables of nftables. */
export const filterTable: TableName = { family: 'inet', name: 'wgdriver' };
export const frameFilterTable: TableName = { family: 'netdev', name: 'wgdriver' };

/** Of the rules; those of the kernel are 0, 32766 and 32767. The table of tunnels has the first's number. */
const connectedPriority = 30567;
/** Of rules for links, which may be gone: to be deleted before the new ones come. The filter is closed meanwhile. */
export const replyPriority = 30568;
const tunnelPriority = 30569;
/** In the order to delete them in: without the first of all, the last would leave connected networks unreachable. */
export const rulePriorities = [tunnelPriority, replyPriority, connectedPriority] as const;
export const tunnelTable = 30567;

/**
 * On the packets that may leave by another link. With a link's index in the lower bits it is the number of
 * the table by which replies leave, and the mark of their connections. On packets any process with CAP_NET_RAW
 * can set it (SO_MARK, from Linux 5.17 on), so it never decides alone; on connections only these rules do.
 */
const passMark = 0x4000_0000;

/** A route of this metric counts only where there is no other. */
const lastMetric = 0x7fff_ffff;
/** What linux/netfilter_ipv4.h calls NF_IP_PRI_MANGLE: behind conntrack, before the routing decision. */
const manglePriority = -150;

/** What the other filter has let pass. */
const routedMayPass = [hasMarkBits(passMark), isRouted, verdict('accept')];

const everywhere = { ipv4: prefixOf('0.0.0.0/0'), ipv6: prefixOf('::/0') } as const;
const linkLocal = prefixOf('fe80::/10');
const linkMulticast = prefixOf('ff02::/16');

/**
 * The protection of a container with some tunnels. Where one of them is the way to everything, nothing
 * leaves by another link but what is for its connected networks, and what answers a connection that came in
 * by it; else this holds for the tunnels' prefixes alone.
 *
 * A tunnel's link need not be there yet. Until it is of use the filter knows it by its name, and the engine's routes
 * are left as they are: a container that has no other network can send as soon as it is.
 */
export function protectionOf({ links, routes }: ContainerNetwork, tunnels: readonly Tunnel[]): Protection {
  const prefixes = tunnels.flatMap((tunnel) => tunnel.prefixes);
  const isClosed = coverEverything(prefixes);
  const lo = links.filter(({ name }) => name === 'lo');
  const ours = links.filter((link) => tunnels.some(({ isLink }) => isLink(link)));
  const others = links.filter((link) => !lo.includes(link) && !ours.includes(link));
  const connected = ({ index }: ContainerLink) =>
    routes
      .filter(
        ({ oif, gateway, destination: { length } }) => oif === index && gateway === undefined && length > 0,
      )
      .map(({ destination }) => destination);

  const isReady = tunnels.every(({ isLink }) =>
    ours.some((link) => isLink(link) && families.some((family) => hasFamily(link, family))),
  );

  const accepted = verdict('accept');
  const dropped = prefixes.map((prefix) => [destination(prefix), verdict('drop')]);
  const policy = isClosed ? 'drop' : 'accept';
  const pass = [setMark(passMark), accepted];
  return {
    filter: {
      ...filterTable,
      chains: [
        {
          name: 'prerouting',
          type: 'filter',
          hook: 'prerouting',
          priority: manglePriority,
          policy: 'accept',
          rules: others.map(({ index }) => [
            iif(index),
            isNewConnection,
            setConnectionMark(replyMark(index)),
          ]),
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
            ...[...lo, ...ours].map(({ index }) => [oif(index), accepted]),
            ...(isReady ? [] : [[oifNamed(containerLinkPrefix), accepted]]),
            ...others.flatMap((link) =>
              connected(link).map((prefix) => [oif(link.index), destination(prefix), ...pass]),
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
            ...(isClosed ? [] : dropped),
          ],
        },
      ],
    },
    frameFilter: {
      ...frameFilterTable,
      chains: others.map((link) =>
        frameChain(link, policy, [routedMayPass, [isArp, accepted], ...(isClosed ? [] : dropped)]),
      ),
    },
    routes: families.flatMap((family) => [
      ...tunnelRoutes(family, ours),
      ...others.flatMap((link) => replyRoute(link, family)),
    ]),
    rules: (isReady ? families : []).flatMap((family) => [
      { family, priority: connectedPriority, table: RT_TABLE_MAIN, suppressPrefixLength: 0 },
      ...others.map(({ index }) => ({
        family,
        priority: replyPriority,
        table: replyMark(index),
        mark: replyMark(index),
      })),
      { family, priority: tunnelPriority, table: tunnelTable },
    ]),
  };

  function tunnelRoutes(family: Family, candidates: readonly ContainerLink[]): ProtectionRoute[] {
    const wanted = isClosed ? [everywhere[family], ...prefixes.filter(({ length }) => length > 0)] : prefixes;
    return wanted
      .filter(({ address }) => address.kind() === family)
      .flatMap((prefix) => {
        const link = preferred(
          family,
          candidates.filter((candidate) => carries(candidate, prefix)),
        );
        const unreachable = { table: tunnelTable, destination: prefix, metric: lastMetric };
        return link === undefined
          ? [unreachable]
          : [{ table: tunnelTable, destination: prefix, link }, unreachable];
      });
  }

  function carries(link: ContainerLink, prefix: Prefix): boolean {
    const isFor = tunnels.some(
      (tunnel) =>
        tunnel.isLink(link) &&
        tunnel.prefixes.some((own) => own.length === prefix.length && covers(own, prefix)),
    );
    return isFor && hasFamily(link, prefix.address.kind());
  }

  /** Is a link up, with an address of the family? Then it has a route. */
  function hasFamily({ index }: ContainerLink, family: Family): boolean {
    return routes.some(
      ({ oif, destination }) =>
        oif === index && destination.address.kind() === family && !covers(linkLocal, destination),
    );
  }

  /** Of two tunnels to the same, the one that the engine has chosen for everything; or else the first. */
  function preferred(family: Family, candidates: readonly ContainerLink[]): ContainerLink | undefined {
    return candidates.find((link) => defaultRoute(link, family) !== undefined) ?? candidates[0];
  }

  function defaultRoute({ index }: ContainerLink, family: Family): ContainerRoute | undefined {
    return routes.find(
      ({ oif, destination: { address, length } }) =>
        oif === index && length === 0 && address.kind() === family,
    );
  }

  /** Ports are published on the network that the engine has chosen for everything, and on no other. */
  function replyRoute(link: ContainerLink, family: Family): ProtectionRoute[] {
    const gateway = defaultRoute(link, family)?.gateway;
    const table = replyMark(link.index);
    return gateway === undefined ? [] : [{ table, destination: everywhere[family], link, gateway }];
  }
}

/** What a kernel can or cannot do, on the one link that a new namespace has. */
export function trialProtection(): Protection {
  const lo = { index: 1, name: 'lo', alias: undefined };
  return {
    ...protectionOf({ links: [lo], routes: [] }, []),
    frameFilter: { ...frameFilterTable, chains: [frameChain(lo, 'accept', [routedMayPass])] },
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
