import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AF_INET6 } from '../../../../src/links/netlink/family.ts';
import { decodeMessages } from '../../../../src/links/netlink/message.ts';
import {
  decodeRoute,
  encodeGetRoutes,
  encodeNewRoute,
  RTM_NEWROUTE,
  RTN_UNICAST,
  RTN_UNREACHABLE,
} from '../../../../src/links/netlink/route/route.ts';
import { formatPrefix, parseAddress, prefixOf } from '../../../../src/wireguard/address.ts';
import { assertSurvivesAnyBytes } from '../malformed.ts';
import * as vectors from '../vectors.ts';

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

test('RTM_GETROUTE of a family, from linux/rtnetlink.h', () => {
  assert.deepEqual(encodeGetRoutes(AF_INET6), Uint8Array.of(10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
});

test('routes as the kernel describes them', () => {
  const { destination, ...connected } = decodeRoute(messageIn(vectors.route).payload);
  assert.equal(formatPrefix(destination), '172.30.0.0/24');
  assert.deepEqual(connected, { table: 254, type: RTN_UNICAST, oif: 2, gateway: undefined });
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
  assertSurvivesAnyBytes(
    decodeRoute,
    messageIn(vectors.route).payload,
    messageIn(vectors.gatewayRoute).payload,
  );
});
