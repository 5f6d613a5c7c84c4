import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeFamilyId, decodeGeneric, encodeGeneric, encodeGetFamily } from '../../src/netlink/generic.ts';
import { decodeMessages } from '../../src/netlink/message.ts';
import { assertSurvivesAnyBytes } from '../support/netlink/malformed.ts';
import * as vectors from '../support/netlink/vectors.ts';

const [request] = decodeMessages(vectors.getFamily);
const [answer] = decodeMessages(vectors.family);

test('CTRL_CMD_GETFAMILY as `wg` asks it', () => {
  assert.equal(request?.type, 0x10);
  assert.deepEqual(encodeGetFamily('wireguard'), request?.payload);
});

test('the id in the kernel’s answer', () => {
  assert.equal(decodeFamilyId(answer?.payload ?? assert.fail()), 0x22);
});

test('decoding is the inverse of encoding', () => {
  const byte = fc.nat(255);
  const anyMessage = fc.record(
    { command: byte, version: byte, attributes: fc.uint8Array() },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(anyMessage, (message) => assert.deepEqual(decodeGeneric(encodeGeneric(message)), message)),
  );
});

test('any bytes are a family or a NetlinkError', () => {
  assert.throws(() => decodeGeneric(new Uint8Array(3)), /genlmsghdr: expected 4 bytes, got 3/);
  assertSurvivesAnyBytes(decodeFamilyId, answer?.payload ?? assert.fail());
});
