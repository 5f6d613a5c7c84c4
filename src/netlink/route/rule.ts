import { type Attribute, encodeAttributes } from '../attribute.ts';
import { concat, u8, u32 } from '../bytes.ts';
import { type Family, familyNumber } from '../family.ts';

// linux/rtnetlink.h
export const RTM_NEWRULE = 32;
export const RTM_DELRULE = 33;
// linux/fib_rules.h
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_SUPPRESS_PREFIXLEN = 14;
const FRA_TABLE = 15;
const FR_ACT_TO_TBL = 1;

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

/** Of an RTM_DELRULE: the first rule of this priority. */
export function encodeDeleteRule({ family, priority }: Pick<Rule, 'family' | 'priority'>): Uint8Array {
  return encodeRule({ family }, [{ type: FRA_PRIORITY, value: u32(priority) }]);
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
