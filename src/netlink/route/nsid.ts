import { AttributeTable, encodeAttributes } from '../attribute.ts';
import { concat, readI32, u32 } from '../bytes.ts';
import { malformed } from '../error.ts';

// linux/rtnetlink.h
export const RTM_NEWNSID = 88;
export const RTM_GETNSID = 90;
// linux/net_namespace.h
const NETNSA_NSID = 1;
const NETNSA_FD = 3;
const NETNSA_NSID_NOT_ASSIGNED = -1;

/** `struct rtgenmsg` with padding. */
const sizeofRtgenmsg = 4;

/** Of an RTM_GETNSID: the number that the namespace of an open file has in the socket's. */
export function encodeGetNsid(file: number): Uint8Array {
  return concat([new Uint8Array(sizeofRtgenmsg), encodeAttributes([{ type: NETNSA_FD, value: u32(file) }])]);
}

/**
 * Of an RTM_NEWNSID; undefined where the namespace has no number.
 * @throws NetlinkError if it is malformed; there is always a NETNSA_NSID (net_namespace.c, rtnl_net_fill)
 */
export function decodeNsid(payload: Uint8Array): number | undefined {
  if (payload.length < sizeofRtgenmsg) {
    throw malformed('rtgenmsg', `expected ${sizeofRtgenmsg} bytes, got ${payload.length}`);
  }
  const nsid = new AttributeTable(payload.subarray(sizeofRtgenmsg)).get({ NETNSA_NSID }, readI32, 4);
  if (nsid === undefined) {
    throw malformed('rtgenmsg', 'expected a NETNSA_NSID, got none');
  }
  return nsid === NETNSA_NSID_NOT_ASSIGNED ? undefined : nsid;
}
