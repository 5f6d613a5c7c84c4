import { NetlinkError } from '../netlink/error.ts';
import { genericFamily } from '../netlink/generic-family.ts';
import { openLibc } from '../netlink/libc/open.ts';
import { decodeMessages, type NetlinkMessage } from '../netlink/message.ts';
import type { NetworkNamespace } from '../netlink/namespace.ts';
import { createTableIfNone, deleteTables, replaceTables } from '../netlink/nftables/client.ts';
import { decodeAddress, RTM_DELADDR, RTM_NEWADDR } from '../netlink/route/address.ts';
import {
  changeRouting,
  getNsid,
  listAddresses,
  listLinks,
  listRoutes,
  listRules,
} from '../netlink/route/client.ts';
import { decodeLink, RTM_NEWLINK } from '../netlink/route/link.ts';
import {
  decodeRoute,
  isOfMainDefault,
  type Route,
  RT_TABLE_MAIN,
  RTM_DELROUTE,
  RTM_NEWROUTE,
  RTN_THROW,
  RTN_UNICAST,
  RTPROT_RA,
} from '../netlink/route/route.ts';
import {
  type EventSocket,
  NETLINK_GENERIC,
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  NETLINK_SOCK_DIAG,
  type NetlinkSocket,
  openEventSocket,
  withNetlinkSocket,
} from '../netlink/socket.ts';
import { sendBuffersOfPort } from '../netlink/socket-diag.ts';
import { getDevice } from '../netlink/wireguard/client.ts';
import { WG_GENL_NAME } from '../netlink/wireguard/constants.ts';
import { hasChanges, type RoutingDifference } from './difference.ts';
import { kernelFamilies } from './families.ts';
import { type Candidate, candidatesOf, sendBufferOfWireGuard, withInner } from './inner-tunnels.ts';
import { type Applied, type Changed, type Namespaces, watchPauseMs } from './namespaces.ts';
import {
  type ContainerLink,
  type DefaultRoute,
  isProtectionRule,
  isProtectionTable,
  type News,
  type Protection,
  type ProtectionTable,
  usualTable,
} from './rules.ts';

/** A signal tells of events. Whoever has started this process may have blocked it, so it looks by itself, too. */
const pollMs = 1000;

const wireguard = genericFamily(WG_GENL_NAME);

/** By messages to the kernel, without programs of the host. */
export function netlinkNamespaces(table = usualTable, open = openEventSocket): Namespaces {
  const families = kernelFamilies();
  return {
    families,

    read: (netns, isEnough = () => false) =>
      withRoute(netns, async (socket) => {
        const links = await withInnerTunnels(netns, await listLinks(socket));
        const rules = (await listRules(socket)).filter(isProtectionRule);
        if (isEnough({ links, rules })) {
          return { links, rules, addresses: [], defaultRoutes: [], routes: [] };
        }
        const addresses = await listAddresses(socket);
        const routes = await listRoutes(socket);
        return {
          links,
          addresses,
          defaultRoutes: routes.flatMap(defaultRouteOf),
          // The kernel names the loopback with an unreachable one of IPv6.
          routes: routes
            .filter(({ table }) => isProtectionTable(table))
            .map(({ type, oif, ...route }) => ({
              ...route,
              oif: type === RTN_UNICAST ? oif : undefined,
              isThrow: type === RTN_THROW,
            })),
          rules,
        };
      }),

    async apply(netns, tables, routing) {
      const applied = tables === undefined ? {} : await applyTables(netns, table, tables);
      await changeRoutingOf(netns, routing);
      return applied;
    },

    async remove(netns, routing) {
      await changeRoutingOf(netns, routing);
      await removeTables(netns, table);
    },

    async removeOldTables(netns) {
      if (table !== usualTable) {
        await removeTables(netns, usualTable);
      }
    },

    nsidOf(netns) {
      const file = openLibc().open(netns);
      return withRoute(undefined, (socket) => getNsid(socket, file)).finally(() => openLibc().close(file));
    },

    async probeWatch() {
      (await openEventSocket()).close();
    },

    watch({ onChange, onFailure }) {
      let isClosed = false;
      let end = () => {};
      let lastCause: string | undefined;
      const attend = (socket: EventSocket) => {
        let timer: NodeJS.Timeout | undefined;
        end = () => {
          end = () => {};
          clearTimeout(timer);
          socket.close();
        };
        const readEvents = () => {
          clearTimeout(timer);
          try {
            const { where, isMore } = changesIn(socket);
            // What comes faster than it is read holds up nobody else.
            timer = setTimeout(readEvents, isMore ? 1 : pollMs).unref();
            if (where === 'anywhere' || where.size > 0) {
              lastCause = undefined;
              onChange(where);
            }
          } catch (error) {
            end();
            tryAgain(error as Error);
          }
        };
        socket.onReadable(readEvents);
        readEvents();
      };
      const begin = async (isFirst: boolean) => {
        try {
          const socket = await open();
          if (isClosed) {
            socket.close();
            return;
          }
          if (!isFirst) {
            onChange('anywhere');
          }
          attend(socket);
        } catch (error) {
          tryAgain(error as Error);
        }
      };
      const tryAgain = ({ message }: Error) => {
        if (message !== lastCause && !isClosed) {
          onFailure(message);
        }
        lastCause = message;
        setTimeout(begin, watchPauseMs, false).unref();
      };
      void begin(true);
      return {
        close() {
          isClosed = true;
          end();
        },
      };
    },
  };
}

/** Whoever is root of a container can make events faster than they are read; what does not fit in the socket is lost. */
const mostEventsAtOnce = 1000;

/** Where there is news from, of what has come. @throws NetlinkError if the socket is of no use any more */
function changesIn(socket: EventSocket): { readonly where: Changed; readonly isMore: boolean } {
  const byNumber = new Map<number, News[]>();
  try {
    for (let left = mostEventsAtOnce; left > 0; left--) {
      const event = socket.receive();
      if (event === undefined) {
        return { where: byNumber, isMore: false };
      }
      const { nsid, bytes } = event;
      if (nsid === undefined) {
        // It is this process's own.
        continue;
      }
      const news = byNumber.get(nsid) ?? [];
      news.push(...decodeMessages(bytes).filter(isOfInterest).map(newsOf));
      if (news.length > 0) {
        byNumber.set(nsid, news);
      }
    }
    return { where: byNumber, isMore: true };
  } catch (error) {
    // There were more of them than the socket holds.
    expectErrno('ENOBUFS')(error);
    return { where: 'anywhere', isMore: true };
  }
}

function removeTables(netns: NetworkNamespace, name: string): Promise<void> {
  return withNetfilter(netns, async (socket) => {
    await deleteTables(socket, [{ family: 'inet', name }]);
    await deleteTables(socket, [{ family: 'netdev', name }]).catch(expectErrno('EOPNOTSUPP'));
  });
}

function applyTables(
  netns: NetworkNamespace,
  name: string,
  { filter, frameFilter }: Pick<Protection, 'filter' | 'frameFilter'>,
): Promise<Applied> {
  return withNetfilter(netns, async (socket) => {
    try {
      if (frameFilter.chains.length > 0 || !(await createTableIfNone(socket, encoded(filter, name)))) {
        await replaceTables(
          socket,
          [filter, frameFilter].map((table) => encoded(table, name)),
        );
      }
      return {};
    } catch (error) {
      expectErrno('EOPNOTSUPP')(error);
      await replaceTables(socket, [encoded(filter, name)]);
      return { unfilteredFrames: (error as Error).message };
    }
  });
}

/** Of routes a protection depends on the default ones alone, and it makes routes of its own, of which the kernel tells, too. */
function isOfInterest({ type, payload }: NetlinkMessage): boolean {
  return (type !== RTM_NEWROUTE && type !== RTM_DELROUTE) || isOfMainDefault(payload);
}

/** What cannot be decoded is of whatever link. */
function newsOf({ type, payload }: NetlinkMessage): News {
  try {
    switch (type) {
      case RTM_NEWLINK: {
        const { index, name, alias } = decodeLink(payload);
        return { index, link: { name, alias } };
      }
      case RTM_NEWADDR:
      case RTM_DELADDR:
        return { index: decodeAddress(payload).index };
      case RTM_NEWROUTE:
      case RTM_DELROUTE:
        return { index: decodeRoute(payload).oif };
    }
  } catch {}
  return { index: undefined, link: undefined };
}

/** Costs something only where there is a WireGuard link that is not a driver's. What cannot be told is not marked. */
async function withInnerTunnels(
  netns: NetworkNamespace,
  links: readonly ContainerLink[],
): Promise<readonly ContainerLink[]> {
  const candidates: Candidate[] = [];
  const ports = new Set<number>();
  try {
    for (const { index } of candidatesOf(links)) {
      const { listenPort } = await withNetlinkSocket({ protocol: NETLINK_GENERIC, netns }, (socket) =>
        getDevice(socket, index, wireguard),
      );
      const buffers = await withNetlinkSocket({ protocol: NETLINK_SOCK_DIAG, netns }, (socket) =>
        sendBuffersOfPort(socket, listenPort),
      );
      candidates.push({ index, listenPort });
      if (buffers.includes(sendBufferOfWireGuard)) {
        ports.add(listenPort);
      }
    }
  } catch {
    // It has gone meanwhile, which an event tells; or this kernel does not list sockets (CONFIG_INET_UDP_DIAG).
    return links;
  }
  return withInner(links, candidates, ports);
}

/** A message that a change is not needed costs nothing, a socket in another namespace does. */
async function changeRoutingOf(netns: NetworkNamespace, difference: RoutingDifference): Promise<void> {
  if (hasChanges(difference)) {
    await withRoute(netns, (socket) => changeRouting(socket, difference));
  }
}

function defaultRouteOf({ table, type, protocol, destination, oif, gateway }: Route): DefaultRoute[] {
  const isWanted =
    table === RT_TABLE_MAIN && type === RTN_UNICAST && protocol !== RTPROT_RA && destination.length === 0;
  return isWanted && oif !== undefined ? [{ family: destination.address.kind(), oif, gateway }] : [];
}

function expectErrno(errno: string) {
  return (error: unknown): void => {
    if (!(error instanceof NetlinkError && error.errno === errno)) {
      throw error;
    }
  };
}

function encoded({ chains, ...table }: ProtectionTable, name: string) {
  return {
    ...table,
    name,
    chains: chains.map(({ rules, ...chain }) => ({
      ...chain,
      rules: rules.map((statements) => statements.flatMap(({ expressions }) => expressions)),
    })),
  };
}

function withRoute<Result>(
  netns: NetworkNamespace | undefined,
  use: (socket: NetlinkSocket) => Promise<Result>,
) {
  return withNetlinkSocket({ protocol: NETLINK_ROUTE, netns }, use);
}

function withNetfilter<Result>(netns: NetworkNamespace, use: (socket: NetlinkSocket) => Promise<Result>) {
  return withNetlinkSocket({ protocol: NETLINK_NETFILTER, netns }, use);
}
