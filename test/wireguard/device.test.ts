import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatEndpoint, parseEndpoint } from '../../src/wireguard/device.ts';
import { anyEndpoint } from '../support/netlink/arbitrary.ts';

test('an endpoint as text, there and back', () => {
  fc.assert(
    fc.property(anyEndpoint, (endpoint) => {
      assert.deepEqual(parseEndpoint(formatEndpoint(endpoint)), endpoint);
    }),
  );
});

test('a link-local endpoint comes without its scope', () => {
  assert.equal(formatEndpoint(parseEndpoint('[fe80::1%eth0]:443') ?? assert.fail()), '[fe80::1]:443');
});

test('what is no endpoint', () => {
  for (const text of [
    '',
    '(none)',
    '192.0.2.1',
    '192.0.2.1:',
    'example.org:1',
    '2001:db8::1:443',
    '[192.0.2.1',
  ]) {
    assert.equal(parseEndpoint(text), undefined);
  }
});
