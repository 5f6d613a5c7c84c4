import type { Log } from '../log.ts';
import { NetlinkError } from '../netlink/error.ts';
import { openLibc } from '../netlink/libc/open.ts';
import type { NetworkNamespace } from '../netlink/namespace.ts';
import { deleteTables, replaceTables } from '../netlink/nftables/client.ts';
import {
  addRule,
  deleteRoute,
  deleteRule,
  getNsid,
  listLinks,
  listRoutes,
  replaceRoute,
} from '../netlink/route/client.ts';
import { RT_TABLE_MAIN, RTN_UNICAST } from '../netlink/route/route.ts';
import {
  type EventSocket,
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  type NetlinkSocket,
  openEventSocket,
  withNetlinkSocket,
} from '../netlink/socket.ts';
import { families } from './families.ts';
import { type Changed, logWatchEnd, type Namespaces, warnOfFrames, watchPauseMs } from './namespaces.ts';
import {
  filterTable,
  frameFilterTable,
  isOutdated,
  type ProtectionRoute,
  type ProtectionTable,
  replyPriority,
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
        routes: (await listRoutes(socket, families)).flatMap(({ table, type, oif, ...route }) =>
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
        for (const { table, destination } of await listRoutes(socket, families)) {
          if (table === tunnelTable && isOutdated(destination, routes)) {
            await deleteRoute(socket, { table, destination });
          }
        }
        for (const family of families) {
          await deleteAllRules(socket, { family, priority: replyPriority });
        }
        for (const rule of rules) {
          await addRule(socket, rule).catch(unless('EEXIST'));
        }
      });
    },

    async lift(netns) {
      await withRoute(netns, async (socket) => {
        for (const family of families) {
          for (const priority of rulePriorities) {
            await deleteAllRules(socket, { family, priority });
          }
        }
      });
      await withNetfilter(netns, async (socket) => {
        await deleteTables(socket, [filterTable]);
        await deleteTables(socket, [frameFilterTable]).catch(unless('EOPNOTSUPP'));
      });
    },

    numberOf(netns) {
      const file = openLibc().open(netns);
      return withRoute(undefined, (socket) => getNsid(socket, file)).finally(() => openLibc().close(file));
    },

    async expectWatch() {
      (await openEventSocket()).close();
    },

    watch(onChange, isUrgent) {
      let isClosed = false;
      let lastCause: string | undefined;
      const poll = (socket: EventSocket) => {
        if (isClosed) {
          socket.close();
          return;
        }
        const where = changesIn(socket);
        if (where === 'anywhere' || where.size > 0) {
          onChange(where);
        }
        setTimeout(poll, isUrgent() ? pollMs.urgent : pollMs.idle, socket).unref();
      };
      const open = async () => {
        try {
          const socket = await openEventSocket();
          if (lastCause !== undefined) {
            onChange('anywhere');
          }
          poll(socket);
        } catch (error) {
          const { message } = error as Error;
          if (message !== lastCause) {
            logWatchEnd(log, message);
          }
          lastCause = message;
          setTimeout(open, watchPauseMs).unref();
        }
      };
      void open();
      return {
        close() {
          isClosed = true;
        },
      };
    },
  };
}

/** Where there is news from, up to the last that has come. */
function changesIn(socket: EventSocket): Changed {
  const numbers = new Set<number>();
  try {
    for (;;) {
      const { nsid } = socket.receive();
      // Without one it is this process's own.
      if (nsid !== undefined) {
        numbers.add(nsid);
      }
    }
  } catch (error) {
    // Else there were more of them than the socket holds (ENOBUFS).
    return error instanceof NetlinkError && error.errno === 'EAGAIN' ? numbers : 'anywhere';
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

function withRoute<Result>(
  netns: NetworkNamespace | undefined,
  use: (socket: NetlinkSocket) => Promise<Result>,
) {
  return withNetlinkSocket({ protocol: NETLINK_ROUTE, netns }, use);
}

function withNetfilter<Result>(netns: NetworkNamespace, use: (socket: NetlinkSocket) => Promise<Result>) {
  return withNetlinkSocket({ protocol: NETLINK_NETFILTER, netns }, use);
}
