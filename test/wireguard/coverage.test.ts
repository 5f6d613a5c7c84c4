import assert from 'node:assert/strict';
import { test } from 'node:test';
import { prefixOf } from '../../src/wireguard/address.ts';
import { coverage, coverFamily, merged } from '../../src/wireguard/coverage.ts';

const prefixes = (...texts: readonly string[]) => texts.map(prefixOf);

test('each address counts once, whatever prefixes hold it', () => {
  assert.equal(
    coverage(prefixes('10.0.0.0/8', '10.1.0.0/16', '10.255.255.255/32', 'fd00::/8'), 'ipv4'),
    1n << 24n,
  );
  assert.equal(coverage(prefixes('10.0.0.0/8'), 'ipv6'), 0n);
});

test('a family is covered by one prefix, by halves, and by any parts', () => {
  const parts = prefixes('128.0.0.0/1', '64.0.0.0/2', '0.0.0.0/3', '32.0.0.0/3');
  for (const list of [prefixes('0.0.0.0/0'), prefixes('0.0.0.0/1', '128.0.0.0/1'), parts]) {
    assert(coverFamily(list, 'ipv4'));
    assert(!coverFamily(list, 'ipv6'));
  }
  assert(!coverFamily(parts.slice(1), 'ipv4'));
  assert(coverFamily(prefixes('8000::/1', '::/1'), 'ipv6'));
});

test('ranges that overlap or touch are one', () => {
  assert.deepEqual(
    merged(prefixes('0.0.2.0/24', '0.0.0.0/24', '0.0.1.0/24', '0.0.1.7/32', '0.0.9.0/24'), 'ipv4'),
    [
      [0n, 0x2ffn],
      [0x900n, 0x9ffn],
    ],
  );
});
