import { type Attribute, AttributeTable, encodeAttributes } from '../attribute.ts';
import { concat, readU32, u8, u32 } from '../bytes.ts';
import { malformed } from '../error.ts';
import { AF_INET, AF_INET6, type Family, familyNumber } from '../family.ts';

// linux/rtnetlink.h
export const RTM_NEWRULE = 32;
export const RTM_DELRULE = 33;
export const RTM_GETRULE = 34;
// linux/fib_rules.h
const FRA_PRIORITY = 6;
const FRA_IIFNAME = 3;
const FRA_FWMARK = 10;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_OIFNAME = 17;
const FR_ACT_TO_TBL = 1;
/** Of FRA_FWMASK where there is a mark. */
const WHOLE_MARK = 0xffff_ffff;
/** Of FRA_SUPPRESS_PREFIXLEN: none, -1. */
const NO_SUPPRESSION = 0xffff_ffff;

/** sizeof(struct fib_rule_hdr) */
const headerLength = 12;

/** A rule of policy routing: look in a table. */
export interface Rule {
  readonly family: Family;
  /** The smallest is asked first; the main table's is 32766. */
  readonly priority: number;
  readonly table: number;
  /** Only for packets with this mark. */
  readonly mark?: number;
  /** Routes with a prefix of this length or shorter do not count: 0 leaves the default routes out. */
  readonly suppressPrefixLength?: number;
}

/** Of an RTM_NEWRULE. */
export function encodeNewRule({ family, priority, table, mark, suppressPrefixLength }: Rule): Uint8Array {
  return encodeRule({ family, action: FR_ACT_TO_TBL, table }, [
    { type: FRA_PRIORITY, value: u32(priority) },
    ...(mark === undefined ? [] : [{ type: FRA_FWMARK, value: u32(mark) }]),
    ...(suppressPrefixLength === undefined
      ? []
      : [{ type: FRA_SUPPRESS_PREFIXLEN, value: u32(suppressPrefixLength) }]),
    ...(table < 256 ? [] : [{ type: FRA_TABLE, value: u32(table) }]),
  ]);
}

/** Of an RTM_DELRULE: the first rule with all that is given. */
export const encodeDeleteRule: (rule: Rule) => Uint8Array = encodeNewRule;

/** Of an RTM_GETRULE for a dump of all rules, of every family (AF_UNSPEC). */
export function encodeGetRules(): Uint8Array {
  return new Uint8Array(headerLength);
}

/**
 * The payload of an RTM_NEWRULE that the kernel sent; undefined for a rule that does more or something else than to
 * look in a table, by a mark or for all. @throws NetlinkError if it is malformed
 */
export function decodeRule(payload: Uint8Array): Rule | undefined {
  const [family = 0, dstLength, srcLength, tos, table = 0, , , action] = payload;
  if (payload.length < headerLength) {
    throw malformed('fib_rule_hdr', `expected ${headerLength} bytes, got ${payload.length}`);
  }
  if (family !== AF_INET && family !== AF_INET6) {
    throw malformed('fib_rule_hdr', `expected a rule of IPv4 or IPv6, got one of family ${family}`);
  }
  const attributes = new AttributeTable(payload.subarray(headerLength));
  const isPlain = dstLength === 0 && srcLength === 0 && tos === 0 && readU32(payload, 8) === 0;
  const mask = attributes.get({ FRA_FWMASK }, readU32, 4) ?? WHOLE_MARK;
  const interfaces = [attributes.get({ FRA_IIFNAME }, Boolean), attributes.get({ FRA_OIFNAME }, Boolean)];
  if (action !== FR_ACT_TO_TBL || !isPlain || mask !== WHOLE_MARK || interfaces.includes(true)) {
    return undefined;
  }
  const mark = attributes.get({ FRA_FWMARK }, readU32, 4);
  const suppressed = attributes.get({ FRA_SUPPRESS_PREFIXLEN }, readU32, 4) ?? NO_SUPPRESSION;
  return {
    family: family === AF_INET ? 'ipv4' : 'ipv6',
    priority: attributes.get({ FRA_PRIORITY }, readU32, 4) ?? 0,
    table: attributes.get({ FRA_TABLE }, readU32, 4) ?? table,
    ...(mark === undefined ? {} : { mark }),
    ...(suppressed === NO_SUPPRESSION ? {} : { suppressPrefixLength: suppressed }),
  };
}

interface RuleHeader {
  readonly family: Family;
  readonly table?: number;
  readonly action?: number;
}

/** `struct fib_rule_hdr`, where FRA_TABLE has a table of more than 8 bits; and attributes. */
function encodeRule(
  { family, table = 0, action = 0 }: RuleHeader,
  attributes: readonly Attribute[],
): Uint8Array {
  const header = [familyNumber(family), 0, 0, 0, table < 256 ? table : 0, 0, 0, action].map(u8);
  return concat([...header, u32(0), encodeAttributes(attributes)]);
}
