import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeAcknowledgement } from '../../src/netlink/acknowledgement.ts';
import { encodeAttributes } from '../../src/netlink/attribute.ts';
import { concat, cString, u32 } from '../../src/netlink/bytes.ts';
import {
  decodeMessages,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_DONE,
  NLMSG_ERROR,
} from '../../src/netlink/message.ts';
import { assertSurvivesAnyBytes } from '../support/netlink/malformed.ts';
import * as vectors from '../support/netlink/vectors.ts';

/** Of a datagram's last message. */
function causeIn(bytes: Uint8Array) {
  const message = decodeMessages(bytes).at(-1);
  return message && decodeAcknowledgement(message);
}

function error(flags: number, ...payload: readonly Uint8Array[]) {
  return { type: NLMSG_ERROR, flags, sequence: 1, portId: 0, payload: concat(payload) };
}

test('an acknowledgement is no error', () => {
  assert.equal(causeIn(vectors.acknowledgement), undefined);
});

test('an errno without words', () => {
  assert.deepEqual(causeIn(vectors.nameTaken), { errno: 'EEXIST' });
  assert.deepEqual(causeIn(vectors.noDevice), { errno: 'ENODEV' });
});

test('the kernel’s words, behind the whole request', () => {
  assert.deepEqual(causeIn(vectors.noSuchKind), {
    errno: 'EOPNOTSUPP',
    text: 'Unknown device type',
    offset: undefined,
  });
});

test('the kernel’s words, behind the request’s header alone (NLM_F_CAPPED)', () => {
  assert.deepEqual(causeIn(vectors.capped), {
    errno: 'EOPNOTSUPP',
    text: 'Unknown device type',
    offset: undefined,
  });
});

test('the kernel’s words, and the place of the attribute that was refused', () => {
  assert.deepEqual(causeIn(vectors.cappedWithOffset), {
    errno: 'ERANGE',
    text: 'Attribute failed policy validation',
    offset: 32,
  });
});

test('the end of a dump: without an error, with one, and with words', () => {
  assert.equal(causeIn(vectors.device), undefined);
  const done = { type: NLMSG_DONE, flags: 0, sequence: 1, portId: 0 };
  assert.equal(decodeAcknowledgement({ ...done, payload: new Uint8Array() }), undefined);
  assert.deepEqual(decodeAcknowledgement({ ...done, payload: u32(-19) }), { errno: 'ENODEV' });
  const words = encodeAttributes([{ type: 1, value: cString('no more') }]);
  assert.deepEqual(
    decodeAcknowledgement({ ...done, flags: NLM_F_ACK_TLVS, payload: concat([u32(-12), words]) }),
    { errno: 'ENOMEM', text: 'no more', offset: undefined },
  );
});

test('an error that is cut off', () => {
  assert.throws(() => decodeAcknowledgement(error(0)), /expected an errno of 4 bytes, got 0/);
  assert.throws(
    () => decodeAcknowledgement(error(NLM_F_ACK_TLVS | NLM_F_CAPPED, u32(-1), u32(0))),
    /expected the request’s header, got 4 bytes/,
  );
  const header = concat([u32(0xffff_fffe), new Uint8Array(12)]);
  assert.throws(
    () => decodeAcknowledgement(error(NLM_F_ACK_TLVS, u32(-1), header)),
    /expected a request of 16 to 16 bytes, got 4294967294/,
  );
});

test('any payload is an acknowledgement or a NetlinkError', () => {
  for (const flags of [0, NLM_F_ACK_TLVS, NLM_F_ACK_TLVS | NLM_F_CAPPED]) {
    assertSurvivesAnyBytes(
      (payload) => decodeAcknowledgement(error(flags, payload)),
      vectors.capped.slice(16),
      vectors.noSuchKind.slice(16),
    );
  }
});
