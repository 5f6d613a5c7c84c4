import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeAttributes } from '../../../src/netlink/attribute.ts';
import { concat, cString, u32 } from '../../../src/netlink/bytes.ts';
import { decodeMessages } from '../../../src/netlink/message.ts';
import {
  decodeRule,
  encodeDeleteRule,
  encodeGetRules,
  encodeNewRule,
  RTM_NEWRULE,
} from '../../../src/netlink/route/rule.ts';
import { assertSurvivesAnyBytes } from '../../support/netlink/malformed.ts';
import * as vectors from '../../support/netlink/vectors.ts';

function messageIn(bytes: Uint8Array) {
  return decodeMessages(bytes)[0] ?? assert.fail();
}

test('RTM_NEWRULE as `ip rule add` sends it, by a mark and for IPv6', () => {
  const { type, payload } = messageIn(vectors.newRuleWithMark);
  assert.equal(type, RTM_NEWRULE);
  const rule = { family: 'ipv4', priority: 30568, mark: 0x4000_0005, table: 0x4000_0005 } as const;
  assert.deepEqual(encodeNewRule(rule), payload);
  assert.deepEqual(
    encodeNewRule({ family: 'ipv6', priority: 30569, table: 30567 }),
    messageIn(vectors.newIpv6Rule).payload,
  );
});

test('RTM_NEWRULE that leaves default routes out, as `ip rule add` sends it', () => {
  const rule = { family: 'ipv4', priority: 30567, table: 254, suppressPrefixLength: 0 } as const;
  assert.deepEqual(encodeNewRule(rule), messageIn(vectors.newRuleWithoutDefaults).payload);
});

test('RTM_DELRULE names all of the rule: another may have its priority', () => {
  const rule = { family: 'ipv4', priority: 30568, mark: 0x4000_0005, table: 0x4000_0005 } as const;
  assert.deepEqual(encodeDeleteRule(rule), messageIn(vectors.newRuleWithMark).payload);
});

test('RTM_GETRULE of every family, from linux/fib_rules.h', () => {
  assert.deepEqual(encodeGetRules(), Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
});

const anyU32 = fc.nat(0xffff_fffe);
const anyRule = fc.record(
  {
    family: fc.constantFrom('ipv4' as const, 'ipv6' as const),
    priority: anyU32,
    table: anyU32,
    mark: anyU32,
    suppressPrefixLength: fc.nat(128),
  },
  { requiredKeys: ['family', 'priority', 'table'], noNullPrototype: true },
);

test('decoding is the inverse of encoding', () => {
  fc.assert(
    fc.property(anyRule, (rule) => {
      assert.deepEqual(decodeRule(encodeNewRule(rule)), rule);
    }),
  );
});

test('a rule that does something else is none of these: another action, a source, a part of the mark, a link', () => {
  const rule = { family: 'ipv4', priority: 1, table: 254 } as const;
  const changed = (offset: number, value: number) => {
    const payload = encodeNewRule(rule).slice();
    payload[offset] = value;
    return payload;
  };
  assert.deepEqual(decodeRule(changed(3, 0)), rule);
  // struct fib_rule_hdr: src_len, action, flags
  for (const payload of [changed(2, 24), changed(7, 6), changed(8, 2)]) {
    assert.equal(decodeRule(payload), undefined);
  }
  // linux/fib_rules.h: FRA_IIFNAME, FRA_FWMASK, FRA_OIFNAME
  for (const [type, value] of [
    [3, cString('eth0')],
    [16, u32(0xff)],
    [17, cString('eth0')],
  ] as const) {
    const payload = concat([encodeNewRule(rule), encodeAttributes([{ type, value }])]);
    assert.equal(decodeRule(payload), undefined);
  }
});

test('what is no rule', () => {
  assert.throws(() => decodeRule(new Uint8Array(11)), /fib_rule_hdr: expected 12 bytes, got 11/);
  assert.throws(() => decodeRule(new Uint8Array(12)), /expected a rule of IPv4 or IPv6, got one of family 0/);
  assertSurvivesAnyBytes(decodeRule, messageIn(vectors.newRuleWithMark).payload);
});
