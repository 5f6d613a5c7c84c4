import { errnoName } from '../errno.ts';
import type { Libc } from './libc.ts';
import { recvmsgInto } from './msghdr.ts';
import { createResults } from './result.ts';

/** What is used of Deno, whose types are not Node's. */
interface Deno {
  dlopen<Name extends string>(
    path: string,
    symbols: Record<
      Name,
      { parameters: readonly string[]; result: string; name?: string; nonblocking?: true }
    >,
  ): { symbols: Record<Name, (...args: readonly unknown[]) => unknown> };
  UnsafePointer: { of(memory: ArrayBufferView): unknown; value(pointer: unknown): bigint };
  UnsafePointerView: new (pointer: unknown) => { getInt32(): number };
}

/** fcntl.h: O_RDONLY | O_CLOEXEC */
const forReading = 0o2000000;

/** libc by Deno.dlopen, which needs --allow-ffi. */
export function denoLibc(): Libc {
  const { Deno } = globalThis as unknown as { Deno: Deno };
  const socketCall = { parameters: ['i32', 'buffer', 'usize', 'i32'], result: 'isize' };
  const { symbols } = Deno.dlopen('libc.so.6', {
    socket: { parameters: ['i32', 'i32', 'i32'], result: 'i32' },
    setsockopt: { parameters: ['i32', 'i32', 'i32', 'buffer', 'u32'], result: 'i32' },
    send: socketCall,
    sendAsync: { ...socketCall, name: 'send', nonblocking: true },
    recv: socketCall,
    recvAsync: { ...socketCall, name: 'recv', nonblocking: true },
    connect: { parameters: ['i32', 'buffer', 'u32'], result: 'i32' },
    recvmsg: { parameters: ['i32', 'buffer', 'i32'], result: 'isize' },
    fcntl: { parameters: ['i32', 'i32', 'i32'], result: 'i32' },
    open: { parameters: ['buffer', 'i32'], result: 'i32' },
    close: { parameters: ['i32'], result: 'i32' },
    closeAsync: { parameters: ['i32'], result: 'i32', name: 'close', nonblocking: true },
    setns: { parameters: ['i32', 'i32'], result: 'i32' },
    unshare: { parameters: ['i32'], result: 'i32' },
    __errno_location: { parameters: [], result: 'pointer' },
  });

  const lastErrno = () => errnoName(new Deno.UnsafePointerView(symbols.__errno_location()).getInt32());
  const { checked, received } = createResults(lastErrno);

  return {
    socket: (domain, type, protocol) =>
      checked('open', 'netlink socket', symbols.socket(domain, type, protocol)),
    setsockopt(socket, level, name, value) {
      checked('set up', 'netlink socket', symbols.setsockopt(socket, level, name, value, value.length));
    },
    connect(socket, address) {
      checked('connect', 'netlink socket', symbols.connect(socket, address, address.length));
    },
    async send(socket, bytes) {
      const size = BigInt(bytes.length);
      if (Number(await symbols.sendAsync(socket, bytes, size, 0)) < 0) {
        // Its errno is in the other thread. What was not sent may be sent again, here, to learn it.
        checked('send', 'netlink message', symbols.send(socket, bytes, size, 0));
      }
    },
    recv: (socket, buffer) => received(symbols.recv(socket, buffer, BigInt(buffer.length), 0)),
    async recvAsync(socket, buffer) {
      const size = BigInt(buffer.length);
      const length = Number(await symbols.recvAsync(socket, buffer, size, 0));
      // As with send: what there was not to receive is not there now, or it is.
      return length < 0
        ? checked('receive', 'netlink message', symbols.recv(socket, buffer, size, 0))
        : length;
    },
    recvmsg: (socket, buffer) =>
      recvmsgInto(
        buffer,
        (memory) => Deno.UnsafePointer.value(Deno.UnsafePointer.of(memory)),
        (msghdr) => received(symbols.recvmsg(socket, msghdr, 0)),
      ),
    fcntl(file, command, value) {
      checked('set up', 'netlink socket', symbols.fcntl(file, command, value));
    },
    open: (path) => checked('open', path, symbols.open(new TextEncoder().encode(`${path}\0`), forReading)),
    close(file) {
      checked('close', 'file', symbols.close(file));
    },
    async closeAsync(file) {
      // Whatever it answers, the file is closed (close(2)).
      await symbols.closeAsync(file);
    },
    setns(namespace, type) {
      checked('enter', 'network namespace', symbols.setns(namespace, type));
    },
    unshare(flags) {
      checked('make', 'network namespace', symbols.unshare(flags));
    },
  };
}
