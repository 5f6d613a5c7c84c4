import assert from 'node:assert/strict';
import { test } from 'node:test';
import { u32 } from '../../src/netlink/bytes.ts';
import { NetlinkError } from '../../src/netlink/error.ts';
import {
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_MULTI,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
} from '../../src/netlink/message.ts';
import { dump, execute } from '../../src/netlink/request.ts';
import { fakeKernel } from '../support/netlink/fake-kernel.ts';

const request = { type: 16, payload: u32(7), operation: 'create', subject: 'link wgd1' };
const ok = { type: NLMSG_ERROR, payload: u32(0) };
const done = { type: NLMSG_DONE, flags: NLM_F_MULTI, payload: u32(0) };
const part = (value: number, flags = NLM_F_MULTI) => ({ type: 17, flags, payload: u32(value) });

/** The first byte of each message's payload. */
const values = (messages: readonly { payload: Uint8Array }[]) => messages.map(({ payload }) => payload[0]);

test('a request with a sequence number of its own each time', async () => {
  const kernel = fakeKernel([[ok]], [[ok]]);
  assert.deepEqual(await execute(kernel, { ...request, flags: NLM_F_CREATE }), []);
  await execute(kernel, request);
  const [first, second] = kernel.requests;
  assert.equal(first?.flags, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE);
  assert.equal(first?.type, 16);
  assert.deepEqual(first?.payload, u32(7));
  assert.equal(second?.flags, NLM_F_REQUEST | NLM_F_ACK);
  assert.equal(second?.sequence, (first?.sequence ?? 0) + 1);
});

test('an answer, in one datagram with its acknowledgement or not', async () => {
  assert.deepEqual(values(await execute(fakeKernel([[part(1, 0), ok]]), request)), [1]);
  assert.deepEqual(values(await execute(fakeKernel([[part(1, 0)], [ok]]), request)), [1]);
});

test('answers to others, and those that say nothing, are passed over', async () => {
  const kernel = fakeKernel([
    [{ ...part(9), sequence: 0 }, { type: NLMSG_NOOP }],
    [part(1, 0), ok],
  ]);
  assert.deepEqual(values(await execute(kernel, request)), [1]);
});

test('an error of the kernel, with what it was done for', async () => {
  await assert.rejects(execute(fakeKernel([[{ type: NLMSG_ERROR, payload: u32(-17) }]]), request), {
    name: 'NetlinkError',
    message: 'create link wgd1: EEXIST',
    errno: 'EEXIST',
  });
});

test('a dump of several datagrams', async () => {
  const kernel = fakeKernel([[part(1), part(2)], [part(3)], [done]]);
  assert.deepEqual(values(await dump(kernel, request)), [1, 2, 3]);
  assert.equal(kernel.requests[0]?.flags, NLM_F_REQUEST | NLM_F_DUMP);
});

test('an interrupted dump is read to its end and asked for again', async () => {
  const interrupted = part(1, NLM_F_MULTI | NLM_F_DUMP_INTR);
  const kernel = fakeKernel([[interrupted], [part(2), done]], [[part(1), part(2), done]]);
  assert.deepEqual(values(await dump(kernel, request)), [1, 2]);
  assert.equal(kernel.requests.length, 2);
});

test('the mark of an interruption on the last message alone', async () => {
  const interrupted = { ...done, flags: NLM_F_MULTI | NLM_F_DUMP_INTR };
  const kernel = fakeKernel([[part(1), interrupted]], [[part(1), part(2), done]]);
  assert.deepEqual(values(await dump(kernel, request)), [1, 2]);
});

test('a dump that never comes undisturbed', async () => {
  const script = [[{ ...done, flags: NLM_F_MULTI | NLM_F_DUMP_INTR }]];
  const kernel = fakeKernel(...Array.from({ length: 20 }, () => script));
  await assert.rejects(dump(kernel, request), {
    message: 'create link wgd1: EINTR: changed each of 10 times while it was read (NLM_F_DUMP_INTR)',
    errno: 'EINTR',
  });
  assert.equal(kernel.requests.length, 10);
});

test('a dump that ends with an error, or begins with one', async () => {
  for (const script of [
    [[part(1), { ...done, payload: u32(-19) }]],
    [[{ type: NLMSG_ERROR, payload: u32(-19) }]],
  ]) {
    await assert.rejects(dump(fakeKernel(script), request), { errno: 'ENODEV' });
  }
});

test('no answer, lost data, and bytes that are none: each says what for', async () => {
  await assert.rejects(execute(fakeKernel([]), request), {
    message: 'create link wgd1: the kernel did not answer',
  });
  await assert.rejects(execute(fakeKernel([[{ type: NLMSG_OVERRUN }]]), request), {
    message: 'create link wgd1: ENOBUFS: data lost (NLMSG_OVERRUN)',
  });
  const kernel = { ...fakeKernel([]), receive: () => new Uint8Array(3) };
  await assert.rejects(execute(kernel, request), {
    message: 'create link wgd1: decode nlmsghdr: expected 16 bytes, got 3',
  });
});

test('a message that cannot be sent', async () => {
  const cause = new NetlinkError('send', 'netlink message', { errno: 'EMSGSIZE' });
  const kernel = { ...fakeKernel(), send: () => Promise.reject(cause) };
  await assert.rejects(execute(kernel, request), {
    message: 'create link wgd1: EMSGSIZE: send netlink message',
  });
});
