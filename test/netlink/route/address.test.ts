import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeAttributes } from '../../../src/netlink/attribute.ts';
import { concat, u32 } from '../../../src/netlink/bytes.ts';
import { decodeAddress, encodeGetAddresses } from '../../../src/netlink/route/address.ts';
import { addressBytes, formatPrefix, prefixOf } from '../../../src/wireguard/address.ts';
import { assertSurvivesAnyBytes } from '../../support/netlink/malformed.ts';

/** `struct ifaddrmsg` with its 8 bits of flags, IFA_ADDRESS, IFA_FLAGS and IFA_PROTO, from linux/if_addr.h. */
function newAddress(
  prefix: string,
  { headerFlags = 0, scope = 0, flags = -1, protocol = -1 } = {},
): Uint8Array {
  const { address, length } = prefixOf(prefix);
  return concat([
    Uint8Array.of(address.kind() === 'ipv4' ? 2 : 10, length, headerFlags, scope),
    u32(9),
    encodeAttributes([
      { type: 1, value: addressBytes(address) },
      ...(flags < 0 ? [] : [{ type: 8, value: u32(flags) }]),
      ...(protocol < 0 ? [] : [{ type: 11, value: Uint8Array.of(protocol) }]),
    ]),
  ]);
}

test('RTM_GETADDR of every family, from linux/if_addr.h', () => {
  assert.deepEqual(encodeGetAddresses(), Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0));
});

test('an address and the network it is in', () => {
  const { index, network, isPermanent } = decodeAddress(newAddress('172.30.0.2/24', { flags: 0x80 }));
  assert.deepEqual([index, formatPrefix(network), isPermanent], [9, '172.30.0.0/24', true]);
});

test('permanent is what somebody gave to stay, and the kernel did not make', () => {
  const isPermanent = (flags: number, protocol?: number) =>
    decodeAddress(newAddress('fd00::2/64', { flags, ...(protocol === undefined ? {} : { protocol }) }))
      .isPermanent;
  assert.equal(isPermanent(0x80), true);
  assert.equal(isPermanent(0x80 | 0x02), true, 'IFA_F_NODAD, as the engine has it');
  assert.equal(isPermanent(0), false, 'with a lifetime');
  for (const flag of [0x01, 0x100, 0x400, 0x800]) {
    assert.equal(isPermanent(0x80 | flag), false, `with flag ${flag}`);
  }
  // IFAPROT_UNSPEC, IFAPROT_KERNEL_LO, IFAPROT_KERNEL_RA, IFAPROT_KERNEL_LL, and one of a user
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((protocol) => isPermanent(0x80, protocol)),
    [true, false, false, false, true],
  );
  assert.equal(decodeAddress(newAddress('10.0.0.2/8', { headerFlags: 0x80 })).isPermanent, true);
});

test('global is no address of the link or of a site', () => {
  // RT_SCOPE_UNIVERSE, RT_SCOPE_SITE, RT_SCOPE_LINK, RT_SCOPE_HOST
  assert.deepEqual(
    [0, 200, 253, 254].map((scope) => decodeAddress(newAddress('8.0.0.1/5', { scope })).isGlobal),
    [true, false, false, false],
  );
});

test('what is no address', () => {
  assert.throws(() => decodeAddress(new Uint8Array(7)), /ifaddrmsg: expected 8 bytes, got 7/);
  assert.throws(
    () => decodeAddress(new Uint8Array(8)),
    /expected an address of IPv4 or IPv6, got one of family 0/,
  );
  assert.throws(() => decodeAddress(Uint8Array.of(2, 33, 0, 0, 0, 0, 0, 0)), /at most 32 bits, got 33/);
  assert.throws(
    () => decodeAddress(Uint8Array.of(2, 8, 0, 0, 0, 0, 0, 0)),
    /expected an IFA_ADDRESS, got none/,
  );
  assertSurvivesAnyBytes(decodeAddress, newAddress('fd00::2/64', { flags: 0x80, protocol: 2 }));
  for (const type of [1, 8, 11]) {
    assertSurvivesAnyBytes(
      (value) =>
        decodeAddress(concat([Uint8Array.of(10, 64, 0, 0, 1, 0, 0, 0), encodeAttributes([{ type, value }])])),
      new Uint8Array(16),
    );
  }
});
