import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ipv6AddressOf, ipv6PrefixOf, parseIpv6Prefix, refuseOverlap } from '../../src/networks/ipv6.ts';
import { formatPrefix, parseAddress, prefixOf } from '../../src/wireguard/address.ts';
import { anyIpv4 } from '../support/addresses.ts';

const address = (text: string) => parseAddress(text) ?? assert.fail(text);

for (const [prefix, ipv4, expected] of [
  ['fd12:3456::/64', '192.168.5.2', 'fd12:3456::c0a8:502'],
  ['fd12:3456::/64', '0.0.0.1', 'fd12:3456::1'],
  ['2001:db8:0:1::/64', '255.255.255.255', '2001:db8:0:1::ffff:ffff'],
  ['fd12:3456:789a:bcde:f012:3456::/96', '10.0.0.1', 'fd12:3456:789a:bcde:f012:3456:a00:1'],
  ['fd00::/8', '10.0.0.1', 'fd00::a00:1'],
] as const) {
  test(`${ipv4} in ${prefix} is ${expected}`, () => {
    assert.equal(ipv6AddressOf(prefixOf(prefix), address(ipv4)).toString(), expected);
  });
}

test('a subnet, and an address with its length, keep as many addresses', () => {
  const prefix = prefixOf('fd12:3456::/64');
  assert.equal(formatPrefix(ipv6PrefixOf(prefix, prefixOf('192.168.5.0/24'))), 'fd12:3456::c0a8:500/120');
  assert.equal(formatPrefix(ipv6PrefixOf(prefix, prefixOf('192.168.5.2/24'))), 'fd12:3456::c0a8:502/120');
});

test('of two IPv4 addresses come two IPv6 addresses', () => {
  const prefix = prefixOf('fd12::/96');
  fc.assert(
    fc.property(anyIpv4, anyIpv4, (one, other) => {
      const same = ipv6AddressOf(prefix, one).toString() === ipv6AddressOf(prefix, other).toString();
      assert.equal(same, one.toString() === other.toString());
    }),
  );
});

for (const text of ['fd12::/64', 'fd12::/96', '2001:db8::/32', 'fd00::/8', '3fff::/20']) {
  test(`a prefix: ${text}`, () => {
    assert.equal(formatPrefix(parseIpv6Prefix(text) ?? assert.fail()), text);
  });
}

for (const text of [
  ...['fd12::/97', 'fd12::/128', 'fd12::1/64', 'fd12::', 'fd12::/x', '', '10.0.0.0/8', '::/0', '::/96'],
  ...['fe80::/64', 'ff02::/64', 'ff00::/8', '::ffff:0:0/96', '64:ff9b::/96', 'fc00::/6', 'fd12::%eth0/64'],
]) {
  test(`no prefix: ${text}`, () => {
    assert.equal(parseIpv6Prefix(text), undefined);
  });
}

test('a prefix that holds an address outside of the tunnel is refused', () => {
  const prefix = prefixOf('2001:db8::/64');
  refuseOverlap(prefix, [address('192.0.2.1'), address('2001:db8:0:1::1')]);
  assert.throws(
    () => refuseOverlap(prefix, [address('192.0.2.1'), address('2001:db8::7')]),
    /^Error: option io\.bestov\.wg\.ipv6: the prefix contains 2001:db8::7, an address outside the tunnel; choose/,
  );
});
