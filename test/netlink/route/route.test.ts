import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeAttributes } from '../../../src/netlink/attribute.ts';
import { concat, u16, u32 } from '../../../src/netlink/bytes.ts';
import { AF_INET, AF_INET6 } from '../../../src/netlink/family.ts';
import { decodeMessages } from '../../../src/netlink/message.ts';
import {
  decodeRoute,
  encodeDeleteRoute,
  encodeGetRoutes,
  encodeGetRouteTo,
  encodeNewRoute,
  RTM_DELROUTE,
  RTM_NEWROUTE,
  RTN_UNICAST,
  RTN_UNREACHABLE,
} from '../../../src/netlink/route/route.ts';
import { formatPrefix, parseAddress, prefixOf } from '../../../src/wireguard/address.ts';
import { anyPrefix } from '../../support/netlink/arbitrary.ts';
import { assertSurvivesAnyBytes } from '../../support/netlink/malformed.ts';
import * as vectors from '../../support/netlink/vectors.ts';

// Under strace, iproute2 6.1 on Linux 6.18, in a fresh network namespace: `ip route del 10.0.0.0/8 table 30567`.
const deleteOfIp = hex(`
    2c0000001900050077b8036b00000000020800000000ff0000000000080001000a00000008000f0067770000
`);
// The same: `ip -6 route del default table 30567`.
const deleteIpv6OfIp = hex(`
    380000001900050077b8036b000000000a00000000000000000000001400010000000000000000000000000000000000
    08000f0067770000
`);

/** linux/rtnetlink.h */
const RTPROT_KERNEL = 2;
const RTPROT_BOOT = 3;

function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
}

function messageIn(bytes: Uint8Array) {
  return decodeMessages(bytes)[0] ?? assert.fail();
}

test('RTM_NEWROUTE as `ip route replace` sends it: on-link, by a gateway, unreachable', () => {
  const { type, payload } = messageIn(vectors.onLinkRoute);
  assert.equal(type, RTM_NEWROUTE);
  assert.deepEqual(encodeNewRoute({ table: 30567, destination: prefixOf('10.0.0.0/8'), oif: 2 }), payload);
  assert.deepEqual(
    encodeNewRoute({
      table: 0x4000_0005,
      destination: prefixOf('::/0'),
      oif: 2,
      gateway: parseAddress('fd00:30::1'),
    }),
    messageIn(vectors.gatewayRoute).payload,
  );
  assert.deepEqual(
    encodeNewRoute({ table: 30567, destination: prefixOf('::/0'), metric: 0x7fff_ffff }),
    messageIn(vectors.unreachableRoute).payload,
  );
});

test('RTM_DELROUTE as `ip route del` sends it', () => {
  const { type, payload } = messageIn(deleteOfIp);
  assert.equal(type, RTM_DELROUTE);
  assert.deepEqual(encodeDeleteRoute({ table: 30567, destination: prefixOf('10.0.0.0/8') }), payload);
});

test('RTM_DELROUTE for IPv6 as `ip -6 route del` sends it, but for the scope, which IPv6 has not', () => {
  const expected = messageIn(deleteIpv6OfIp).payload.slice();
  assert.equal(expected[6], 0);
  expected[6] = 255;
  assert.deepEqual(encodeDeleteRoute({ table: 30567, destination: prefixOf('::/0') }), expected);
});

test('RTM_GETROUTE of every family, from linux/rtnetlink.h', () => {
  assert.deepEqual(encodeGetRoutes(), Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
});

test('RTM_GETROUTE for one address, from linux/rtnetlink.h: RTM_F_FIB_MATCH, RTA_DST and RTA_MARK', () => {
  const { address } = prefixOf('192.0.2.1/32');
  const header = Uint8Array.of(2, 32, 0, 0, 0, 0, 0, 0);
  const destination = Uint8Array.of(8, 0, 1, 0, 192, 0, 2, 1);
  assert.deepEqual(encodeGetRouteTo(address, 0, true), concat([header, u32(0x2000), destination]));
  const mark = concat([u16(8), u16(16), u32(0xca6c)]);
  assert.deepEqual(encodeGetRouteTo(address, 0xca6c, false), concat([header, u32(0), destination, mark]));
});

test('a route’s own MTU, RTAX_MTU of RTA_METRICS', () => {
  const metrics = encodeAttributes([{ type: 8, value: encodeAttributes([{ type: 2, value: u32(1400) }]) }]);
  assert.equal(decodeRoute(concat([Uint8Array.of(2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0), metrics])).mtu, 1400);
});

test('routes as the kernel describes them', () => {
  const { destination, ...connected } = decodeRoute(messageIn(vectors.route).payload);
  assert.equal(formatPrefix(destination), '172.30.0.0/24');
  assert.deepEqual(connected, {
    table: 254,
    type: RTN_UNICAST,
    protocol: RTPROT_KERNEL,
    oif: 2,
    gateway: undefined,
    metric: 0,
    mtu: undefined,
  });
  const unreachable = decodeRoute(messageIn(vectors.unreachableIpv6Route).payload);
  assert.equal(formatPrefix(unreachable.destination), '::/0');
  assert.equal(unreachable.table, 30567);
  assert.equal(unreachable.type, RTN_UNREACHABLE);
  const { gateway } = decodeRoute(messageIn(vectors.gatewayRoute).payload);
  assert.equal(gateway?.toString(), 'fd00:30::1');
});

test('what is no route', () => {
  assert.throws(() => decodeRoute(new Uint8Array(11)), /rtmsg: expected 12 bytes, got 11/);
  assert.throws(
    () => decodeRoute(new Uint8Array(12)),
    /rtmsg: expected a route of IPv4 or IPv6, got one of family 0/,
  );
  const long = Uint8Array.of(2, 33, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  assert.throws(() => decodeRoute(long), /rtmsg: expected a prefix of at most 32 bits, got 33/);
});

const anyU32 = fc.nat(0xffff_ffff);

const anyRoute = fc.tuple(anyPrefix, anyPrefix).chain(([destination, { address }]) => {
  const isOfFamily = address.kind() === destination.address.kind();
  const optional = { oif: anyU32, metric: anyU32, ...(isOfFamily && { gateway: fc.constant(address) }) };
  return fc.record(
    { table: anyU32, destination: fc.constant(destination), ...optional },
    { requiredKeys: ['table', 'destination'], noNullPrototype: true },
  );
});

test('decoding is the inverse of encoding: a route to add, and one to delete', () => {
  fc.assert(
    fc.property(anyRoute, (route) => {
      const { table, destination, oif, gateway, metric = 0 } = route;
      const type = oif === undefined ? RTN_UNREACHABLE : RTN_UNICAST;
      const made = { table, type, protocol: RTPROT_BOOT, destination, oif, gateway, metric, mtu: undefined };
      assert.deepEqual(decodeRoute(encodeNewRoute(route)), made);
      const deleted = { ...made, type: 0, protocol: 0, gateway: undefined };
      assert.deepEqual(decodeRoute(encodeDeleteRoute(route)), deleted);
    }),
  );
});

test('any bytes are a route or a NetlinkError, as the value of any attribute too', () => {
  assertSurvivesAnyBytes(
    decodeRoute,
    messageIn(vectors.route).payload,
    messageIn(vectors.gatewayRoute).payload,
  );
  // linux/rtnetlink.h: RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_TABLE
  for (const type of [1, 4, 5, 6, 15]) {
    for (const family of [AF_INET, AF_INET6]) {
      const header = Uint8Array.of(family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
      assertSurvivesAnyBytes(
        (value) => decodeRoute(concat([header, encodeAttributes([{ type, value }])])),
        new Uint8Array(family === AF_INET ? 4 : 16),
      );
    }
  }
});
