import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeAttributes } from '../../../src/netlink/attribute.ts';
import { decodeAllowedIp, encodeAllowedIp } from '../../../src/netlink/wireguard/allowed-ip.ts';
import { anyPrefix } from '../../support/netlink/arbitrary.ts';
import { prefix } from '../../support/netlink/devices.ts';
import { assertSurvivesAnyBytes } from '../../support/netlink/malformed.ts';

test('decoding is the inverse of encoding', () => {
  fc.assert(
    fc.property(anyPrefix, (allowedIp) => {
      assert.deepEqual(decodeAllowedIp(encodeAllowedIp(allowedIp).value), allowedIp);
    }),
  );
});

test('what is no allowed IP', () => {
  const family = { type: 1, value: Uint8Array.of(2, 0) };
  const address = { type: 2, value: Uint8Array.of(10, 0, 0, 0) };
  const mask = (length: number) => ({ type: 3, value: Uint8Array.of(length) });
  const decode = (...attributes: Parameters<typeof encodeAttributes>[0]) =>
    decodeAllowedIp(encodeAttributes(attributes));
  assert.equal(decode(family, address, mask(32)).length, 32);
  assert.throws(() => decode(family, address, mask(33)), /expected an address and its prefix length/);
  assert.throws(() => decode(family, address), /expected an address and its prefix length/);
  assert.throws(() => decode(address, mask(8)), /WGALLOWEDIP_A_FAMILY: expected AF_INET or AF_INET6/);
  assert.throws(
    () => decode({ type: 1, value: Uint8Array.of(10, 0) }, address, mask(8)),
    /expected 16 bytes/,
  );
  assertSurvivesAnyBytes(decodeAllowedIp, encodeAllowedIp(prefix('fd00::/64')).value);
});
