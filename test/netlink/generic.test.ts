import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { u32 } from '../../src/netlink/bytes.ts';
import {
  decodeFamilyId,
  decodeGeneric,
  encodeGeneric,
  encodeGetFamily,
  genericFamily,
  resolveFamily,
} from '../../src/netlink/generic.ts';
import { decodeMessages, NLMSG_ERROR } from '../../src/netlink/message.ts';
import { execute } from '../../src/netlink/request.ts';
import { type FakeKernel, fakeKernel } from './fake-kernel.ts';
import { assertSurvivesAnyBytes } from './malformed.ts';
import * as vectors from './vectors.ts';

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

test('resolving a family', async () => {
  const ok = { type: NLMSG_ERROR, payload: u32(0) };
  const kernel = fakeKernel([[{ type: 0x10, payload: answer?.payload ?? assert.fail() }, ok]]);
  assert.equal(await resolveFamily(kernel, 'wireguard'), 0x22);
  await assert.rejects(resolveFamily(fakeKernel([[{ type: NLMSG_ERROR, payload: u32(-2) }]]), 'wireguard'), {
    message: 'resolve netlink family wireguard: ENOENT',
  });
  await assert.rejects(resolveFamily(fakeKernel([[ok]]), 'wireguard'), /no CTRL_ATTR_FAMILY_ID/);
});

test('a family is asked for once, and again when the kernel knows its type no more', async () => {
  const family = genericFamily('wireguard');
  const ok = { type: NLMSG_ERROR, payload: u32(0) };
  const resolved = [[{ type: 0x10, payload: answer?.payload ?? assert.fail() }, ok]];
  const refused = (errno: number) => [[{ type: NLMSG_ERROR, payload: u32(-errno) }]];
  const types: number[] = [];
  const configure = (kernel: FakeKernel) =>
    family(kernel, async (type) => {
      types.push(type);
      await execute(kernel, {
        type,
        payload: new Uint8Array(),
        operation: 'configure',
        subject: 'link wgt0',
      });
    });
  const asked = async (kernel: FakeKernel) => {
    await configure(kernel);
    return kernel.requests.map(({ type }) => type);
  };
  assert.deepEqual(await asked(fakeKernel(resolved, [[ok]])), [0x10, 0x22]);
  assert.deepEqual(await asked(fakeKernel([[ok]])), [0x22]);
  assert.deepEqual(await asked(fakeKernel(refused(2), resolved, [[ok]])), [0x22, 0x10, 0x22]);
  await assert.rejects(configure(fakeKernel(refused(19))), { errno: 'ENODEV' });
  await assert.rejects(
    configure(fakeKernel(refused(2), refused(2))),
    /resolve netlink family wireguard: ENOENT/,
  );
  assert(types.every((type) => type === 0x22));
});

test('any bytes are a family or a NetlinkError', () => {
  assert.throws(() => decodeGeneric(new Uint8Array(3)), /genlmsghdr: expected 4 bytes, got 3/);
  assertSurvivesAnyBytes(decodeFamilyId, answer?.payload ?? assert.fail());
});
