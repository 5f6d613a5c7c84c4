import { NetlinkError } from '../netlink/error.ts';
import { deleteTables, replaceTables } from '../netlink/nftables/client.ts';
import {
  addAddress,
  addRoute,
  changeRouting,
  deleteAddress,
  getLink,
  listAddresses,
  listLinks,
  listRoutes,
  setLinkAlias,
  setLinkUp,
} from '../netlink/route/client.ts';
import type { Link } from '../netlink/route/link.ts';
import {
  type Route,
  RT_SCOPE_LINK,
  RT_TABLE_MAIN,
  RTN_UNICAST,
  RTPROT_KERNEL,
} from '../netlink/route/route.ts';
import {
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  type NetlinkSocket,
  withNetlinkSocket,
} from '../netlink/socket.ts';
import type { Prefix } from '../wireguard/address.ts';
import type { HubHost } from './host.ts';

const none = { newRoutes: [], oldRules: [], newRules: [], oldRoutes: [] } as const;

/** By messages to the kernel, on runtimes that can (openLibc). */
export function hostByNetlink(): HubHost {
  const onLink = <Result>(name: string, use: (socket: NetlinkSocket, link: Link) => Promise<Result>) =>
    withNetlinkSocket({ protocol: NETLINK_ROUTE }, async (socket) =>
      use(socket, await getLink(socket, name)),
    );

  return {
    async link(name) {
      try {
        return await onLink(name, async (_, link) => link);
      } catch (error) {
        if (error instanceof NetlinkError && error.errno === 'ENODEV') {
          return undefined;
        }
        throw error;
      }
    },
    setUp: (name) => onLink(name, setLinkUp),
    setAlias: (name, alias) =>
      onLink(name, async (socket) => {
        await setLinkAlias(socket, name, alias);
      }),

    addresses: (name) =>
      onLink(name, async (socket, { index }) =>
        (await listAddresses(socket))
          .filter((address) => address.index === index && address.scope !== RT_SCOPE_LINK)
          .map(({ address }) => address),
      ),
    addAddress: (name, address) => onLink(name, (socket, link) => addAddress(socket, link, address)),
    deleteAddress: (name, address) => onLink(name, (socket, link) => deleteAddress(socket, link, address)),

    routes: (name) =>
      onLink(name, async (socket, { index }) =>
        (await listRoutes(socket))
          .filter((route) => route.oif === index && isGiven(route))
          .map(({ destination }) => destination),
      ),
    otherRoutes: (name) =>
      withNetlinkSocket({ protocol: NETLINK_ROUTE }, async (socket) => {
        const names = new Map((await listLinks(socket)).map((link) => [link.index, link.name]));
        return (await listRoutes(socket))
          .filter(({ table }) => table === RT_TABLE_MAIN)
          .map(({ destination, metric, gateway, oif = 0 }) => ({
            destination,
            metric,
            gateway: gateway?.toString(),
            link: names.get(oif),
          }))
          .filter(({ link }) => link !== name);
      }),
    addRoute: (name, destination) =>
      onLink(name, (socket, { index: oif }) => addRoute(socket, { table: RT_TABLE_MAIN, destination, oif })),
    deleteRoute: (name, destination: Prefix) =>
      onLink(name, (socket, { index: oif }) =>
        changeRouting(socket, { ...none, oldRoutes: [{ table: RT_TABLE_MAIN, destination, oif }] }),
      ),

    uplinks: () =>
      withNetlinkSocket({ protocol: NETLINK_ROUTE }, async (socket) => {
        const routes = await listRoutes(socket);
        const indexes = routes
          .filter(({ table, destination }) => table === RT_TABLE_MAIN && destination.length === 0)
          .map(({ oif }) => oif);
        const links = await listLinks(socket);
        return links.filter(({ index }) => indexes.includes(index)).map(({ name }) => name);
      }),

    replaceTable: ({ chains, ...table }) =>
      withNetlinkSocket({ protocol: NETLINK_NETFILTER }, (socket) =>
        replaceTables(socket, [
          {
            ...table,
            chains: chains.map(({ rules, ...chain }) => ({
              ...chain,
              rules: rules.map((rule) => rule.flatMap(({ expressions }) => expressions)),
            })),
          },
        ]),
      ),
    deleteTable: ({ family, name }) =>
      withNetlinkSocket({ protocol: NETLINK_NETFILTER }, (socket) =>
        deleteTables(socket, [{ family, name }]),
      ),
  };
}

/** Somebody gave it to the link: the kernel makes one for each address, and those of multicast. */
function isGiven({ table, type, protocol, destination }: Route): boolean {
  return (
    table === RT_TABLE_MAIN &&
    type === RTN_UNICAST &&
    protocol !== RTPROT_KERNEL &&
    destination.address.range() !== 'linkLocal'
  );
}
