import { type Attribute, encodeAttributes, NLA_F_NESTED, nested } from '../attribute.ts';
import { be16, be32, concat, cString, u8 } from '../bytes.ts';
import { type Expression, type Verdict, verdictCode } from './expression.ts';

// linux/netfilter/nfnetlink.h
export const NFNL_MSG_BATCH_BEGIN = 16;
export const NFNL_MSG_BATCH_END = 17;
const NFNL_SUBSYS_NFTABLES = 10;
const NFNETLINK_V0 = 0;
// linux/netfilter/nf_tables.h, enum nf_tables_msg_types; nfnetlink has the subsystem in the upper byte
export const NFT_MSG_NEWTABLE = NFNL_SUBSYS_NFTABLES << 8;
export const NFT_MSG_DELTABLE = NFT_MSG_NEWTABLE + 2;
export const NFT_MSG_NEWCHAIN = NFT_MSG_NEWTABLE + 3;
export const NFT_MSG_NEWRULE = NFT_MSG_NEWTABLE + 6;
export const NFT_MSG_NEWSET = NFT_MSG_NEWTABLE + 9;
export const NFT_MSG_NEWSETELEM = NFT_MSG_NEWTABLE + 12;
const NFTA_TABLE_NAME = 1;
const NFTA_TABLE_FLAGS = 2;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_POLICY = 5;
const NFTA_CHAIN_TYPE = 7;
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_HOOK_PRIORITY = 2;
const NFTA_HOOK_DEV = 3;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_LIST_ELEM = 1;
const NFTA_SET_TABLE = 1;
const NFTA_SET_NAME = 2;
const NFTA_SET_FLAGS = 3;
const NFTA_SET_KEY_TYPE = 4;
const NFTA_SET_KEY_LEN = 5;
const NFTA_SET_ID = 10;
const NFT_SET_INTERVAL = 4;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_FLAGS = 3;
const NFTA_DATA_VALUE = 1;
const NFT_SET_ELEM_INTERVAL_END = 1;

/** linux/netfilter.h: NFPROTO_INET and NFPROTO_NETDEV */
const families = { inet: 1, netdev: 5 } as const;

/** enum nf_inet_hooks and enum nf_dev_hooks */
const hooks = { prerouting: 0, forward: 2, output: 3, postrouting: 4, egress: 1 } as const;

export interface TableName {
  readonly family: keyof typeof families;
  readonly name: string;
}

/** A base chain. */
export interface Chain {
  readonly name: string;
  readonly type: 'filter' | 'route' | 'nat';
  readonly hook: keyof typeof hooks;
  /** Of the egress hook: the name of its link. */
  readonly device?: string;
  /** The smallest is asked first. */
  readonly priority: number;
  readonly policy: Verdict;
}

/** What nft(8) calls types, by which it shows elements: TYPE_IPADDR and TYPE_IP6ADDR of its datatype.h. */
const keyTypes = { ipv4: { type: 7, length: 4 }, ipv6: { type: 8, length: 16 } } as const;

/** Addresses of a family, by ranges that neither overlap nor touch, in their order: see merged. */
export interface AddressSet {
  readonly name: string;
  readonly family: keyof typeof keyTypes;
  readonly ranges: readonly (readonly [first: bigint, last: bigint])[];
}

/** Of a batch's NFNL_MSG_BATCH_BEGIN and NFNL_MSG_BATCH_END. */
export function encodeBatchMark(): Uint8Array {
  return encodeNetfilter(0, NFNL_SUBSYS_NFTABLES, []);
}

/** Of an NFT_MSG_NEWTABLE. */
export function encodeNewTable({ family, name }: TableName): Uint8Array {
  return encodeNetfilter(families[family], 0, [
    { type: NFTA_TABLE_NAME, value: cString(name) },
    { type: NFTA_TABLE_FLAGS, value: be32(0) },
  ]);
}

/** Of an NFT_MSG_DELTABLE. */
export function encodeDeleteTable({ family, name }: TableName): Uint8Array {
  return encodeNetfilter(families[family], 0, [{ type: NFTA_TABLE_NAME, value: cString(name) }]);
}

/** Of an NFT_MSG_NEWCHAIN. */
export function encodeNewChain(
  table: TableName,
  { name, type, hook, device, priority, policy }: Chain,
): Uint8Array {
  return encodeNetfilter(families[table.family], 0, [
    { type: NFTA_CHAIN_TABLE, value: cString(table.name) },
    { type: NFTA_CHAIN_NAME, value: cString(name) },
    { type: NFTA_CHAIN_TYPE, value: cString(type) },
    { type: NFTA_CHAIN_POLICY, value: be32(verdictCode(policy)) },
    nested(NFTA_CHAIN_HOOK, [
      { type: NFTA_HOOK_HOOKNUM, value: be32(hooks[hook]) },
      { type: NFTA_HOOK_PRIORITY, value: be32(priority) },
      ...(device === undefined ? [] : [{ type: NFTA_HOOK_DEV, value: cString(device) }]),
    ]),
  ]);
}

/** Of an NFT_MSG_NEWSET. @param id of the set in its batch */
export function encodeNewSet(table: TableName, { name, family }: AddressSet, id: number): Uint8Array {
  const { type, length } = keyTypes[family];
  return encodeNetfilter(families[table.family], 0, [
    { type: NFTA_SET_TABLE, value: cString(table.name) },
    { type: NFTA_SET_NAME, value: cString(name) },
    { type: NFTA_SET_FLAGS, value: be32(NFT_SET_INTERVAL) },
    { type: NFTA_SET_KEY_TYPE, value: be32(type) },
    { type: NFTA_SET_KEY_LEN, value: be32(length) },
    { type: NFTA_SET_ID, value: be32(id) },
  ]);
}

/** What the 16 bits of a list's length leave room for: each range has two elements, of 36 bytes at most. */
const rangesInMessage = 800;

/** Of NFT_MSG_NEWSETELEMs, as many as it takes. */
export function encodeNewElements(table: TableName, { name, family, ranges }: AddressSet): Uint8Array[] {
  const { length } = keyTypes[family];
  const end = 1n << BigInt(8 * length);
  const messages: Uint8Array[] = [];
  for (let offset = 0; offset < ranges.length; offset += rangesInMessage) {
    const elements = ranges.slice(offset, offset + rangesInMessage).flatMap(([first, last]) => [
      encodeElement(first, length, false),
      // It is the first that is outside; nothing is behind the last address of all.
      ...(last + 1n === end ? [] : [encodeElement(last + 1n, length, true)]),
    ]);
    messages.push(
      encodeNetfilter(families[table.family], 0, [
        { type: NFTA_SET_ELEM_LIST_TABLE, value: cString(table.name) },
        { type: NFTA_SET_ELEM_LIST_SET, value: cString(name) },
        { type: NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED, value: concat(elements) },
      ]),
    );
  }
  return messages;
}

/** An NFTA_LIST_ELEM with its key and flags: written by hand, since there are thousands. */
function encodeElement(value: bigint, length: 4 | 16, isEnd: boolean): Uint8Array {
  const bytes = new Uint8Array(12 + length + (isEnd ? 8 : 0));
  const view = new DataView(bytes.buffer);
  const attribute = (offset: number, size: number, type: number) => {
    view.setUint16(offset, size, true);
    view.setUint16(offset + 2, type, true);
  };
  attribute(0, bytes.length, NFTA_LIST_ELEM | NLA_F_NESTED);
  attribute(4, 8 + length, NFTA_SET_ELEM_KEY | NLA_F_NESTED);
  attribute(8, 4 + length, NFTA_DATA_VALUE);
  if (length === 4) {
    view.setUint32(12, Number(value));
  } else {
    view.setBigUint64(12, value >> 64n);
    view.setBigUint64(20, value & 0xffff_ffff_ffff_ffffn);
  }
  if (isEnd) {
    attribute(12 + length, 8, NFTA_SET_ELEM_FLAGS);
    view.setUint32(16 + length, NFT_SET_ELEM_INTERVAL_END);
  }
  return bytes;
}

/** Of an NFT_MSG_NEWRULE. */
export function encodeNewRule(
  table: TableName,
  chain: string,
  expressions: readonly Expression[],
): Uint8Array {
  return encodeNetfilter(families[table.family], 0, [
    { type: NFTA_RULE_TABLE, value: cString(table.name) },
    { type: NFTA_RULE_CHAIN, value: cString(chain) },
    nested(
      NFTA_RULE_EXPRESSIONS,
      expressions.map((value) => ({ type: NFTA_LIST_ELEM | NLA_F_NESTED, value })),
    ),
  ]);
}

/** `struct nfgenmsg` and attributes. */
function encodeNetfilter(family: number, resource: number, attributes: readonly Attribute[]): Uint8Array {
  return concat([u8(family), u8(NFNETLINK_V0), be16(resource), encodeAttributes(attributes)]);
}
