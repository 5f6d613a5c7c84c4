import { AttributeTable } from './attribute.ts';
import { readCString, readI32, readU32 } from './bytes.ts';
import { errnoName } from './errno.ts';
import { malformed, type NetlinkCause } from './error.ts';
import {
  type NetlinkMessage,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_ALIGN,
  NLMSG_ERROR,
  NLMSG_HDRLEN,
} from './message.ts';

// linux/netlink.h, enum nlmsgerr_attrs
const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFS = 2;

/**
 * The error in an NLMSG_ERROR (`struct nlmsgerr`) or NLMSG_DONE, with the extended ACK's attributes;
 * undefined if it is 0, an acknowledgement. A dump's end may do without its number.
 * @throws NetlinkError if it is malformed
 */
export function decodeAcknowledgement(message: NetlinkMessage): NetlinkCause | undefined {
  const { payload, type } = message;
  if (payload.length < 4) {
    if (type === NLMSG_ERROR) {
      throw malformed('nlmsgerr', `expected an errno of 4 bytes, got ${payload.length}`);
    }
    return undefined;
  }
  const errno = readI32(payload);
  if (errno === 0) {
    return undefined;
  }
  if ((message.flags & NLM_F_ACK_TLVS) === 0) {
    return { errno: errnoName(errno) };
  }
  const table = new AttributeTable(payload.subarray(attributesOffset(message)));
  return {
    errno: errnoName(errno),
    text: table.get({ NLMSGERR_ATTR_MSG }, readCString),
    offset: table.get({ NLMSGERR_ATTR_OFFS }, readU32, 4),
  };
}

/** Behind the errno, an error has the request's header and, unless it is capped, its payload. */
function attributesOffset({ type, flags, payload }: NetlinkMessage): number {
  if (type !== NLMSG_ERROR) {
    return 4;
  }
  const rest = payload.length - 4;
  if (rest < NLMSG_HDRLEN) {
    throw malformed('nlmsgerr', `expected the request’s header, got ${rest} bytes`);
  }
  const length = (flags & NLM_F_CAPPED) === 0 ? readU32(payload, 4) : NLMSG_HDRLEN;
  if (length < NLMSG_HDRLEN || length > rest) {
    throw malformed('nlmsgerr', `expected a request of ${NLMSG_HDRLEN} to ${rest} bytes, got ${length}`);
  }
  return 4 + NLMSG_ALIGN(length);
}
