import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeMessages } from '../../../src/netlink/message.ts';
import {
  encodeDeleteRule,
  encodeNewRule,
  RTM_DELRULE,
  RTM_NEWRULE,
} from '../../../src/netlink/route/rule.ts';
import * as vectors from '../vectors.ts';

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

test('RTM_DELRULE as `ip rule del` sends it', () => {
  const { type, payload } = messageIn(vectors.deleteRule);
  assert.equal(type, RTM_DELRULE);
  assert.deepEqual(encodeDeleteRule({ family: 'ipv4', priority: 30567 }), payload);
});
