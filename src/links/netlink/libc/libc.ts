import { endianness } from 'node:os';
import { denoLibc } from './deno.ts';
import { nodeLibc } from './node.ts';

/**
 * The calls of libc that a netlink socket takes; each is the manual page of its name. Where they fail they
 * throw a NetlinkError with the errno's name.
 */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  setsockopt(socket: number, level: number, name: number, value: Uint8Array): void;
  /** In a thread beside the event loop: the kernel acts on a request before it returns from here. */
  send(socket: number, bytes: Uint8Array): Promise<void>;
  /** Bytes of the next datagram, cut off at the buffer's length. */
  recv(socket: number, buffer: Uint8Array): number;
  /** For reading. */
  open(path: string): number;
  close(file: number): void;
  /** Of the calling thread, which is the one that runs JavaScript. */
  setns(namespace: number, type: number): void;
  /** Of the calling thread, too. */
  unshare(flags: number): void;
}

let opened: Libc | undefined;

/**
 * The libc of this process.
 * @throws Error if the runtime does not let its programs call one, with what would
 */
export function openLibc(): Libc {
  opened ??= bind();
  return opened;
}

function bind(): Libc {
  if (endianness() !== 'LE') {
    throw new Error('netlink is not implemented for big-endian machines');
  }
  const libc = 'Deno' in globalThis ? denoLibc() : nodeLibc();
  if (libc === undefined) {
    throw new Error(
      `netlink needs a runtime that calls libc (node:ffi), Node from 26.1 on or Deno; this is Node ${process.version}`,
    );
  }
  return libc;
}
