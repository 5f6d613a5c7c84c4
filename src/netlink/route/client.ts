import { type Address, formatPrefix, type Prefix } from '../../wireguard/address.ts';
import { NetlinkError } from '../error.ts';
import { AF_INET, AF_INET6 } from '../family.ts';
import { type NetlinkMessage, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from '../message.ts';
import { decodedFor, dump, execute, executeBatch, executeEach, type Request } from '../request.ts';
import type { NetlinkSocket } from '../socket.ts';
import {
  decodeAddress,
  encodeAddress,
  encodeGetAddresses,
  type OwnAddress,
  RTM_DELADDR,
  RTM_GETADDR,
  RTM_NEWADDR,
} from './address.ts';
import {
  decodeLink,
  encodeDeleteLink,
  encodeGetLink,
  encodeNewLink,
  encodeSetAlias,
  encodeSetMtu,
  encodeSetUp,
  type Link,
  type LinkSpecification,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
} from './link.ts';
import { decodeNsid, encodeGetNsid, RTM_GETNSID, RTM_NEWNSID } from './nsid.ts';
import {
  decodeRoute,
  encodeDeleteRoute,
  encodeGetRoutes,
  encodeGetRouteTo,
  encodeNewRoute,
  type NewRoute,
  type Route,
  type RouteToDelete,
  RTM_DELROUTE,
  RTM_GETROUTE,
  RTM_NEWROUTE,
} from './route.ts';
import {
  decodeRule,
  encodeDeleteRule,
  encodeGetRules,
  encodeNewRule,
  RTM_DELRULE,
  RTM_GETRULE,
  RTM_NEWRULE,
  type Rule,
} from './rule.ts';

/** Makes a link, down. @throws NetlinkError: EEXIST, EOPNOTSUPP (no such kind), EPERM … */
export async function createLink(socket: NetlinkSocket, link: LinkSpecification): Promise<void> {
  await execute(socket, {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: encodeNewLink(link),
    operation: 'create',
    subject: `link ${link.name}`,
  });
}

/**
 * Gives a link its ifalias, and tells its number, by one datagram. Never send it along with the message that creates the link: the kernel goes on
 * with a datagram after an error, and would set the alias of the link that had the name before.
 * @throws NetlinkError
 */
export async function setLinkAlias(socket: NetlinkSocket, name: string, alias: string): Promise<number> {
  const asked = { operation: 'set alias of', subject: `link ${name}` };
  const set = { ...asked, type: RTM_NEWLINK, payload: encodeSetAlias(name, alias) };
  const get = { ...asked, type: RTM_GETLINK, payload: encodeGetLink(name) };
  const [link] = linksIn(await executeBatch(socket, [set, get]), get);
  if (link === undefined) {
    throw new NetlinkError(asked.operation, asked.subject, {
      text: 'the kernel’s answer has no RTM_NEWLINK',
    });
  }
  return link.index;
}

/** Gives a link an MTU, by its index. @throws NetlinkError: EINVAL (out of the range of its kind), ENODEV … */
export async function setLinkMtu(socket: NetlinkSocket, { index, name }: Link, mtu: number): Promise<void> {
  await execute(socket, {
    type: RTM_NEWLINK,
    payload: encodeSetMtu(index, mtu),
    operation: 'set MTU of',
    subject: `link ${name}`,
  });
}

/** Sets a link up, by its index. @throws NetlinkError: EADDRINUSE (a WireGuard link’s port is taken) … */
export async function setLinkUp(socket: NetlinkSocket, { index, name }: Link): Promise<void> {
  await execute(socket, {
    type: RTM_NEWLINK,
    payload: encodeSetUp(index),
    operation: 'set up',
    subject: `link ${name}`,
  });
}

/** Gives a link an address; one that it has already is no error. @throws NetlinkError */
export async function addAddress(
  socket: NetlinkSocket,
  { index, name }: Link,
  address: Prefix,
): Promise<void> {
  await execute(socket, {
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    payload: encodeAddress(index, address),
    operation: `add address ${formatPrefix(address)} to`,
    subject: `link ${name}`,
  });
}

/** Takes an address from a link. @throws NetlinkError, with errno EADDRNOTAVAIL if it has it not */
export async function deleteAddress(
  socket: NetlinkSocket,
  { index, name }: Link,
  address: Prefix,
): Promise<void> {
  await execute(socket, {
    type: RTM_DELADDR,
    payload: encodeAddress(index, address),
    operation: `delete address ${formatPrefix(address)} of`,
    subject: `link ${name}`,
  });
}

/** The link of a name or an index. @throws NetlinkError, with errno ENODEV if there is none */
export async function getLink(socket: NetlinkSocket, nameOrIndex: string | number): Promise<Link> {
  const request = {
    type: RTM_GETLINK,
    payload: encodeGetLink(nameOrIndex),
    operation: 'get',
    subject: `link ${nameOrIndex}`,
  };
  const [link] = linksIn(await execute(socket, request), request);
  if (link === undefined) {
    throw new NetlinkError('get', request.subject, { text: 'the kernel’s answer has no RTM_NEWLINK' });
  }
  return link;
}

/**
 * Deletes a link, by its index: the name may be another one's by now. Takes 35 to 50 ms.
 * @throws NetlinkError, with errno ENODEV if it is gone
 */
export async function deleteLink(socket: NetlinkSocket, { index, name }: Link): Promise<void> {
  await execute(socket, {
    type: RTM_DELLINK,
    payload: encodeDeleteLink(index),
    operation: 'delete',
    subject: `link ${name}`,
  });
}

/** All links of the socket's namespace. @throws NetlinkError */
export async function listLinks(socket: NetlinkSocket): Promise<Link[]> {
  const request = { type: RTM_GETLINK, payload: encodeGetLink(), operation: 'list', subject: 'links' };
  return linksIn(await dump(socket, request), request);
}

/** The routes of IPv4 and IPv6, in every table, of the socket's namespace. @throws NetlinkError */
export function listRoutes(socket: NetlinkSocket): Promise<Route[]> {
  const request = {
    type: RTM_GETROUTE,
    payload: encodeGetRoutes(),
    operation: 'list',
    subject: 'routes',
  };
  return listInternet(socket, request, RTM_NEWROUTE, decodeRoute);
}

/**
 * The route that packets of this host to an address take; of one that has several links, the way by one of them.
 * @param mark of the packets; 0 is none
 * @throws NetlinkError, with errno ENETUNREACH, EHOSTUNREACH, EACCES or EINVAL if there is none, or one that says so
 */
export async function getRouteTo(socket: NetlinkSocket, address: Address, mark: number): Promise<Route> {
  const ask = async (isMatch: boolean) => {
    const request = {
      type: RTM_GETROUTE,
      payload: encodeGetRouteTo(address, mark, isMatch),
      operation: 'get',
      subject: `route to ${address.toString()}`,
    };
    const answer = (await execute(socket, request)).find(({ type }) => type === RTM_NEWROUTE);
    if (answer === undefined) {
      throw new NetlinkError('get', request.subject, { text: 'the kernel’s answer has no RTM_NEWROUTE' });
    }
    return decodedFor(request, () => decodeRoute(answer.payload));
  };
  const route = await ask(true);
  return route.oif === undefined ? ask(false) : route;
}

/** The addresses of IPv4 and IPv6, of all links of the socket's namespace. @throws NetlinkError */
export function listAddresses(socket: NetlinkSocket): Promise<OwnAddress[]> {
  const request = {
    type: RTM_GETADDR,
    payload: encodeGetAddresses(),
    operation: 'list',
    subject: 'addresses',
  };
  return listInternet(socket, request, RTM_NEWADDR, decodeAddress);
}

/** The rules of IPv4 and IPv6 that do nothing but look in a table, those of each in their order. @throws NetlinkError */
export async function listRules(socket: NetlinkSocket): Promise<Rule[]> {
  const request = { type: RTM_GETRULE, payload: encodeGetRules(), operation: 'list', subject: 'rules' };
  const rules = await listInternet(socket, request, RTM_NEWRULE, decodeRule);
  return rules.filter((rule) => rule !== undefined);
}

/** A dump of all families in one, as each dump costs time; those of multicast routing and MPLS are left out. */
async function listInternet<Item>(
  socket: NetlinkSocket,
  request: Request,
  wanted: number,
  decode: (payload: Uint8Array) => Item,
): Promise<Item[]> {
  const answer = (await dump(socket, request)).filter(
    ({ type, payload: [family = AF_INET] }) => type === wanted && (family === AF_INET || family === AF_INET6),
  );
  return decodedFor(request, () => answer.map(({ payload }) => decode(payload)));
}

/** Adds a route beside those that are there. @throws NetlinkError, with errno EEXIST if one has its table, destination and metric */
export async function addRoute(socket: NetlinkSocket, route: NewRoute): Promise<void> {
  await execute(socket, {
    type: RTM_NEWROUTE,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: encodeNewRoute(route),
    operation: 'add',
    subject: routeSubject(route),
  });
}

/** What is to come and to go, in this order: routes come, rules go and come, routes go. */
export interface RoutingChanges {
  readonly newRoutes: readonly NewRoute[];
  readonly oldRules: readonly Rule[];
  readonly newRules: readonly Rule[];
  readonly oldRoutes: readonly RouteToDelete[];
}

/**
 * Changes routes and rules, by as few messages as can be. Routes come in the place of those with their table,
 * destination and metric. @throws NetlinkError; the others are done all the same
 */
export async function changeRouting(
  socket: NetlinkSocket,
  { newRoutes, oldRules, newRules, oldRoutes }: RoutingChanges,
): Promise<void> {
  await executeEach(socket, [
    ...newRoutes.map((route) => ({
      type: RTM_NEWROUTE,
      flags: NLM_F_CREATE | NLM_F_REPLACE,
      payload: encodeNewRoute(route),
      operation: 'replace',
      subject: routeSubject(route),
    })),
    ...oldRules.map((rule) => ({
      type: RTM_DELRULE,
      payload: encodeDeleteRule(rule),
      operation: 'delete',
      subject: `rule ${rule.priority}`,
      expected: ['ENOENT'],
    })),
    ...newRules.map((rule) => ({
      type: RTM_NEWRULE,
      flags: NLM_F_CREATE | NLM_F_EXCL,
      payload: encodeNewRule(rule),
      operation: 'add',
      subject: `rule ${rule.priority}`,
      expected: ['EEXIST'],
    })),
    ...oldRoutes.map((route) => ({
      type: RTM_DELROUTE,
      payload: encodeDeleteRoute(route),
      operation: 'delete',
      subject: routeSubject(route),
      // Its link has gone meanwhile, and it with it.
      expected: ['ESRCH'],
    })),
  ]);
}

function routeSubject({ table, destination }: RouteToDelete): string {
  return `route to ${formatPrefix(destination)} in table ${table}`;
}

/**
 * The number (nsid) that a namespace, given as an open file, has in the socket's; undefined as long as it has
 * none. It has one once a link was moved there from here, and keeps it.
 * @throws NetlinkError
 */
export async function getNsid(socket: NetlinkSocket, file: number): Promise<number | undefined> {
  const request = {
    type: RTM_GETNSID,
    payload: encodeGetNsid(file),
    operation: 'get number of',
    subject: 'network namespace',
  };
  const answer = (await execute(socket, request)).find(({ type }) => type === RTM_NEWNSID);
  return answer && decodedFor(request, () => decodeNsid(answer.payload));
}

function linksIn(answer: readonly NetlinkMessage[], request: Request): Link[] {
  const links = answer.filter(({ type }) => type === RTM_NEWLINK);
  return decodedFor(request, () => links.map(({ payload }) => decodeLink(payload)));
}
