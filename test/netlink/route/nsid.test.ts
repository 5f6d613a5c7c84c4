import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeAttributes } from '../../../src/netlink/attribute.ts';
import { concat, u16, u32 } from '../../../src/netlink/bytes.ts';
import { decodeMessages, NLMSG_ERROR } from '../../../src/netlink/message.ts';
import { getNsid } from '../../../src/netlink/route/client.ts';
import { decodeNsid, encodeGetNsid, RTM_GETNSID, RTM_NEWNSID } from '../../../src/netlink/route/nsid.ts';
import { fakeKernel } from '../../support/netlink/fake-kernel.ts';
import { assertSurvivesAnyBytes } from '../../support/netlink/malformed.ts';

// `ip netns list` under strace, iproute2 6.1 on Linux 6.18, in a fresh network namespace: of `a` after
// `ip netns set a 7`, and of `b`, which has no number. It has the namespace open as file 6.
const getNsidMessage = messageIn('1c0000005a00010078b8036b00000000000000000800030006000000');
const numbered = messageIn('1c0000005800000078b8036b906782df000000000800010007000000');
const unnumbered = messageIn('1c0000005800000077b8036b906782df0000000008000100ffffffff');

// linux/net_namespace.h
const NETNSA_NSID = 1;
const NETNSA_CURRENT_NSID = 5;
/** `struct rtgenmsg`, AF_UNSPEC, with padding */
const header = new Uint8Array(4);

function messageIn(hex: string) {
  return decodeMessages(new Uint8Array(Buffer.from(hex, 'hex')))[0] ?? assert.fail();
}

function answerWith(type: number, value: Uint8Array): Uint8Array {
  return concat([header, encodeAttributes([{ type, value }])]);
}

test('RTM_GETNSID as `ip netns list` sends it', () => {
  assert.equal(getNsidMessage.type, RTM_GETNSID);
  assert.deepEqual(encodeGetNsid(6), getNsidMessage.payload);
});

test('RTM_NEWNSID as the kernel sends it: a number, and none (NETNSA_NSID_NOT_ASSIGNED)', () => {
  assert.equal(numbered.type, RTM_NEWNSID);
  assert.equal(decodeNsid(numbered.payload), 7);
  assert.equal(unnumbered.type, RTM_NEWNSID);
  assert.equal(decodeNsid(unnumbered.payload), undefined);
});

test('any number but -1', () => {
  fc.assert(
    fc.property(fc.integer(), (nsid) =>
      assert.equal(decodeNsid(answerWith(NETNSA_NSID, u32(nsid))), nsid === -1 ? undefined : nsid),
    ),
    { examples: [[-1], [0]] },
  );
});

test('what is no answer', () => {
  assert.throws(() => decodeNsid(new Uint8Array(3)), {
    name: 'NetlinkError',
    message: 'decode rtgenmsg: expected 4 bytes, got 3',
  });
  for (const without of [header, answerWith(NETNSA_CURRENT_NSID, u32(7))]) {
    assert.throws(() => decodeNsid(without), {
      name: 'NetlinkError',
      message: 'decode rtgenmsg: expected a NETNSA_NSID, got none',
    });
  }
  for (const wrong of [new Uint8Array(), u16(7), concat([u32(7), u32(0)])]) {
    assert.throws(() => decodeNsid(answerWith(NETNSA_NSID, wrong)), {
      name: 'NetlinkError',
      message: `decode NETNSA_NSID: expected 4 bytes, got ${wrong.length}`,
    });
  }
});

test('any bytes are a number, none or a NetlinkError', () => {
  assertSurvivesAnyBytes(decodeNsid, numbered.payload, unnumbered.payload);
});

test('a malformed answer is an error that says what was asked', async () => {
  const kernel = fakeKernel([
    [
      { type: RTM_NEWNSID, payload: header },
      { type: NLMSG_ERROR, payload: u32(0) },
    ],
  ]);
  await assert.rejects(getNsid(kernel, 6), {
    name: 'NetlinkError',
    message: 'get number of network namespace: decode rtgenmsg: expected a NETNSA_NSID, got none',
  });
});
