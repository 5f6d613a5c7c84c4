import { concat, readU16, readU32, u16, u32 } from './bytes.ts';
import { malformed } from './error.ts';

// linux/netlink.h
export const NLMSG_NOOP = 0x1;
export const NLMSG_ERROR = 0x2;
export const NLMSG_DONE = 0x3;
export const NLMSG_OVERRUN = 0x4;

export const NLM_F_REQUEST = 0x01;
export const NLM_F_MULTI = 0x02;
export const NLM_F_ACK = 0x04;
export const NLM_F_DUMP_INTR = 0x10;
/** NLM_F_ROOT | NLM_F_MATCH */
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
/** Of an NLMSG_ERROR: the request's payload is left out. */
export const NLM_F_CAPPED = 0x100;
/** Of an NLMSG_ERROR or NLMSG_DONE: attributes follow. */
export const NLM_F_ACK_TLVS = 0x200;

/** sizeof(struct nlmsghdr) */
export const NLMSG_HDRLEN = 16;

/** `struct nlmsghdr` and what comes behind it. */
export interface NetlinkMessage {
  /** nlmsg_type: an NLMSG_… or one of the protocol's own. */
  readonly type: number;
  /** nlmsg_flags: NLM_F_… */
  readonly flags: number;
  /** nlmsg_seq: the answer has the request's. */
  readonly sequence: number;
  /** nlmsg_pid: the port of the socket that it came from or, for an answer, is for; 0 is the kernel. */
  readonly portId: number;
  readonly payload: Uint8Array;
}

/** A message, padded so that another may follow. */
export function encodeMessage({ type, flags, sequence, portId, payload }: NetlinkMessage): Uint8Array {
  const length = NLMSG_HDRLEN + payload.length;
  return concat([
    u32(length),
    u16(type),
    u16(flags),
    u32(sequence),
    u32(portId),
    payload,
    new Uint8Array(NLMSG_ALIGN(length) - length),
  ]);
}

/** The messages of one datagram. @throws NetlinkError if they are cut off, or none */
export function decodeMessages(bytes: Uint8Array): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const rest = bytes.length - offset;
    if (rest < NLMSG_HDRLEN) {
      throw malformed('nlmsghdr', `expected ${NLMSG_HDRLEN} bytes, got ${rest}`);
    }
    const length = readU32(bytes, offset);
    if (length < NLMSG_HDRLEN || length > rest) {
      throw malformed('nlmsghdr', `expected a length from ${NLMSG_HDRLEN} to ${rest}, got ${length}`);
    }
    messages.push({
      type: readU16(bytes, offset + 4),
      flags: readU16(bytes, offset + 6),
      sequence: readU32(bytes, offset + 8),
      portId: readU32(bytes, offset + 12),
      payload: bytes.subarray(offset + NLMSG_HDRLEN, offset + length),
    });
    offset += NLMSG_ALIGN(length);
  }
  return messages;
}

/** NLMSG_ALIGNTO is 4. */
export function NLMSG_ALIGN(length: number): number {
  return (length + 3) & ~3;
}
