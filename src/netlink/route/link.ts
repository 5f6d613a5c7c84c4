import { type Attribute, AttributeTable, encodeAttributes } from '../attribute.ts';
import { chars, concat, cString, readCString, readI32, readU32, u16, u32 } from '../bytes.ts';
import { malformed } from '../error.ts';

// linux/rtnetlink.h
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
// linux/if_link.h
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_EXT_MASK = 29;
const IFLA_INFO_KIND = 1;
/** linux/rtnetlink.h: without the statistics, a third of the answer. */
const RTEXT_FILTER_SKIP_STATS = 1 << 3;

/** linux/if.h */
const IFF_UP = 1;

/** sizeof(struct ifinfomsg) */
const headerLength = 16;

/** A link to make. */
export interface LinkSpecification {
  readonly name: string;
  /** `wireguard`, `bridge`, … */
  readonly kind: string;
  readonly mtu?: number;
}

/** A link as the kernel has it. */
export interface Link {
  /** ifi_index: stays the same when the link gets another name. */
  readonly index: number;
  readonly name: string;
  readonly isUp: boolean;
  readonly mtu: number | undefined;
  /** Undefined for a device of hardware, and the loopback. */
  readonly kind: string | undefined;
  readonly alias: string | undefined;
}

/** Of an RTM_NEWLINK that creates. Without an alias: the kernel ignores one here. */
export function encodeNewLink({ name, kind, mtu }: LinkSpecification): Uint8Array {
  return encodeLink(0, [
    ...(mtu === undefined ? [] : [{ type: IFLA_MTU, value: u32(mtu) }]),
    { type: IFLA_IFNAME, value: cString(name) },
    // Not marked as nested, as `ip` does it: kernels from before the mark know it so.
    {
      type: IFLA_LINKINFO,
      value: encodeAttributes([{ type: IFLA_INFO_KIND, value: chars(kind) }]),
    },
  ]);
}

/** Of an RTM_NEWLINK that changes a link. */
export function encodeSetAlias(name: string, alias: string): Uint8Array {
  return encodeLink(0, [
    { type: IFLA_IFNAME, value: cString(name) },
    { type: IFLA_IFALIAS, value: chars(alias) },
  ]);
}

/** Of an RTM_NEWLINK that changes the link of an index. */
export function encodeSetMtu(index: number, mtu: number): Uint8Array {
  return encodeLink(index, [{ type: IFLA_MTU, value: u32(mtu) }]);
}

/** Of an RTM_NEWLINK that sets the link of an index up. */
export function encodeSetUp(index: number): Uint8Array {
  return concat([u16(0), u16(0), u32(index), u32(IFF_UP), u32(IFF_UP)]);
}

/** Of an RTM_GETLINK, by a name or an index; without one for a dump of all. */
export function encodeGetLink(link?: string | number): Uint8Array {
  return encodeLink(typeof link === 'number' ? link : 0, [
    { type: IFLA_EXT_MASK, value: u32(RTEXT_FILTER_SKIP_STATS) },
    ...(typeof link === 'string' ? [{ type: IFLA_IFNAME, value: cString(link) }] : []),
  ]);
}

/** Of an RTM_DELLINK. */
export function encodeDeleteLink(index: number): Uint8Array {
  return encodeLink(index, []);
}

/** The payload of an RTM_NEWLINK that the kernel sent. @throws NetlinkError if it is malformed */
export function decodeLink(payload: Uint8Array): Link {
  if (payload.length < headerLength) {
    throw malformed('ifinfomsg', `expected ${headerLength} bytes, got ${payload.length}`);
  }
  const table = new AttributeTable(payload.subarray(headerLength));
  const name = table.get({ IFLA_IFNAME }, readCString);
  if (name === undefined) {
    throw malformed('ifinfomsg', 'expected an IFLA_IFNAME, got none');
  }
  return {
    index: readI32(payload, 4),
    name,
    isUp: (readU32(payload, 8) & IFF_UP) !== 0,
    mtu: table.get({ IFLA_MTU }, readU32, 4),
    kind: table.get({ IFLA_LINKINFO }, (value) =>
      new AttributeTable(value).get({ IFLA_INFO_KIND }, readCString),
    ),
    alias: table.get({ IFLA_IFALIAS }, readCString),
  };
}

/** `struct ifinfomsg`: ifi_family, padding, ifi_type, ifi_index, ifi_flags and ifi_change; and attributes. */
function encodeLink(index: number, attributes: readonly Attribute[]): Uint8Array {
  return concat([u16(0), u16(0), u32(index), u32(0), u32(0), encodeAttributes(attributes)]);
}
