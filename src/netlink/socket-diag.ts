import { AttributeTable } from './attribute.ts';
import { be16, concat, readU32, u8, u32 } from './bytes.ts';
import { malformed } from './error.ts';
import { AF_INET } from './family.ts';
import { decodedFor, dump } from './request.ts';
import type { NetlinkSocket } from './socket.ts';

// linux/sock_diag.h
export const SOCK_DIAG_BY_FAMILY = 20;
const SK_MEMINFO_SNDBUF = 3;
// linux/inet_diag.h
const INET_DIAG_SKMEMINFO = 7;
/** linux/in.h */
const IPPROTO_UDP = 17;

/** struct inet_diag_sockid */
const sockidLength = 48;
/** sizeof(struct inet_diag_msg) */
const headerLength = 72;
const allStates = 0xffff_ffff;

/** `struct inet_diag_req_v2` for a dump of the UDP sockets of IPv4 with a local port, and their memory. */
export function encodeGetUdpSockets(port: number): Uint8Array {
  const sockid = concat([be16(port), new Uint8Array(sockidLength - 2)]);
  return concat([
    ...[AF_INET, IPPROTO_UDP, 1 << (INET_DIAG_SKMEMINFO - 1), 0].map(u8),
    u32(allStates),
    sockid,
  ]);
}

/** The send buffer's size of a socket, of `struct inet_diag_msg`. @throws NetlinkError if it is malformed */
export function decodeSendBuffer(payload: Uint8Array): number | undefined {
  if (payload.length < headerLength) {
    throw malformed('inet_diag_msg', `expected ${headerLength} bytes, got ${payload.length}`);
  }
  const table = new AttributeTable(payload.subarray(headerLength));
  return table.get({ INET_DIAG_SKMEMINFO }, (memory) =>
    memory.length < 4 * (SK_MEMINFO_SNDBUF + 1) ? undefined : readU32(memory, 4 * SK_MEMINFO_SNDBUF),
  );
}

/**
 * The sizes of the send buffers of the UDP sockets of IPv4 that have a local port in the namespace of the socket, which
 * is of NETLINK_SOCK_DIAG. Sockets of the kernel itself are among them. @throws NetlinkError
 */
export async function sendBuffersOfPort(socket: NetlinkSocket, port: number): Promise<number[]> {
  const request = {
    type: SOCK_DIAG_BY_FAMILY,
    payload: encodeGetUdpSockets(port),
    operation: 'list',
    subject: `UDP sockets with port ${port}`,
  };
  const answer = await dump(socket, request);
  return decodedFor(request, () => answer.flatMap(({ payload }) => decodeSendBuffer(payload) ?? []));
}
