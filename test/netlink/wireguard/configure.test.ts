import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AttributeTable, decodeAttributes } from '../../../src/netlink/attribute.ts';
import { readCString, readU32 } from '../../../src/netlink/bytes.ts';
import { decodeGeneric } from '../../../src/netlink/generic.ts';
import { decodeMessages } from '../../../src/netlink/message.ts';
import { decodeAllowedIp } from '../../../src/netlink/wireguard/allowed-ip.ts';
import { encodeGetDevice } from '../../../src/netlink/wireguard/client.ts';
import { encodeSetDevice } from '../../../src/netlink/wireguard/configure.ts';
import {
  WGDEVICE_A_FLAGS,
  WGDEVICE_A_IFNAME,
  WGDEVICE_A_PEERS,
  WGDEVICE_A_PRIVATE_KEY,
  WGPEER_A_ALLOWEDIPS,
  WGPEER_A_ENDPOINT,
  WGPEER_A_FLAGS,
  WGPEER_A_PRESHARED_KEY,
  WGPEER_F_REPLACE_ALLOWEDIPS,
  WGPEER_F_UPDATE_ONLY,
} from '../../../src/netlink/wireguard/constants.ts';
import { formatPrefix } from '../../../src/wireguard/address.ts';
import type { DeviceChange } from '../../../src/wireguard/change.ts';
import type { PublicKey } from '../../../src/wireguard/key.ts';
import { anyPrefix, anyPublicKey } from '../../support/netlink/arbitrary.ts';
import {
  configuration,
  firstKeyText,
  prefixes,
  publicKey,
  secondKeyText,
} from '../../support/netlink/devices.ts';
import * as vectors from '../../support/netlink/vectors.ts';

function payloadOf(bytes: Uint8Array) {
  return decodeMessages(bytes)[0]?.payload ?? assert.fail();
}

/** A message's attributes, and those of its peers. */
function read(payload: Uint8Array) {
  const device = new AttributeTable(decodeGeneric(payload).attributes);
  const peers = device.get({ WGDEVICE_A_PEERS }, decodeAttributes) ?? [];
  return { device, peers: peers.map(({ value }) => new AttributeTable(value)) };
}

function allowedIpsOf(peer: AttributeTable): string[] {
  const list = peer.get({ WGPEER_A_ALLOWEDIPS }, decodeAttributes) ?? [];
  return list.map(({ value }) => formatPrefix(decodeAllowedIp(value)));
}

test('everything at once, as `wg setconf` sends it', () => {
  assert.deepEqual(encodeSetDevice('wgt0', configuration), [payloadOf(vectors.setDevice)]);
});

test('removing a peer, as `wg set` sends it', () => {
  const changes = { peers: [{ publicKey: publicKey(secondKeyText), remove: true }] };
  assert.deepEqual(encodeSetDevice('wgt0', changes), [payloadOf(vectors.removePeer)]);
  const [peer] = changes.peers;
  const withList = { ...(peer ?? assert.fail()), allowedIps: prefixes(1000) };
  assert.deepEqual(encodeSetDevice('wgt0', { peers: [withList] }), [payloadOf(vectors.removePeer)]);
});

test('a listen port alone, as `wg set` sends it', () => {
  assert.deepEqual(encodeSetDevice('nope', { listenPort: 5 }), [payloadOf(vectors.setNoDevice)]);
});

test('WG_CMD_GET_DEVICE as `wg show` sends it', () => {
  assert.deepEqual(encodeGetDevice('wgt0'), payloadOf(vectors.getDevice));
});

test('nothing to change is still a message, which the kernel answers', () => {
  const [payload, ...others] = encodeSetDevice('wgt0', {});
  assert.equal(others.length, 0);
  assert.deepEqual(decodeAttributes(decodeGeneric(payload ?? assert.fail()).attributes).length, 1);
});

test('a long list is split; what replaces and what is set is in the first message only', () => {
  const allowedIps = prefixes(1000);
  const [peer] = configuration.peers ?? [];
  const changes: DeviceChange = {
    ...configuration,
    peers: [{ ...(peer ?? assert.fail()), updateOnly: true, allowedIps }],
  };
  const messages = encodeSetDevice('wgt0', changes, 8192).map(read);
  assert.equal(messages.length, 4);
  assert.deepEqual(
    messages.flatMap(({ peers }) => peers.flatMap(allowedIpsOf)),
    allowedIps.map(formatPrefix),
  );
  messages.forEach(({ device, peers: [table] }, index) => {
    const isFirst = index === 0;
    assert.equal(device.get({ WGDEVICE_A_IFNAME }, readCString), 'wgt0');
    assert.equal(device.get({ WGDEVICE_A_FLAGS }, readU32), isFirst ? 1 : undefined);
    assert.equal(
      device.get({ WGDEVICE_A_PRIVATE_KEY }, () => true),
      isFirst ? true : undefined,
    );
    assert.equal(
      table?.get({ WGPEER_A_ENDPOINT }, () => true),
      isFirst ? true : undefined,
    );
    // A message without it would make the peer that is only to be updated.
    const flags = WGPEER_F_UPDATE_ONLY | (isFirst ? WGPEER_F_REPLACE_ALLOWEDIPS : 0);
    assert.equal(table?.get({ WGPEER_A_FLAGS }, readU32), flags);
  });
});

test('many peers are split between peers', () => {
  const peers = Array.from({ length: 1000 }, (_, n) => ({
    publicKey: Buffer.alloc(32, n).toString('base64') as PublicKey,
    allowedIps: prefixes(1),
  }));
  const messages = encodeSetDevice('wgt0', { replacePeers: true, peers });
  assert(messages.length > 1 && messages.every(({ length }) => length < 0x8000 + 100));
  assert.equal(messages.flatMap((payload) => read(payload).peers).length, 1000);
});

test('whatever is split, all of it is sent, in order, and each flag once', () => {
  const anyPeer = fc.record(
    {
      publicKey: anyPublicKey,
      allowedIps: fc.array(anyPrefix, { maxLength: 3 }).map((list) => Array(200).fill(list).flat()),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(fc.array(anyPeer, { maxLength: 4 }), fc.integer({ min: 1, max: 60_000 }), (peers, limit) => {
      const messages = encodeSetDevice('wgt0', { replacePeers: true, peers }, limit).map(read);
      const flags = messages.map(({ device }) => device.get({ WGDEVICE_A_FLAGS }, readU32));
      assert.equal(flags.filter(Boolean).length, 1);
      const pieces = messages.flatMap((message) => message.peers);
      assert.equal(pieces.filter((piece) => piece.get({ WGPEER_A_FLAGS }, readU32)).length, peers.length);
      assert.deepEqual(
        pieces.flatMap(allowedIpsOf),
        peers.flatMap(({ allowedIps }) => allowedIps.map(formatPrefix)),
      );
    }),
    { numRuns: 50 },
  );
});

test('a preshared key is removed by zeros, and nothing else of its peer is sent', () => {
  const [payload = assert.fail()] = encodeSetDevice('wgt0', {
    peers: [{ publicKey: publicKey(firstKeyText), presharedKey: 'none' }],
  });
  const [peer = assert.fail()] = read(payload).peers;
  assert.deepEqual(
    peer.get({ WGPEER_A_PRESHARED_KEY }, (bytes) => bytes),
    new Uint8Array(32),
  );
  assert.equal(peer.get({ WGPEER_A_FLAGS }, readU32), undefined);
  assert.equal(
    peer.get({ WGPEER_A_ALLOWEDIPS }, () => true),
    undefined,
  );
});

test('an empty list of allowed IPs takes away those there are', () => {
  const [payload = assert.fail()] = encodeSetDevice('wgt0', {
    peers: [{ publicKey: publicKey(firstKeyText), allowedIps: [] }],
  });
  const [peer = assert.fail()] = read(payload).peers;
  assert.equal(peer.get({ WGPEER_A_FLAGS }, readU32), WGPEER_F_REPLACE_ALLOWEDIPS);
});

test('a public key of another length is refused', () => {
  assert.throws(() => encodeSetDevice('wgt0', { peers: [{ publicKey: '*' as PublicKey }] }), {
    name: 'NetlinkError',
    message: 'encode public key: expected 32 bytes, got other than base64',
  });
});
