import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeEndpoint, encodeEndpoint } from '../../../src/netlink/wireguard/endpoint.ts';
import { anyEndpoint } from '../../support/netlink/arbitrary.ts';
import { address } from '../../support/netlink/devices.ts';
import { assertSurvivesAnyBytes } from '../../support/netlink/malformed.ts';

test('sockaddr_in: family in host order, port and address in network order, padding', () => {
  const bytes = encodeEndpoint({ address: address('192.0.2.7'), port: 51821 });
  assert.deepEqual([...bytes], [2, 0, 0xca, 0x6d, 192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
});

test('sockaddr_in6: flow information before, scope behind the address', () => {
  const bytes = encodeEndpoint({ address: address('2001:db8::7'), port: 443 });
  const zeros = [0, 0, 0, 0];
  const expected = [10, 0, 1, 0xbb, ...zeros, 0x20, 1, 0xd, 0xb8, ...zeros, ...zeros, 0, 0, 0, 7, ...zeros];
  assert.deepEqual([...bytes], expected);
});

test('decoding is the inverse of encoding', () => {
  fc.assert(
    fc.property(anyEndpoint, (endpoint) =>
      assert.deepEqual(decodeEndpoint(encodeEndpoint(endpoint)), endpoint),
    ),
  );
});

test('other families, and lengths that are not theirs', () => {
  const four = encodeEndpoint({ address: address('192.0.2.7'), port: 51821 });
  assert.throws(() => decodeEndpoint(Uint8Array.of(1, 0, 5)), {
    message: 'decode WGPEER_A_ENDPOINT: expected a sockaddr of IPv4 or IPv6, got 3 bytes of family 1',
  });
  assert.throws(() => decodeEndpoint(four.slice(0, 15)), /got 15 bytes of family 2/);
  assertSurvivesAnyBytes(decodeEndpoint, four);
});
