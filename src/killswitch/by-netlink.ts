import { NetlinkError } from '../links/netlink/error.ts';
import type { NetworkNamespace } from '../links/netlink/namespace.ts';
import { deleteTables, replaceTables } from '../links/netlink/netfilter/client.ts';
import { receiveAll } from '../links/netlink/request.ts';
import {
  addRule,
  deleteRoute,
  deleteRule,
  listLinks,
  listRoutes,
  replaceRoute,
} from '../links/netlink/route/client.ts';
import { RT_TABLE_MAIN, RTN_UNICAST } from '../links/netlink/route/route.ts';
import {
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  type NetlinkSocket,
  openEventSocket,
  withNetlinkSocket,
} from '../links/netlink/socket.ts';
import type { Log } from '../log.ts';
import { type Namespaces, warnOfFrames } from './namespaces.ts';
import {
  filterTable,
  frameFilterTable,
  isOutdated,
  type ProtectionRoute,
  type ProtectionTable,
  rulePriorities,
  tunnelTable,
} from './protection.ts';

/** Reading a socket that has nothing costs some 10 µs, and a container that starts waits for its link. */
const pollMs = { urgent: 5, idle: 50 } as const;

/** By messages to the kernel, without programs of the host. */
export function netlinkNamespaces(log: Log): Namespaces {
  return {
    look: (netns) =>
      withRoute(netns, async (socket) => ({
        links: await listLinks(socket),
        routes: (await listRoutes(socket)).flatMap(({ table, type, oif, ...route }) =>
          table === RT_TABLE_MAIN && type === RTN_UNICAST && oif !== undefined ? { ...route, oif } : [],
        ),
      })),

    async enforce(netns, { filter, frameFilter, routes, rules }) {
      await withNetfilter(netns, async (socket) => {
        try {
          await replaceTables(socket, [filter, frameFilter].map(encoded));
        } catch (error) {
          unless('EOPNOTSUPP')(error);
          warnOfFrames(log, (error as Error).message);
          await replaceTables(socket, [encoded(filter)]);
        }
      });
      await withRoute(netns, async (socket) => {
        for (const route of routes) {
          await replaceRoute(socket, withIndex(route));
        }
        for (const { table, destination } of await listRoutes(socket)) {
          if (table === tunnelTable && isOutdated(destination, routes)) {
            await deleteRoute(socket, { table, destination });
          }
        }
        for (const rule of rules) {
          await addRule(socket, rule).catch(unless('EEXIST'));
        }
      });
    },

    async lift(netns) {
      await withRoute(netns, async (socket) => {
        for (const family of ['ipv4', 'ipv6'] as const) {
          for (const priority of rulePriorities) {
            await deleteAllRules(socket, { family, priority });
          }
        }
      });
      await withNetfilter(netns, async (socket) => {
        await deleteTables(socket, [filterTable, frameFilterTable]);
      });
    },

    watch(onChange, isUrgent) {
      let isClosed = false;
      const poll = (socket: NetlinkSocket) => {
        if (isClosed) {
          socket.close();
          return;
        }
        if (hasChanges(socket)) {
          onChange();
        }
        setTimeout(poll, isUrgent() ? pollMs.urgent : pollMs.idle, socket).unref();
      };
      openEventSocket().then(poll, (error: Error) => {
        log.error('changes in containers’ networks cannot be watched', { cause: error.message });
      });
      return {
        close() {
          isClosed = true;
        },
      };
    },
  };
}

function hasChanges(socket: NetlinkSocket): boolean {
  try {
    return receiveAll(socket).length > 0;
  } catch {
    // More of them than the socket holds (ENOBUFS).
    return true;
  }
}

async function deleteAllRules(socket: NetlinkSocket, rule: Parameters<typeof deleteRule>[1]): Promise<void> {
  try {
    for (;;) {
      await deleteRule(socket, rule);
    }
  } catch (error) {
    unless('ENOENT')(error);
  }
}

function unless(errno: string) {
  return (error: unknown): void => {
    if (!(error instanceof NetlinkError && error.errno === errno)) {
      throw error;
    }
  };
}

function encoded({ chains, ...table }: ProtectionTable) {
  return {
    ...table,
    chains: chains.map(({ rules, ...chain }) => ({
      ...chain,
      rules: rules.map((statements) => statements.flatMap(({ expressions }) => expressions)),
    })),
  };
}

function withIndex({ link, ...route }: ProtectionRoute) {
  return { ...route, oif: link?.index };
}

function withRoute<Result>(netns: NetworkNamespace, use: (socket: NetlinkSocket) => Promise<Result>) {
  return withNetlinkSocket({ protocol: NETLINK_ROUTE, netns }, use);
}

function withNetfilter<Result>(netns: NetworkNamespace, use: (socket: NetlinkSocket) => Promise<Result>) {
  return withNetlinkSocket({ protocol: NETLINK_NETFILTER, netns }, use);
}
