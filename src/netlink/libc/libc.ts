/**
 * The calls of libc that a netlink socket takes; each is the manual page of its name. Where they fail they
 * throw a NetlinkError with the errno's name.
 */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  setsockopt(socket: number, level: number, name: number, value: Uint8Array): void;
  /** @param address a struct sockaddr_nl */
  connect(socket: number, address: Uint8Array): void;
  /** In a thread beside the event loop: the kernel acts on a request before it returns from here. */
  send(socket: number, bytes: Uint8Array): Promise<void>;
  /** Bytes of the next datagram, cut off at the buffer's length; undefined if there is none (EAGAIN). */
  recv(socket: number, buffer: Uint8Array): number | undefined;
  /** The same in a thread beside the event loop; nobody else uses the buffer meanwhile. */
  recvAsync(socket: number, buffer: Uint8Array): Promise<number>;
  /** As recv, and what comes beside it: ancillary data, `struct cmsghdr` and what is behind it. */
  recvmsg(
    socket: number,
    buffer: Uint8Array,
  ): { readonly length: number; readonly control: Uint8Array } | undefined;
  /** Of the commands that take a number. */
  fcntl(file: number, command: number, value: number): void;
  /** For reading. */
  open(path: string): number;
  close(file: number): void;
  /** The same in a thread beside the event loop. */
  closeAsync(file: number): Promise<void>;
  /** Of the calling thread, which is the one that runs JavaScript. */
  setns(namespace: number, type: number): void;
  /** Of the calling thread, too. */
  unshare(flags: number): void;
}
