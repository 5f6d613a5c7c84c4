import ipaddr from 'ipaddr.js';
import { type Address, addressBytes, bits, type Prefix } from '../../wireguard/address.ts';
import { type Attribute, AttributeTable, encodeAttributes } from '../attribute.ts';
import { concat, readU32, u8, u32 } from '../bytes.ts';
import { malformed } from '../error.ts';
import { AF_INET, AF_INET6, familyNumber } from '../family.ts';

// linux/rtnetlink.h
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_METRICS = 8;
const RTA_TABLE = 15;
const RTA_MARK = 16;
const RTAX_MTU = 2;
/** The route that is used, and not what the kernel has learnt of the path of one address. */
const RTM_F_FIB_MATCH = 0x2000;
export const RTN_UNICAST = 1;
/** To this host itself. */
export const RTN_LOCAL = 2;
export const RTN_UNREACHABLE = 7;
/** The search goes on with the next rule. */
export const RTN_THROW = 9;
export const RT_TABLE_MAIN = 254;
/** The kernel made it by itself, for an address. */
export const RTPROT_KERNEL = 2;
const RTPROT_BOOT = 3;
/** From a router advertisement. */
export const RTPROT_RA = 9;
const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_LINK = 253;
/** Of a route to delete: any scope. */
const RT_SCOPE_NOWHERE = 255;
/** Of rtm_flags, for its one next hop. */
const RTNH_F_ONLINK = 4;

/** sizeof(struct rtmsg) */
const headerLength = 12;

/** A route to add. */
export interface NewRoute {
  readonly table: number;
  readonly destination: Prefix;
  /** Without it what goes there is unreachable, or left to the rules behind. */
  readonly oif?: number | undefined;
  readonly isThrow?: boolean;
  readonly gateway?: Address | undefined;
  /** The gateway is on the link, whether or not there is a route to it. */
  readonly isOnLink?: boolean;
  /** The smallest of a destination counts. 0 unless told, which IPv6 takes for 1024. */
  readonly metric?: number;
}

export type RouteToDelete = Pick<NewRoute, 'table' | 'destination' | 'metric' | 'oif'>;

/** A route as the kernel has it. */
export interface Route {
  readonly table: number;
  readonly type: number;
  readonly destination: Prefix;
  /** Who made it: RTPROT_… */
  readonly protocol: number;
  /** Undefined for a route that has no link, or several. */
  readonly oif: number | undefined;
  readonly gateway: Address | undefined;
  readonly metric: number;
  /** Bytes; undefined where the link says it. */
  readonly mtu: number | undefined;
}

/** Of an RTM_NEWROUTE. */
export function encodeNewRoute({
  table,
  destination,
  oif,
  gateway,
  isOnLink,
  metric,
  isThrow,
}: NewRoute): Uint8Array {
  const isReachable = oif !== undefined;
  const isDirect = isReachable && gateway === undefined && destination.address.kind() === 'ipv4';
  return encodeRoute({
    family: familyNumber(destination.address.kind()),
    destinationLength: destination.length,
    protocol: RTPROT_BOOT,
    scope: isDirect ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
    type: isReachable ? RTN_UNICAST : isThrow ? RTN_THROW : RTN_UNREACHABLE,
    flags: isOnLink ? RTNH_F_ONLINK : 0,
    attributes: [
      { type: RTA_DST, value: addressBytes(destination.address) },
      ...(gateway === undefined ? [] : [{ type: RTA_GATEWAY, value: addressBytes(gateway) }]),
      { type: RTA_TABLE, value: u32(table) },
      ...(metric === undefined ? [] : [{ type: RTA_PRIORITY, value: u32(metric) }]),
      ...(isReachable ? [{ type: RTA_OIF, value: u32(oif) }] : []),
    ],
  });
}

/** Of an RTM_DELROUTE: the first route to a destination, or the one with a metric or by a link. */
export function encodeDeleteRoute({ table, destination, metric, oif }: RouteToDelete): Uint8Array {
  return encodeRoute({
    family: familyNumber(destination.address.kind()),
    destinationLength: destination.length,
    protocol: 0,
    scope: RT_SCOPE_NOWHERE,
    type: 0,
    flags: 0,
    attributes: [
      { type: RTA_DST, value: addressBytes(destination.address) },
      { type: RTA_TABLE, value: u32(table) },
      ...(metric === undefined ? [] : [{ type: RTA_PRIORITY, value: u32(metric) }]),
      ...(oif === undefined ? [] : [{ type: RTA_OIF, value: u32(oif) }]),
    ],
  });
}

/** Of an RTM_GETROUTE for a dump of all routes, of every family (AF_UNSPEC) and table. */
export function encodeGetRoutes(): Uint8Array {
  return new Uint8Array(headerLength);
}

/**
 * Of an RTM_GETROUTE for the route that packets of this host to an address take.
 * @param mark of the packets; 0 is none
 * @param isMatch with `false` the way of a packet by one of the links of a route that has several
 */
export function encodeGetRouteTo(address: Address, mark: number, isMatch: boolean): Uint8Array {
  const family = familyNumber(address.kind());
  const header = [family, bits(address), 0, 0, 0, 0, 0, 0].map(u8);
  return concat([
    ...header,
    u32(isMatch ? RTM_F_FIB_MATCH : 0),
    encodeAttributes([
      { type: RTA_DST, value: addressBytes(address) },
      ...(mark === 0 ? [] : [{ type: RTA_MARK, value: u32(mark) }]),
    ]),
  ]);
}

/** The payload of an RTM_NEWROUTE that the kernel sent. @throws NetlinkError if it is malformed */
export function decodeRoute(payload: Uint8Array): Route {
  const [family = 0, length = 0, , , table = 0, protocol = 0, , type = 0] = payload;
  if (payload.length < headerLength) {
    throw malformed('rtmsg', `expected ${headerLength} bytes, got ${payload.length}`);
  }
  if (family !== AF_INET && family !== AF_INET6) {
    throw malformed('rtmsg', `expected a route of IPv4 or IPv6, got one of family ${family}`);
  }
  const bytes = family === AF_INET ? 4 : 16;
  if (length > 8 * bytes) {
    throw malformed('rtmsg', `expected a prefix of at most ${8 * bytes} bits, got ${length}`);
  }
  const attributes = new AttributeTable(payload.subarray(headerLength));
  const address = (value: Uint8Array) => ipaddr.fromByteArray([...value]);
  const anywhere = address(new Uint8Array(bytes));
  return {
    table: attributes.get({ RTA_TABLE }, readU32, 4) ?? table,
    type,
    protocol,
    destination: { address: attributes.get({ RTA_DST }, address, bytes) ?? anywhere, length },
    oif: attributes.get({ RTA_OIF }, readU32, 4),
    gateway: attributes.get({ RTA_GATEWAY }, address, bytes),
    metric: attributes.get({ RTA_PRIORITY }, readU32, 4) ?? 0,
    mtu: attributes.get({ RTA_METRICS }, (value) => new AttributeTable(value).get({ RTAX_MTU }, readU32, 4)),
  };
}

/** Is the payload of an RTM_NEWROUTE or RTM_DELROUTE about a default route of the main table? */
export function isOfMainDefault([, length, , , table]: Uint8Array): boolean {
  return length === 0 && table === RT_TABLE_MAIN;
}

interface EncodedRoute {
  readonly family: number;
  readonly destinationLength: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
  readonly flags: number;
  readonly attributes: readonly Attribute[];
}

/** `struct rtmsg`: its table of 8 bits is unspecified, RTA_TABLE has it; and attributes. */
function encodeRoute({
  family,
  destinationLength,
  protocol,
  scope,
  type,
  flags,
  attributes,
}: EncodedRoute): Uint8Array {
  const header = [family, destinationLength, 0, 0, 0, protocol, scope, type].map(u8);
  return concat([...header, u32(flags), encodeAttributes(attributes)]);
}
