import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFirewallMark } from '../../src/wireguard/firewall-mark.ts';

test('a mark as `wg set NAME fwmark` takes it', () => {
  const marks = ['off', 'OFF', '0', '0xca6c', '51820', '0xFFFFFFFF', '4294967295'].map(parseFirewallMark);
  assert.deepEqual(marks, [0, 0, 0, 0xca6c, 51820, 0xffff_ffff, 0xffff_ffff]);
  for (const text of ['', '-1', '0x', '0x100000000', '4294967296', '1e3', ' 1', '0b1']) {
    assert.equal(parseFirewallMark(text), undefined, text);
  }
});
