import { addressBytes, bits, formatPrefix, masked, netmask, type Prefix } from '../../wireguard/address.ts';
import { be16, chars, concat, u8, u32 } from '../bytes.ts';
import {
  and,
  type Expression,
  giveVerdict,
  isEqual,
  isIn,
  isNotEqual,
  loadCt,
  loadMeta,
  loadNetworkHeader,
  loadTransportHeader,
  loadValue,
  masquerade as masqueradeExpression,
  NFT_CT_DIRECTION,
  NFT_CT_MARK,
  NFT_CT_STATE,
  NFT_META_IIF,
  NFT_META_IIFNAME,
  NFT_META_L4PROTO,
  NFT_META_MARK,
  NFT_META_OIF,
  NFT_META_OIFNAME,
  NFT_META_PROTOCOL,
  NFT_META_RTCLASSID,
  storeCt,
  storeMeta,
  type Verdict,
} from './expression.ts';

/** A part of an nftables rule, as nft(8) reads it and as the kernel does. */
export interface Statement {
  readonly text: string;
  readonly expressions: readonly Expression[];
}

// linux/if_ether.h
const ETH_P_IP = 0x0800;
const ETH_P_ARP = 0x0806;
const ETH_P_IPV6 = 0x86dd;
/** linux/in.h, linux/in6.h */
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
/** net/netfilter/nf_conntrack_common: a new connection's bit in the state, and the other direction. */
const NF_CT_STATE_BIT_NEW = 8;
const NF_CT_STATE_BITS_ESTABLISHED_RELATED = 2 | 4;
const IP_CT_DIR_REPLY = 1;

export function iif(index: number): Statement {
  return { text: `iif ${index}`, expressions: [loadMeta(NFT_META_IIF), isEqual(u32(index))] };
}

export function oif(index: number): Statement {
  return { text: `oif ${index}`, expressions: [loadMeta(NFT_META_OIF), isEqual(u32(index))] };
}

/** Out by any link but the one of this number. */
export function notOif(index: number): Statement {
  return { text: `oif != ${index}`, expressions: [loadMeta(NFT_META_OIF), isNotEqual(u32(index))] };
}

/** By any link whose name begins so. */
export function oifNamed(prefix: string): Statement {
  return { text: `oifname "${prefix}*"`, expressions: [loadMeta(NFT_META_OIFNAME), isEqual(chars(prefix))] };
}

/** linux/if.h: a name is compared with its zeros. */
const IFNAMSIZ = 16;

/** In by a link of this name, whichever has it at the time. */
export function iifName(name: string): Statement {
  return byName('iifname', NFT_META_IIFNAME, name);
}

/** Out by a link of this name. */
export function oifName(name: string): Statement {
  return byName('oifname', NFT_META_OIFNAME, name);
}

/** In by any link but the one of this name. */
export function notIifName(name: string): Statement {
  return byName('iifname !=', NFT_META_IIFNAME, name, isNotEqual);
}

/** Out by any link but the one of this name. */
export function notOifName(name: string): Statement {
  return byName('oifname !=', NFT_META_OIFNAME, name, isNotEqual);
}

function byName(words: string, key: number, name: string, compare = isEqual): Statement {
  const padded = concat([chars(name), new Uint8Array(IFNAMSIZ - name.length)]);
  return { text: `${words} "${name}"`, expressions: [loadMeta(key), compare(padded)] };
}

/** In every family of tables: IP of the prefix's family with such a source. */
export function source(prefix: Prefix): Statement {
  // RFC 791 section 3.1, RFC 8200 section 3
  return addressIn('saddr', { ipv4: 12, ipv6: 8 }, prefix);
}

/** The same with such a destination. */
export function destination(prefix: Prefix): Statement {
  return addressIn('daddr', { ipv4: 16, ipv6: 24 }, prefix);
}

/** The same with a destination that is in a set. */
export function destinationIn(set: string, family: 'ipv4' | 'ipv6'): Statement {
  const isIpv4 = family === 'ipv4';
  const name = isIpv4 ? 'ip' : 'ip6';
  return {
    text: `meta protocol ${name} ${name} daddr @${set}`,
    expressions: [
      loadMeta(NFT_META_PROTOCOL),
      isEqual(be16(isIpv4 ? ETH_P_IP : ETH_P_IPV6)),
      loadNetworkHeader(isIpv4 ? 16 : 24, isIpv4 ? 4 : 16),
      isIn(set),
    ],
  };
}

function addressIn(
  field: string,
  offsets: Readonly<Record<'ipv4' | 'ipv6', number>>,
  prefix: Prefix,
): Statement {
  const { address } = masked(prefix);
  const isIpv4 = address.kind() === 'ipv4';
  const name = isIpv4 ? 'ip' : 'ip6';
  const load = loadNetworkHeader(offsets[address.kind()], bits(address) / 8);
  return {
    text: `meta protocol ${name} ${name} ${field} ${formatPrefix({ address, length: prefix.length })}`,
    expressions: [
      loadMeta(NFT_META_PROTOCOL),
      isEqual(be16(isIpv4 ? ETH_P_IP : ETH_P_IPV6)),
      load,
      and(addressBytes(netmask(prefix))),
      isEqual(addressBytes(address)),
    ],
  };
}

export const isArp: Statement = {
  text: 'meta protocol arp',
  expressions: [loadMeta(NFT_META_PROTOCOL), isEqual(be16(ETH_P_ARP))],
};

export const isIcmpv6: Statement = {
  text: 'meta l4proto ipv6-icmp',
  expressions: [loadMeta(NFT_META_L4PROTO), isEqual(u8(IPPROTO_ICMPV6))],
};

/** An ICMP message of a type, whatever its extension headers. */
export function icmpType(type: number): Statement {
  return ofType('icmp', IPPROTO_ICMP, type);
}

export function icmpv6Type(type: number): Statement {
  return ofType('icmpv6', IPPROTO_ICMPV6, type);
}

/** RFC 792 and RFC 4443: the type is the message's first byte. */
function ofType(name: 'icmp' | 'icmpv6', protocol: number, type: number): Statement {
  return {
    text: `meta l4proto ${protocol} ${name} type ${type}`,
    expressions: [
      loadMeta(NFT_META_L4PROTO),
      isEqual(u8(protocol)),
      loadTransportHeader(0, 1),
      isEqual(u8(type)),
    ],
  };
}

export const isNewConnection: Statement = {
  text: 'ct state new',
  expressions: [loadCt(NFT_CT_STATE), and(u32(NF_CT_STATE_BIT_NEW)), isNotEqual(u32(0))],
};

/** Of a connection that was let pass, or told of one by ICMP. */
export const isEstablished: Statement = {
  text: 'ct state established,related',
  expressions: [loadCt(NFT_CT_STATE), and(u32(NF_CT_STATE_BITS_ESTABLISHED_RELATED)), isNotEqual(u32(0))],
};

/** Of a connection that the other side began. */
export const isReply: Statement = {
  text: 'ct direction reply',
  expressions: [loadCt(NFT_CT_DIRECTION), isEqual(u8(IP_CT_DIR_REPLY))],
};

export function hasMark(mark: number): Statement {
  return { text: `meta mark ${mark}`, expressions: [loadMeta(NFT_META_MARK), isEqual(u32(mark))] };
}

/** All bits of the mask are set. */
export function hasMarkBits(mask: number): Statement {
  return {
    text: `meta mark and ${mask} == ${mask}`,
    expressions: [loadMeta(NFT_META_MARK), and(u32(mask)), isEqual(u32(mask))],
  };
}

/** The kernel has routed it, which it does not with a frame that a process wrote: that has no realm, not even none. */
export const isRouted: Statement = {
  text: 'meta rtclassid 0',
  expressions: [loadMeta(NFT_META_RTCLASSID), isEqual(u32(0))],
};

export function hasConnectionMark(mark: number): Statement {
  return { text: `ct mark ${mark}`, expressions: [loadCt(NFT_CT_MARK), isEqual(u32(mark))] };
}

export function hasConnectionMarkBits(mask: number): Statement {
  return {
    text: `ct mark and ${mask} == ${mask}`,
    expressions: [loadCt(NFT_CT_MARK), and(u32(mask)), isEqual(u32(mask))],
  };
}

export function setMark(mark: number): Statement {
  return { text: `meta mark set ${mark}`, expressions: [loadValue(u32(mark)), storeMeta(NFT_META_MARK)] };
}

export const setMarkOfConnection: Statement = {
  text: 'meta mark set ct mark',
  expressions: [loadCt(NFT_CT_MARK), storeMeta(NFT_META_MARK)],
};

export function setConnectionMark(mark: number): Statement {
  return { text: `ct mark set ${mark}`, expressions: [loadValue(u32(mark)), storeCt(NFT_CT_MARK)] };
}

export function verdict(word: Verdict): Statement {
  return { text: word, expressions: [giveVerdict(word)] };
}

export const masquerade: Statement = { text: 'masquerade', expressions: [masqueradeExpression()] };
