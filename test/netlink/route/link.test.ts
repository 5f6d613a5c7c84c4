import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeAttributes } from '../../../src/netlink/attribute.ts';
import { concat, cString, u16, u32 } from '../../../src/netlink/bytes.ts';
import { decodeMessages } from '../../../src/netlink/message.ts';
import {
  decodeLink,
  encodeDeleteLink,
  encodeGetLink,
  encodeNewLink,
  encodeSetAlias,
  encodeSetMtu,
  RTM_DELLINK,
  RTM_NEWLINK,
} from '../../../src/netlink/route/link.ts';
import { assertSurvivesAnyBytes } from '../../support/netlink/malformed.ts';
import * as vectors from '../../support/netlink/vectors.ts';

/** Without a zero, which ends it. */
const text = fc.string({ unit: 'grapheme' });

function messageIn(bytes: Uint8Array) {
  return decodeMessages(bytes)[0] ?? assert.fail();
}

test('RTM_NEWLINK as `ip link add` sends it', () => {
  const { type, payload } = messageIn(vectors.newLinkWithMtu);
  assert.equal(type, RTM_NEWLINK);
  assert.deepEqual(encodeNewLink({ name: 'wgt0', kind: 'wireguard', mtu: 1420 }), payload);
});

test('RTM_NEWLINK without an MTU', () => {
  assert.deepEqual(encodeNewLink({ name: 'wgt0', kind: 'bridge' }), messageIn(vectors.newLink).payload);
});

test('the alias as `ip link set` sends it, but for the link by its name and not its index', () => {
  const ofIp = messageIn(vectors.setAliasByIndex).payload;
  const name = encodeAttributes([{ type: 3, value: cString('wgt0') }]);
  assert.deepEqual(
    encodeSetAlias('wgt0', 'wgdriver:own:e1'),
    concat([new Uint8Array(16), name, ofIp.slice(16)]),
  );
});

test('the MTU as `ip link set dev wgt0 mtu 1400` sends it', () => {
  const index = concat([new Uint8Array(4), u32(2), new Uint8Array(8)]);
  assert.deepEqual(encodeSetMtu(2, 1400), concat([index, u16(8), u16(4), u32(1400)]));
});

test('RTM_GETLINK by name and of all, from linux/rtnetlink.h: IFLA_EXT_MASK is RTEXT_FILTER_SKIP_STATS', () => {
  const mask = Uint8Array.of(8, 0, 29, 0, 8, 0, 0, 0);
  assert.deepEqual(encodeGetLink(), concat([new Uint8Array(16), mask]));
  const name = encodeAttributes([{ type: 3, value: cString('wgt0') }]);
  assert.deepEqual(encodeGetLink('wgt0'), concat([new Uint8Array(16), mask, name]));
});

test('RTM_DELLINK as `ip link delete` sends it', () => {
  const { type, payload } = messageIn(vectors.deleteLink);
  assert.equal(type, RTM_DELLINK);
  assert.deepEqual(encodeDeleteLink(2), payload);
});

test('a link as the kernel describes it', () => {
  assert.deepEqual(decodeLink(messageIn(vectors.link).payload), {
    index: 2,
    name: 'wgt0',
    isUp: false,
    mtu: 1420,
    kind: 'wireguard',
    alias: 'wgdriver:own:e1',
  });
});

test('a link that was asked for is one', () => {
  assert.deepEqual(decodeLink(encodeNewLink({ name: 'wgt0', kind: 'wireguard', mtu: 1420 })), {
    index: 0,
    name: 'wgt0',
    isUp: false,
    mtu: 1420,
    kind: 'wireguard',
    alias: undefined,
  });
});

test('what is no link', () => {
  assert.throws(() => decodeLink(new Uint8Array(15)), /ifinfomsg: expected 16 bytes, got 15/);
  assert.throws(() => decodeLink(new Uint8Array(16)), /ifinfomsg: expected an IFLA_IFNAME, got none/);
  const short = concat([
    new Uint8Array(16),
    encodeAttributes([
      { type: 3, value: cString('wgt0') },
      { type: 4, value: u32(1).slice(2) },
    ]),
  ]);
  assert.throws(() => decodeLink(short), /IFLA_MTU: expected 4 bytes, got 2/);
});

test('decoding is the inverse of encoding: a link to make, and an alias to set', () => {
  const specification = fc.record(
    { name: text, kind: text, mtu: fc.nat(0xffff_ffff) },
    { requiredKeys: ['name', 'kind'], noNullPrototype: true },
  );
  fc.assert(
    fc.property(specification, text, (link, alias) => {
      const { name, kind, mtu } = link;
      const made = { index: 0, name, isUp: false, mtu, kind, alias: undefined };
      assert.deepEqual(decodeLink(encodeNewLink(link)), made);
      const renamed = { index: 0, name, isUp: false, mtu: undefined, kind: undefined, alias };
      assert.deepEqual(decodeLink(encodeSetAlias(name, alias)), renamed);
    }),
  );
});

test('any bytes are a link or a NetlinkError, as the value of any attribute too', () => {
  assertSurvivesAnyBytes(decodeLink, messageIn(vectors.link).payload, messageIn(vectors.newLink).payload);
  const name = { type: 3, value: cString('wgt0') };
  // linux/if_link.h: IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_IFALIAS
  for (const type of [3, 4, 18, 20]) {
    assertSurvivesAnyBytes(
      (value) => decodeLink(concat([new Uint8Array(16), encodeAttributes([name, { type, value }])])),
      u32(1420),
    );
  }
});
