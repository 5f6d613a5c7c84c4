import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concat } from '../../src/netlink/bytes.ts';
import {
  decodeMessages,
  encodeMessage,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_MULTI,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
} from '../../src/netlink/message.ts';
import { assertSurvivesAnyBytes } from '../support/netlink/malformed.ts';
import * as vectors from '../support/netlink/vectors.ts';

const uint16 = fc.nat(0xffff);
const uint32 = fc.nat(0xffff_ffff);
const anyMessage: fc.Arbitrary<NetlinkMessage> = fc.record(
  {
    type: uint16,
    flags: uint16,
    sequence: uint32,
    portId: uint32,
    payload: fc.uint8Array({ maxLength: 50 }),
  },
  { noNullPrototype: true },
);

test('a message of `ip`, and back', () => {
  const [message] = decodeMessages(vectors.newLink);
  assert.equal(message?.type, 16);
  assert.equal(message?.flags, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
  assert.equal(message?.sequence, 0x6b02c533);
  assert.equal(message?.portId, 0);
  assert.equal(message?.payload.length, 60 - 16);
  assert.deepEqual(encodeMessage(message), vectors.newLink);
});

test('every message captured, and back', () => {
  for (const bytes of Object.values(vectors)) {
    assert.deepEqual(concat(decodeMessages(bytes).map(encodeMessage)), bytes);
  }
});

test('several messages in one datagram', () => {
  const messages = decodeMessages(vectors.device);
  assert.deepEqual(
    messages.map(({ type, flags }) => [type, flags]),
    [
      [0x22, NLM_F_MULTI],
      [NLMSG_DONE, NLM_F_MULTI],
    ],
  );
});

test('decoding is the inverse of encoding', () => {
  fc.assert(
    fc.property(fc.array(anyMessage, { maxLength: 5 }), (messages) => {
      assert.deepEqual(decodeMessages(concat(messages.map(encodeMessage))), messages);
    }),
  );
});

test('what is cut off is an error that says where', () => {
  const of = (length: number) => vectors.acknowledgement.slice(0, length);
  assert.throws(() => decodeMessages(of(15)), {
    name: 'NetlinkError',
    message: 'decode nlmsghdr: expected 16 bytes, got 15',
  });
  assert.throws(() => decodeMessages(of(20)), {
    message: 'decode nlmsghdr: expected a length from 16 to 20, got 36',
  });
  assert.equal(decodeMessages(of(36))[0]?.type, NLMSG_ERROR);
  assert.deepEqual(decodeMessages(of(0)), []);
});

test('a length that would not move on', () => {
  assert.throws(() => decodeMessages(new Uint8Array(16)), /expected a length from 16 to 16, got 0/);
});

test('any bytes are messages or a NetlinkError', () => {
  assertSurvivesAnyBytes(decodeMessages, ...Object.values(vectors));
});
