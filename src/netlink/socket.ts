import { concat, readI32, readU32, u16, u32 } from './bytes.ts';
import { NetlinkError } from './error.ts';
import type { Libc } from './libc/libc.ts';
import { openLibc } from './libc/open.ts';
import { inNamespace, type NetworkNamespace } from './namespace.ts';

// linux/netlink.h
export const NETLINK_ROUTE = 0;
export const NETLINK_SOCK_DIAG = 4;
export const NETLINK_NETFILTER = 12;
export const NETLINK_GENERIC = 16;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_LISTEN_ALL_NSID = 8;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
// asm-generic/socket.h
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
// linux/socket.h
const sizeofCmsghdr = 16;
const SOL_NETLINK = 270;
// bits/signum-arch.h, the same on x64 and arm64
const SIGURG = 23;
// bits/socket.h, the same on x64 and arm64
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
// asm-generic/fcntl.h
const F_SETFL = 4;
const F_SETOWN = 8;
const F_SETSIG = 10;
const O_ASYNC = 0o20000;

// linux/rtnetlink.h, enum rtnetlink_groups
const RTNLGRP_LINK = 1;
const RTNLGRP_IPV4_IFADDR = 5;
const RTNLGRP_IPV4_ROUTE = 7;
const RTNLGRP_IPV6_IFADDR = 9;
const RTNLGRP_IPV6_ROUTE = 11;

const eventGroups = [
  RTNLGRP_LINK,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_ROUTE,
];

/** struct sockaddr_nl: the port of the kernel itself. */
const kernelAddress = concat([u16(AF_NETLINK), u16(0), u32(0), u32(0)]);

/** The kernel sends at most 32 KiB in a datagram of a dump, however large the buffer (netlink_dump). */
const largestDatagram = 0x1_0000;
/** Of what is read of a namespace that others are root of: some 60,000 routes or 4,000 links. More is an error. */
const mostOfOthers = 4 * 1024 * 1024;
/** Of what is sent. A batch of nftables is one datagram, with some 300 bytes for each rule; the default is 208 KiB. */
const largestBatch = 8 * 1024 * 1024;

/** Bytes to the kernel and bytes back: the seam below which tests have a kernel of their own. */
export interface NetlinkSocket {
  /** One datagram. Resolves when the kernel has acted on it: then the answer, or its beginning, is there. */
  send(bytes: Uint8Array): Promise<void>;
  /** The next datagram; undefined if there is none yet. */
  receive(): Uint8Array | undefined;
  /**
   * The same of a dump, in a thread beside the event loop: reading a part has the kernel write the next one, for
   * which it may have to wait for its locks.
   */
  receivePart(): Promise<Uint8Array>;
  /** In a thread, too: the kernel may have to destroy first what was deleted (nftables waits for an RCU grace period). */
  close(): Promise<void>;
}

export interface SocketOptions {
  readonly protocol:
    | typeof NETLINK_ROUTE
    | typeof NETLINK_SOCK_DIAG
    | typeof NETLINK_NETFILTER
    | typeof NETLINK_GENERIC;
  /** Where the socket is; without it, where this process is. */
  readonly netns?: NetworkNamespace | undefined;
}

/**
 * Opens a socket to the kernel.
 * @throws NetlinkError; Error if this runtime cannot (openLibc)
 */
export function openNetlinkSocket(options: SocketOptions, libc: Libc = openLibc()): NetlinkSocket {
  const socket = openSocket(libc, options);
  try {
    // The kernel's own words with its errors, and not our requests, which hold keys.
    libc.setsockopt(socket, SOL_NETLINK, NETLINK_EXT_ACK, u32(1));
    libc.setsockopt(socket, SOL_NETLINK, NETLINK_CAP_ACK, u32(1));
    if (options.protocol === NETLINK_NETFILTER) {
      libc.setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, u32(largestBatch));
    }
  } catch (error) {
    libc.close(socket);
    throw error;
  }
  return overSocket(libc, socket, options.netns === undefined ? Number.POSITIVE_INFINITY : mostOfOthers);
}

function openSocket(libc: Libc, { protocol, netns }: SocketOptions): number {
  const open = () => {
    const socket = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    try {
      // From now on nobody but the kernel can send to it, as any root of a container could whose namespace it is in.
      libc.connect(socket, kernelAddress);
    } catch (error) {
      libc.close(socket);
      throw error;
    }
    return socket;
  };
  return netns === undefined ? open() : inNamespace(libc, netns, open);
}

/** For all sockets: what was received is copied out of it at once. */
const buffer = new Uint8Array(largestDatagram);
/** For those that wait in another thread, and that nobody uses now: a new one is zeroed, page by page. */
const spareBuffers: Uint8Array[] = [];

function overSocket(libc: Libc, socket: number, most: number): NetlinkSocket {
  let left = most;
  return {
    send: (bytes) => libc.send(socket, bytes),
    receive() {
      const length = libc.recv(socket, buffer);
      return length === undefined ? undefined : buffer.slice(0, checkedLength(length));
    },
    async receivePart() {
      const whole = spareBuffers.pop() ?? new Uint8Array(largestDatagram);
      const length = checkedLength(await libc.recvAsync(socket, whole));
      const part = whole.slice(0, length);
      if (spareBuffers.length < mostSpares) {
        spareBuffers.push(whole);
      }
      left -= length;
      if (left < 0) {
        const text = `more than ${most} bytes of another network namespace`;
        throw new NetlinkError('receive', 'netlink message', { errno: 'EMSGSIZE', text });
      }
      return part;
    },
    close: () => libc.closeAsync(socket),
  };
}

function checkedLength(length: number): number {
  if (length === 0 || length === largestDatagram) {
    const text = `expected a datagram of under ${largestDatagram} bytes, got ${length} or more`;
    throw new NetlinkError('receive', 'netlink message', { errno: 'EMSGSIZE', text });
  }
  return length;
}

/** Tells what happened, and in which namespace. */
export interface EventSocket {
  /**
   * Takes the next datagram, if there is one; with the number (nsid) of the namespace it tells of, undefined for the
   * socket's own. @returns bytes that are there until the next call
   * @throws NetlinkError; with ENOBUFS, some were lost
   */
  receive(): { readonly nsid: number | undefined; readonly bytes: Uint8Array } | undefined;
  /** Has it called each time that something has come, or something was lost. */
  onReadable(callback: () => void): void;
  close(): void;
}

/**
 * Opens a socket that is told of every change of links, addresses and routes, in this namespace and in those that have a
 * number in this one: all to which a link was moved from here, or in which one has its peer.
 * @throws NetlinkError; Error if this runtime cannot (openLibc)
 */
export async function openEventSocket(libc: Libc = openLibc()): Promise<EventSocket> {
  const socket = openSocket(libc, { protocol: NETLINK_ROUTE });
  try {
    listenToAll(libc, socket);
    for (const group of eventGroups) {
      libc.setsockopt(socket, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, u32(group));
    }
  } catch (error) {
    libc.close(socket);
    throw error;
  }
  let onNews = () => {};
  return {
    receive() {
      const received = libc.recvmsg(socket, buffer);
      return received && { nsid: decodeNsid(received.control), bytes: buffer.subarray(0, received.length) };
    },
    onReadable(callback) {
      // Neither runtime waits for a netlink socket itself. The kernel can tell by a signal, which both take. Its own
      // choice, SIGIO, ends a process that does not listen; and it is SIGPOLL as well, which signal-exit, in
      // write-file-atomic, takes for the end and removes what is being written. SIGURG does nothing by itself.
      onNews = callback;
      process.on('SIGURG', onNews);
      libc.fcntl(socket, F_SETOWN, process.pid);
      libc.fcntl(socket, F_SETSIG, SIGURG);
      libc.fcntl(socket, F_SETFL, O_ASYNC | SOCK_NONBLOCK);
    },
    close() {
      process.off('SIGURG', onNews);
      libc.close(socket);
    },
  };
}

function listenToAll(libc: Libc, socket: number): void {
  try {
    libc.setsockopt(socket, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, u32(1));
  } catch (error) {
    const errno = error instanceof NetlinkError ? error.errno : undefined;
    throw new NetlinkError('listen to', 'network namespaces', { errno });
  }
}

/** Of a `struct cmsghdr` with an int; there is none with news of the socket's own namespace. */
function decodeNsid(control: Uint8Array): number | undefined {
  const isNsid =
    control.length >= sizeofCmsghdr + 4 &&
    readU32(control, 8) === SOL_NETLINK &&
    readU32(control, 12) === NETLINK_LISTEN_ALL_NSID;
  return isNsid ? readI32(control, sizeofCmsghdr) : undefined;
}

/** Sockets of this process’s own namespace that nobody uses now: opening one takes four calls, each Join needs three. */
const spares = {
  [NETLINK_ROUTE]: [] as NetlinkSocket[],
  [NETLINK_SOCK_DIAG]: [] as NetlinkSocket[],
  [NETLINK_NETFILTER]: [] as NetlinkSocket[],
  [NETLINK_GENERIC]: [] as NetlinkSocket[],
};
const mostSpares = 4;

/** Opens a socket, or takes a spare one, for as long as `use` takes. @throws what openNetlinkSocket and `use` do */
export async function withNetlinkSocket<Result>(
  options: SocketOptions,
  use: (socket: NetlinkSocket) => Promise<Result>,
): Promise<Result> {
  const kept = options.netns === undefined ? spares[options.protocol] : [];
  const socket = kept.pop() ?? openNetlinkSocket(options);
  let isDrained = false;
  try {
    const result = await use(socket);
    isDrained = true;
    return result;
  } finally {
    if (isDrained && options.netns === undefined && kept.length < mostSpares) {
      kept.push(socket);
    } else {
      await socket.close();
    }
  }
}
