import assert from 'node:assert/strict';
import { test } from 'node:test';
import { u32 } from '../../src/netlink/bytes.ts';
import { genericFamily, resolveFamily } from '../../src/netlink/generic-family.ts';
import { decodeMessages, NLMSG_ERROR } from '../../src/netlink/message.ts';
import { execute } from '../../src/netlink/request.ts';
import { type FakeKernel, fakeKernel } from '../support/netlink/fake-kernel.ts';
import * as vectors from '../support/netlink/vectors.ts';

const [answer] = decodeMessages(vectors.family);

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
