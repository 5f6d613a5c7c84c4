import { type Attribute, encodeAttributes, nested } from '../attribute.ts';
import { be32, cString } from '../bytes.ts';

// linux/netfilter/nf_tables.h
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFTA_IMMEDIATE_DREG = 1;
const NFTA_IMMEDIATE_DATA = 2;
const NFTA_META_DREG = 1;
const NFTA_META_KEY = 2;
const NFTA_META_SREG = 3;
const NFTA_CT_DREG = 1;
const NFTA_CT_KEY = 2;
const NFTA_CT_SREG = 4;
const NFTA_CMP_SREG = 1;
const NFTA_CMP_OP = 2;
const NFTA_CMP_DATA = 3;
const NFTA_BITWISE_SREG = 1;
const NFTA_BITWISE_DREG = 2;
const NFTA_BITWISE_LEN = 3;
const NFTA_BITWISE_MASK = 4;
const NFTA_BITWISE_XOR = 5;
const NFTA_PAYLOAD_DREG = 1;
const NFTA_PAYLOAD_BASE = 2;
const NFTA_PAYLOAD_OFFSET = 3;
const NFTA_PAYLOAD_LEN = 4;
const NFTA_LOOKUP_SET = 1;
const NFTA_LOOKUP_SREG = 2;
const NFT_REG_VERDICT = 0;
const NFT_REG_1 = 1;
const NFT_PAYLOAD_NETWORK_HEADER = 1;
const NFT_PAYLOAD_TRANSPORT_HEADER = 2;

export const NFT_META_PROTOCOL = 1;
export const NFT_META_MARK = 3;
export const NFT_META_IIF = 4;
export const NFT_META_OIF = 5;
export const NFT_META_IIFNAME = 6;
export const NFT_META_OIFNAME = 7;
export const NFT_META_RTCLASSID = 13;
export const NFT_META_L4PROTO = 16;

export const NFT_CT_STATE = 0;
export const NFT_CT_DIRECTION = 1;
export const NFT_CT_MARK = 3;

const NFT_CMP_EQ = 0;
const NFT_CMP_NEQ = 1;

// linux/netfilter.h
const NF_DROP = 0;
const NF_ACCEPT = 1;

/** A step of a rule, encoded: the value of one NFTA_LIST_ELEM. All that load use the one register. */
export type Expression = Uint8Array;

/** Loads what the kernel knows of a packet: an NFT_META_… */
export function loadMeta(key: number): Expression {
  return expression('meta', [number(NFTA_META_KEY, key), number(NFTA_META_DREG, NFT_REG_1)]);
}

export function storeMeta(key: number): Expression {
  return expression('meta', [number(NFTA_META_KEY, key), number(NFTA_META_SREG, NFT_REG_1)]);
}

/** Loads what the kernel knows of a packet's connection: an NFT_CT_… */
export function loadCt(key: number): Expression {
  return expression('ct', [number(NFTA_CT_KEY, key), number(NFTA_CT_DREG, NFT_REG_1)]);
}

export function storeCt(key: number): Expression {
  return expression('ct', [number(NFTA_CT_KEY, key), number(NFTA_CT_SREG, NFT_REG_1)]);
}

/** Loads bytes of the network header. */
export function loadNetworkHeader(offset: number, length: number): Expression {
  return loadHeader(NFT_PAYLOAD_NETWORK_HEADER, offset, length);
}

/** Loads bytes of the transport header, which the first fragment alone has. */
export function loadTransportHeader(offset: number, length: number): Expression {
  return loadHeader(NFT_PAYLOAD_TRANSPORT_HEADER, offset, length);
}

function loadHeader(base: number, offset: number, length: number): Expression {
  return expression('payload', [
    number(NFTA_PAYLOAD_DREG, NFT_REG_1),
    number(NFTA_PAYLOAD_BASE, base),
    number(NFTA_PAYLOAD_OFFSET, offset),
    number(NFTA_PAYLOAD_LEN, length),
  ]);
}

export function loadValue(value: Uint8Array): Expression {
  return expression('immediate', [
    number(NFTA_IMMEDIATE_DREG, NFT_REG_1),
    nested(NFTA_IMMEDIATE_DATA, [{ type: NFTA_DATA_VALUE, value }]),
  ]);
}

/** Leaves of what was loaded the bits of a mask. */
export function and(mask: Uint8Array): Expression {
  return expression('bitwise', [
    number(NFTA_BITWISE_SREG, NFT_REG_1),
    number(NFTA_BITWISE_DREG, NFT_REG_1),
    number(NFTA_BITWISE_LEN, mask.length),
    nested(NFTA_BITWISE_MASK, [{ type: NFTA_DATA_VALUE, value: mask }]),
    nested(NFTA_BITWISE_XOR, [{ type: NFTA_DATA_VALUE, value: new Uint8Array(mask.length) }]),
  ]);
}

/** Goes on with the rule only if what was loaded is this. */
export function isEqual(value: Uint8Array): Expression {
  return compare(NFT_CMP_EQ, value);
}

export function isNotEqual(value: Uint8Array): Expression {
  return compare(NFT_CMP_NEQ, value);
}

/** Goes on with the rule only if what was loaded is in a set. */
export function isIn(set: string): Expression {
  return expression('lookup', [
    { type: NFTA_LOOKUP_SET, value: cString(set) },
    number(NFTA_LOOKUP_SREG, NFT_REG_1),
  ]);
}

export type Verdict = 'accept' | 'drop';

export function verdictCode(verdict: Verdict): number {
  return verdict === 'accept' ? NF_ACCEPT : NF_DROP;
}

export function giveVerdict(verdict: Verdict): Expression {
  return expression('immediate', [
    number(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT),
    nested(NFTA_IMMEDIATE_DATA, [
      nested(NFTA_DATA_VERDICT, [number(NFTA_VERDICT_CODE, verdictCode(verdict))]),
    ]),
  ]);
}

/** What leaves gets the address of the link that it leaves by; for a chain of type `nat`. */
export function masquerade(): Expression {
  return expression('masq', []);
}

function compare(operator: number, value: Uint8Array): Expression {
  return expression('cmp', [
    number(NFTA_CMP_SREG, NFT_REG_1),
    number(NFTA_CMP_OP, operator),
    nested(NFTA_CMP_DATA, [{ type: NFTA_DATA_VALUE, value }]),
  ]);
}

function expression(name: string, data: readonly Attribute[]): Expression {
  return encodeAttributes([{ type: NFTA_EXPR_NAME, value: cString(name) }, nested(NFTA_EXPR_DATA, data)]);
}

function number(type: number, value: number): Attribute {
  return { type, value: be32(value) };
}
