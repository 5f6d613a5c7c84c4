import assert from 'node:assert/strict';
import { test } from 'node:test';
import { u32 } from '../../../src/netlink/bytes.ts';
import {
  decodeMessages,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
} from '../../../src/netlink/message.ts';
import { configureDevice, getDevice } from '../../../src/netlink/wireguard/client.ts';
import { encodeSetDevice } from '../../../src/netlink/wireguard/configure.ts';
import { configuration, firstKeyText, prefixes, publicKey } from '../../support/netlink/devices.ts';
import { fakeKernel, type Scripted } from '../../support/netlink/fake-kernel.ts';
import * as vectors from '../../support/netlink/vectors.ts';

const ok: Scripted = { type: NLMSG_ERROR, payload: u32(0) };
const enodev: Scripted = { type: NLMSG_ERROR, payload: u32(-19) };
const [familyAnswer = assert.fail()] = decodeMessages(vectors.family);
/** Resolves the family to 0x22. */
const family: readonly Scripted[][] = [[{ type: 0x10, payload: familyAnswer.payload }, ok]];
const [deviceAnswer = assert.fail()] = decodeMessages(vectors.device);
const part: Scripted = { type: 0x22, payload: deviceAnswer.payload };
const done: Scripted = { type: NLMSG_DONE, payload: u32(0) };

test('a device is configured under the family’s type of the moment', async () => {
  const kernel = fakeKernel(family, [[ok]]);
  await configureDevice(kernel, 'wgt0', configuration);
  const [, request, ...others] = kernel.requests;
  assert.equal(others.length, 0);
  assert.deepEqual([request?.type, request?.flags], [0x22, NLM_F_REQUEST | NLM_F_ACK]);
  assert.deepEqual(request?.payload, encodeSetDevice('wgt0', configuration)[0]);
});

test('a long configuration is sent message by message, up to the first that is refused', async () => {
  const long = { peers: [{ publicKey: publicKey(firstKeyText), allowedIps: prefixes(5000) }] };
  const all = fakeKernel(family, ...Array.from({ length: 9 }, () => [[ok]]));
  await configureDevice(all, 'wgt0', long);
  assert.deepEqual(
    all.requests.slice(1).map(({ payload }) => payload),
    encodeSetDevice('wgt0', long),
  );
  const gone = fakeKernel(family, [[ok]], [[enodev]], [[ok]]);
  await assert.rejects(configureDevice(gone, 'wgt0', long), { message: 'configure link wgt0: ENODEV' });
  assert.equal(gone.requests.length, 3);
});

test('a device is read by a dump', async () => {
  const kernel = fakeKernel(family, [[part], [done]]);
  assert.equal((await getDevice(kernel, 'wgt0')).ifname, 'wgt0');
  const [, request] = kernel.requests;
  assert.deepEqual([request?.type, request?.flags], [0x22, NLM_F_REQUEST | NLM_F_DUMP]);
});

test('errors: no link, of another kind, no module, and no device in the answer', async () => {
  const refused = (errno: number) => fakeKernel(family, [[{ type: NLMSG_ERROR, payload: u32(-errno) }]]);
  await assert.rejects(getDevice(refused(19), 'wgt0'), { message: 'get link wgt0: ENODEV' });
  await assert.rejects(getDevice(refused(95), 'wgt0'), { message: 'get link wgt0: EOPNOTSUPP' });
  await assert.rejects(configureDevice(refused(97), 'wgt0', configuration), {
    message: 'configure link wgt0: EAFNOSUPPORT',
  });
  const noModule = fakeKernel([[{ type: NLMSG_ERROR, payload: u32(-2) }]]);
  await assert.rejects(getDevice(noModule, 'wgt0'), {
    message: 'resolve netlink family wireguard: ENOENT',
  });
  await assert.rejects(getDevice(fakeKernel(family, [[done]]), 'wgt0'), {
    message: 'get link wgt0: decode WG_CMD_GET_DEVICE: expected a device’s index and name, got none',
  });
});
