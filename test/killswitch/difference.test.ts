import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasChanges, removalOf, routingDifference } from '../../src/killswitch/difference.ts';
import type { ProtectionRoute } from '../../src/killswitch/rules.ts';
import type { Rule } from '../../src/netlink/route/rule.ts';
import { prefixOf } from '../../src/wireguard/address.ts';

const both = ['ipv4', 'ipv6'] as const;
const rule = (table: number, priority = 32765): Rule => ({ family: 'ipv4', priority, table });
const route = (prefix: string, oif?: number, metric = 0): ProtectionRoute => ({
  table: 30567,
  destination: prefixOf(prefix),
  oif,
  metric,
});

test('what is there is left, what has another link is replaced, what is not wanted goes', () => {
  const present = [route('10.0.0.0/8', 7), route('10.1.0.0/16', 7), route('10.2.0.0/16', 7)];
  const wanted = [route('10.0.0.0/8', 7), route('10.1.0.0/16', 8), route('10.3.0.0/16')];
  const { newRoutes, oldRoutes } = routingDifference(
    { routes: present, rules: [] },
    { routes: wanted, rules: [] },
    both,
  );
  assert.deepEqual(newRoutes, wanted.slice(1));
  assert.deepEqual(oldRoutes, present.slice(2));
});

test('of rules the order counts: from the first that is another on, all are new', () => {
  const from = (present: readonly Rule[], wanted: readonly Rule[]) => {
    const { oldRules, newRules } = routingDifference(
      { routes: [], rules: present },
      { routes: [], rules: wanted },
      both,
    );
    return [oldRules, newRules];
  };
  const [connected, reply, tunnel] = [rule(254), rule(0x4000_0009), rule(30567)];
  assert.deepEqual(from([connected, tunnel], [connected, tunnel]), [[], []]);
  assert.deepEqual(from([connected, tunnel], [connected, reply, tunnel]), [[tunnel], [reply, tunnel]]);
  assert.deepEqual(from([connected, reply, tunnel], [connected, tunnel]), [[tunnel, reply], [tunnel]]);
  const old = [rule(254, 30567), rule(30567, 30569)];
  assert.deepEqual(from(old, [connected, tunnel]), [old.toReversed(), [connected, tunnel]]);
});

test('of a family that the kernel does not have, nothing', () => {
  const wanted = { routes: [route('::/0')], rules: [{ ...rule(30567), family: 'ipv6' as const }] };
  assert(!hasChanges(routingDifference({ routes: [], rules: [] }, wanted, ['ipv4'])));
  assert(hasChanges(routingDifference({ routes: [], rules: [] }, wanted, both)));
});

test('all goes, the last rule first', () => {
  const rules = [rule(254), rule(30567)];
  assert.deepEqual(removalOf({ routes: [], rules }).oldRules, rules.toReversed());
});
