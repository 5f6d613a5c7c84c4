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
