import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hostsOf, parseRange, requireMasked } from '../../src/keys/ranges.ts';
import {
  addressesOf,
  compareAddresses,
  countOf,
  covers,
  formatPrefix,
  hostPrefix,
  masked,
  parsePrefix,
  plus,
  rangeOf,
} from '../../src/wireguard/address.ts';
import { anyAddress, anyIpv4 } from '../support/addresses.ts';

const vectors: { text: string; first: string; last: string; count: bigint }[] = [
  { text: '192.168.5.2', first: '192.168.5.2', last: '192.168.5.2', count: 1n },
  { text: '192.168.5.0/24', first: '192.168.5.1', last: '192.168.5.254', count: 254n },
  { text: '192.168.5.0/30', first: '192.168.5.1', last: '192.168.5.2', count: 2n },
  { text: '192.168.5.0/31', first: '192.168.5.0', last: '192.168.5.1', count: 2n },
  { text: '192.168.5.7/32', first: '192.168.5.7', last: '192.168.5.7', count: 1n },
  { text: '10.0.0.250-10.0.1.5', first: '10.0.0.250', last: '10.0.1.5', count: 12n },
  { text: '10.0.0.1 - 10.0.0.2', first: '10.0.0.1', last: '10.0.0.2', count: 2n },
  { text: '10.0.0.7-10.0.0.7', first: '10.0.0.7', last: '10.0.0.7', count: 1n },
  { text: 'fd00::/126', first: 'fd00::1', last: 'fd00::3', count: 3n },
  { text: 'fd00::/127', first: 'fd00::', last: 'fd00::1', count: 2n },
  { text: 'fd00::ffff-fd00::1:1', first: 'fd00::ffff', last: 'fd00::1:1', count: 3n },
  { text: '10.0.0.0/12', first: '10.0.0.1', last: '10.15.255.254', count: 2n ** 20n - 2n },
];

for (const { text, first, last, count } of vectors) {
  test(`${text} is ${first} to ${last}`, () => {
    const range = parseRange(text);
    assert.equal(range.first.toString(), first);
    assert.equal(range.last.toString(), last);
    assert.equal(countOf(range), count);
  });
}

const wrong: { text: string; error: RegExp }[] = [
  { text: '', error: /expected an address, a prefix .* or a range/ },
  { text: 'seed', error: /expected an address, a prefix .* or a range/ },
  { text: '192.168.5', error: /expected an address/ },
  { text: '192.168.5.256', error: /expected an address/ },
  { text: '192.168.05.2', error: /expected an address/ },
  { text: '0x7f.0.0.1', error: /expected an address/ },
  { text: '192.168.5.0/33', error: /expected an address/ },
  { text: '192.168.5.0/', error: /expected an address/ },
  { text: '192.168.5.0/24/24', error: /expected an address/ },
  { text: 'fe80::1%eth0', error: /expected an address/ },
  { text: '10.0.0.1-', error: /expected an address/ },
  { text: '10.0.0.1-10.0.0.2-10.0.0.3', error: /expected an address/ },
  { text: '10.0.0.1-fd00::1', error: /expected an address/ },
  { text: '10.0.0.9-10.0.0.1', error: /expected the lower address first/ },
  { text: '192.168.5.2/24', error: /expected 192\.168\.5\.0\/24 for the subnet or 192\.168\.5\.2 for the/ },
  { text: '10.0.0.0/8', error: /expected at most 1048576 addresses, got 16777214/ },
  { text: 'fd00::/64', error: /expected at most 1048576 addresses, got 18446744073709551615/ },
];

for (const { text, error } of wrong) {
  test(`refused: ${text === '' ? '(nothing)' : text}`, () => {
    assert.throws(() => parseRange(text), error);
  });
}

test('a range of any two addresses holds both, and all between them in order', () => {
  fc.assert(
    fc.property(anyAddress, fc.integer({ min: 0, max: 300 }), (first, offset) => {
      const last = plus(first, BigInt(offset));
      // At the end of the address space `plus` has gone round.
      fc.pre(compareAddresses(first, last) <= 0);
      const range = parseRange(`${first.toString()}-${last.toString()}`);
      const addresses = [...addressesOf(range)];
      assert.equal(addresses.length, offset + 1);
      assert.equal(countOf(range), BigInt(offset) + 1n);
      assert.equal(addresses[0]?.toString(), first.toString());
      assert.equal(addresses.at(-1)?.toString(), last.toString());
      assert.equal(new Set(addresses.map(String)).size, addresses.length);
      assert(
        addresses.every((address, index) => compareAddresses(plus(first, BigInt(index)), address) === 0),
      );
    }),
  );
});

test('the hosts of a subnet are in it, and leave out its first and last address from /30 up', () => {
  fc.assert(
    fc.property(anyIpv4, fc.integer({ min: 1, max: 32 }), (address, length) => {
      const subnet = masked({ address, length });
      const hosts = hostsOf(subnet);
      const all = rangeOf(subnet);
      assert(covers(subnet, hostPrefix(hosts.first)) && covers(subnet, hostPrefix(hosts.last)));
      assert.equal(countOf(all) - countOf(hosts), length <= 30 ? 2n : 0n);
    }),
  );
});

test('a prefix with host bits is refused, a masked one is given back', () => {
  fc.assert(
    fc.property(anyIpv4, fc.integer({ min: 0, max: 32 }), (address, length) => {
      const prefix = { address, length };
      if (formatPrefix(prefix) === formatPrefix(masked(prefix))) {
        assert.equal(requireMasked(prefix), prefix);
      } else {
        assert.throws(() => requireMasked(prefix), /for the subnet or/);
      }
    }),
  );
  const prefix = parsePrefix('fd00::1/64');
  assert(prefix);
  assert.throws(() => requireMasked(prefix), /expected fd00::\/64 for the subnet or fd00::1 for the address/);
});
