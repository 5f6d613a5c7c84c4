import { NetlinkError } from '../netlink/error.ts';
import type { Family } from '../netlink/family.ts';
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
import { kernelFamilies } from './families.ts';
import { type Changed, type Namespaces, watchPauseMs } from './namespaces.ts';
import {
  filterTable,
  frameFilterTable,
  isStale,
  type ProtectionRoute,
  type ProtectionTable,
  replyPriority,
  rulePriorities,
  tunnelTable,
} from './protection.ts';

/** Reading a socket that has nothing costs some 10 µs, and a container that starts waits for its link. */
const pollMs = { urgent: 5, idle: 50 } as const;

/** By messages to the kernel, without programs of the host. */
export function netlinkNamespaces(): Namespaces {
  const families = kernelFamilies();
  const isOfKernel = (family: Family) => families.includes(family);
  return {
    read: (netns) =>
      withRoute(netns, async (socket) => ({
        links: await listLinks(socket),
        routes: (await listRoutes(socket, families)).flatMap(({ table, type, oif, ...route }) =>
          table === RT_TABLE_MAIN && type === RTN_UNICAST && oif !== undefined ? { ...route, oif } : [],
        ),
      })),

    async apply(netns, { filter, frameFilter, routes, rules }) {
      const applied = await withNetfilter(netns, async (socket) => {
        try {
          await replaceTables(socket, [filter, frameFilter].map(encoded));
          return {};
        } catch (error) {
          expectErrno('EOPNOTSUPP')(error);
          await replaceTables(socket, [encoded(filter)]);
          return { unfilteredFrames: (error as Error).message };
        }
      });
      await withRoute(netns, async (socket) => {
        for (const route of routes.filter(({ destination }) => isOfKernel(destination.address.kind()))) {
          await replaceRoute(socket, withIndex(route));
        }
        for (const { table, destination } of await listRoutes(socket, families)) {
          if (table === tunnelTable && isStale(destination, routes)) {
            await deleteRoute(socket, { table, destination });
          }
        }
        for (const family of families) {
          await deleteAllRules(socket, { family, priority: replyPriority });
        }
        for (const rule of rules.filter(({ family }) => isOfKernel(family))) {
          await addRule(socket, rule).catch(expectErrno('EEXIST'));
        }
      });
      return applied;
    },

    async remove(netns) {
      await withRoute(netns, async (socket) => {
        for (const family of families) {
          for (const priority of rulePriorities) {
            await deleteAllRules(socket, { family, priority });
          }
        }
      });
      await withNetfilter(netns, async (socket) => {
        await deleteTables(socket, [filterTable]);
        await deleteTables(socket, [frameFilterTable]).catch(expectErrno('EOPNOTSUPP'));
      });
    },

    nsidOf(netns) {
      const file = openLibc().open(netns);
      return withRoute(undefined, (socket) => getNsid(socket, file)).finally(() => openLibc().close(file));
    },

    async probeWatch() {
      (await openEventSocket()).close();
    },

    watch({ onChange, onFailure, isUrgent }) {
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
            onFailure(message);
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
    expectErrno('ENOENT')(error);
  }
}

function expectErrno(errno: string) {
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
