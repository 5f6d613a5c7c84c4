import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import { serialize } from 'node:v8';
import fc from 'fast-check';
import { encodeAttributes, nested } from '../../../src/netlink/attribute.ts';
import { concat, cString, u16, u32 } from '../../../src/netlink/bytes.ts';
import { encodeGeneric } from '../../../src/netlink/generic.ts';
import { decodeMessages, NLMSG_DONE } from '../../../src/netlink/message.ts';
import { encodeSetDevice } from '../../../src/netlink/wireguard/configure.ts';
import * as wg from '../../../src/netlink/wireguard/constants.ts';
import { parseDevice } from '../../../src/netlink/wireguard/parse.ts';
import { formatPrefix } from '../../../src/wireguard/address.ts';
import { formatEndpoint } from '../../../src/wireguard/device.ts';
import { anyEndpoint, anyPrefix, anyPresharedKey, anyPublicKey } from '../../support/netlink/arbitrary.ts';
import {
  configuration,
  firstKeyText,
  prefixes,
  presharedKeyText,
  privateKeyText,
  publicKey,
  publicKeyText,
  secondKeyText,
} from '../../support/netlink/devices.ts';
import { assertSurvivesAnyBytes } from '../../support/netlink/malformed.ts';
import * as vectors from '../../support/netlink/vectors.ts';

const captured = decodeMessages(vectors.device)
  .filter(({ type }) => type !== NLMSG_DONE)
  .map(({ payload }) => payload);

/** What a kernel would send of the index, which is not configured. */
const index = encodeAttributes([{ type: wg.WGDEVICE_A_IFINDEX, value: u32(7) }]);

test('a device as the kernel describes it; `wg show dump` said the same of it', () => {
  const device = parseDevice(captured);
  assert.equal(device.ifindex, 2);
  assert.equal(device.ifname, 'wgt0');
  assert.equal(device.publicKey, publicKeyText);
  assert.equal(device.listenPort, 51820);
  assert.equal(device.fwmark, 0x1234);
  assert.equal(device.peers.length, 2);
  const [first, second] = device.peers;
  assert.equal(first?.publicKey, firstKeyText);
  assert.equal(first?.hasPresharedKey, true);
  assert.equal(formatEndpoint(first?.endpoint ?? assert.fail()), '192.0.2.7:51821');
  assert.equal(first?.persistentKeepaliveInterval, 25);
  assert.deepEqual(first?.allowedIps.map(formatPrefix), ['10.1.0.0/16', 'fd00:1::/64']);
  assert.equal(first?.lastHandshake, undefined);
  assert.deepEqual([first?.receivedBytes, first?.sentBytes], [0, 0]);
  assert.equal(second?.publicKey, secondKeyText);
  assert.equal(second?.hasPresharedKey, false);
  assert.equal(formatEndpoint(second?.endpoint ?? assert.fail()), '[2001:db8::7]:443');
  assert.equal(second?.persistentKeepaliveInterval, 0);
  assert.deepEqual(second?.allowedIps.map(formatPrefix), ['0.0.0.0/0', '::/0']);
});

test('no secret comes out, although the kernel tells it', () => {
  const secrets = [privateKeyText, presharedKeyText].map((text) => Buffer.from(text, 'base64'));
  const told = Buffer.concat(captured);
  assert(secrets.every((secret) => told.includes(secret)));
  const held = serialize(parseDevice(captured));
  assert(secrets.every((secret) => !held.includes(secret)));
});

test('what is configured is what is read', () => {
  const anyConfiguration = fc.record(
    {
      listenPort: fc.nat(0xffff),
      fwmark: fc.nat(0xffff_ffff),
      peers: fc.uniqueArray(
        fc.record(
          {
            publicKey: anyPublicKey,
            presharedKey: fc.option(anyPresharedKey, { nil: 'none' as const }),
            endpoint: anyEndpoint,
            persistentKeepaliveInterval: fc.nat(0xffff),
            allowedIps: fc.array(anyPrefix, { maxLength: 3 }).map((list) => Array(100).fill(list).flat()),
          },
          { noNullPrototype: true },
        ),
        { maxLength: 4, selector: (peer) => peer.publicKey },
      ),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(anyConfiguration, fc.integer({ min: 1, max: 60_000 }), (written, limit) => {
      const [first = u32(0), ...others] = encodeSetDevice('wgt0', written, limit);
      const read = parseDevice([concat([first, index]), ...others]);
      assert.deepEqual([read.ifindex, read.ifname], [7, 'wgt0']);
      assert.deepEqual([read.listenPort, read.fwmark], [written.listenPort, written.fwmark]);
      assert.deepEqual(
        read.peers,
        written.peers.map(({ presharedKey, ...peer }) => ({
          ...peer,
          hasPresharedKey: presharedKey !== 'none',
          lastHandshake: undefined,
          receivedBytes: 0,
          sentBytes: 0,
        })),
      );
    }),
    { numRuns: 50 },
  );
});

test('a peer that goes on in the next messages is one peer', () => {
  const peers = [
    { publicKey: publicKey(firstKeyText), allowedIps: prefixes(600) },
    { publicKey: publicKey(secondKeyText), allowedIps: prefixes(2) },
  ];
  const [first = u32(0), ...others] = encodeSetDevice('wgt0', { peers }, 1);
  assert.equal(others.length, 3);
  const device = parseDevice([concat([first, index]), ...others]);
  assert.deepEqual(
    device.peers.map(({ publicKey, allowedIps }) => [publicKey, allowedIps.length]),
    [
      [firstKeyText, 600],
      [secondKeyText, 2],
    ],
  );
});

test('when the last handshake was', () => {
  const timespec = concat([u32(1_700_000_000), u32(0), u32(250_000_000), u32(0)]);
  const peer = encodeAttributes([
    { type: wg.WGPEER_A_PUBLIC_KEY, value: new Uint8Array(32) },
    { type: wg.WGPEER_A_LAST_HANDSHAKE_TIME, value: timespec },
  ]);
  const device = parseDevice([withPeer(peer)]);
  assert.equal(device.peers[0]?.lastHandshake?.getTime(), 1_700_000_000_250);
});

test('what is no device', () => {
  assert.throws(() => parseDevice([]), {
    name: 'NetlinkError',
    message: 'decode WG_CMD_GET_DEVICE: expected a device’s index and name, got none',
  });
  assert.throws(
    () => parseDevice([withPeer(new Uint8Array())]),
    /WGDEVICE_A_PEERS: expected a WGPEER_A_PUBLIC_KEY, got none/,
  );
  const [first = u32(0)] = encodeSetDevice('wgt0', configuration);
  const wrong = encodeAttributes([{ type: wg.WGDEVICE_A_PUBLIC_KEY, value: u16(1) }]);
  assert.throws(() => parseDevice([concat([first, index, wrong])]), {
    message: 'decode WGDEVICE_A_PUBLIC_KEY: expected 32 bytes, got 2',
  });
});

test('any bytes are a device or a NetlinkError', () => {
  assertSurvivesAnyBytes((bytes) => parseDevice([bytes]), ...captured);
});

function withPeer(peer: Uint8Array): Uint8Array {
  const attributes = encodeAttributes([
    { type: wg.WGDEVICE_A_IFNAME, value: cString('wgt0') },
    nested(wg.WGDEVICE_A_PEERS, [{ type: 0, value: peer }]),
  ]);
  return encodeGeneric({
    command: wg.WG_CMD_GET_DEVICE,
    version: 1,
    attributes: concat([attributes, index]),
  });
}
