import { formatPrefix } from '../../wireguard/address.ts';
import { NetlinkError } from '../error.ts';
import { AF_INET, AF_INET6, type Family } from '../family.ts';
import { type NetlinkMessage, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from '../message.ts';
import { decodedFor, dump, execute, type Request } from '../request.ts';
import type { NetlinkSocket } from '../socket.ts';
import {
  decodeLink,
  encodeDeleteLink,
  encodeGetLink,
  encodeNewLink,
  encodeSetAlias,
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
  encodeNewRoute,
  type NewRoute,
  type Route,
  RTM_DELROUTE,
  RTM_GETROUTE,
  RTM_NEWROUTE,
} from './route.ts';
import { encodeDeleteRule, encodeNewRule, RTM_DELRULE, RTM_NEWRULE, type Rule } from './rule.ts';

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
 * Gives a link its ifalias. Never send it along with the message that creates the link: the kernel goes on
 * with a datagram after an error, and would set the alias of the link that had the name before.
 * @throws NetlinkError
 */
export async function setLinkAlias(socket: NetlinkSocket, name: string, alias: string): Promise<void> {
  await execute(socket, {
    type: RTM_NEWLINK,
    payload: encodeSetAlias(name, alias),
    operation: 'set alias of',
    subject: `link ${name}`,
  });
}

/** The link of a name. @throws NetlinkError, with errno ENODEV if there is none */
export async function getLink(socket: NetlinkSocket, name: string): Promise<Link> {
  const request = {
    type: RTM_GETLINK,
    payload: encodeGetLink(name),
    operation: 'get',
    subject: `link ${name}`,
  };
  const [link] = linksIn(await execute(socket, request), request);
  if (link === undefined) {
    throw new NetlinkError('get', `link ${name}`, { text: 'the kernel’s answer has no RTM_NEWLINK' });
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

/** The routes of some families, in every table, of the socket's namespace. @throws NetlinkError */
export async function listRoutes(socket: NetlinkSocket, families: readonly Family[]): Promise<Route[]> {
  const routes: Route[] = [];
  for (const family of families) {
    const payload = encodeGetRoutes(family === 'ipv4' ? AF_INET : AF_INET6);
    const request = { type: RTM_GETROUTE, payload, operation: 'list', subject: 'routes' };
    const answer = (await dump(socket, request)).filter(({ type }) => type === RTM_NEWROUTE);
    routes.push(...decodedFor(request, () => answer.map((message) => decodeRoute(message.payload))));
  }
  return routes;
}

/** Adds a route, in place of the one with its table, destination and metric if there is one. @throws NetlinkError */
export async function replaceRoute(socket: NetlinkSocket, route: NewRoute): Promise<void> {
  await execute(socket, {
    type: RTM_NEWROUTE,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    payload: encodeNewRoute(route),
    operation: 'replace',
    subject: `route to ${formatPrefix(route.destination)} in table ${route.table}`,
  });
}

/** Deletes the first route to a destination. @throws NetlinkError, with errno ESRCH if there is none */
export async function deleteRoute(
  socket: NetlinkSocket,
  route: Pick<NewRoute, 'table' | 'destination'>,
): Promise<void> {
  await execute(socket, {
    type: RTM_DELROUTE,
    payload: encodeDeleteRoute(route),
    operation: 'delete',
    subject: `route to ${formatPrefix(route.destination)} in table ${route.table}`,
  });
}

/** Adds a rule. @throws NetlinkError, with errno EEXIST if there is the same */
export async function addRule(socket: NetlinkSocket, rule: Rule): Promise<void> {
  await execute(socket, {
    type: RTM_NEWRULE,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: encodeNewRule(rule),
    operation: 'add',
    subject: `rule ${rule.priority}`,
  });
}

/** Deletes the first rule of a priority. @throws NetlinkError, with errno ENOENT if there is none */
export async function deleteRule(
  socket: NetlinkSocket,
  rule: Pick<Rule, 'family' | 'priority'>,
): Promise<void> {
  await execute(socket, {
    type: RTM_DELRULE,
    payload: encodeDeleteRule(rule),
    operation: 'delete',
    subject: `rule ${rule.priority}`,
  });
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
