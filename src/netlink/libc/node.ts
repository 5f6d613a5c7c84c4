import fs from 'node:fs';
import { promisify } from 'node:util';
import { errnoName } from '../errno.ts';
import { NetlinkError } from '../error.ts';
import type { Libc } from './libc.ts';
import { recvmsgInto } from './msghdr.ts';
import { createResults } from './result.ts';

/** What is used of node:ffi, which the types of Node 24 do not have. */
interface Ffi {
  dlopen<Name extends string>(
    path: string | null,
    signatures: Record<Name, { arguments: readonly string[]; return: string }>,
  ): { functions: Record<Name, (...args: readonly unknown[]) => number | bigint> };
  getInt32(pointer: bigint): number;
  getRawPointer(memory: ArrayBufferView): bigint;
}

const write = promisify(fs.write);
const read = promisify(fs.read);
const close = promisify(fs.close);

/**
 * libc by node:ffi (from Node 26.9 on; from 26.1 on behind `--experimental-ffi`), or undefined where that is
 * missing. What Node has itself for any file descriptor is left to it: it knows errno, and its write and read
 * are done by one of libuv's threads, which cost no memory of ours, as worker threads would.
 */
export function nodeLibc(): Libc | undefined {
  const ffi = quietly(() => process.getBuiltinModule('node:ffi') as Ffi | undefined);
  if (ffi === undefined) {
    return undefined;
  }
  // The process itself: whichever libc it has.
  const { functions } = ffi.dlopen(null, {
    socket: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
    setsockopt: { arguments: ['int32', 'int32', 'int32', 'buffer', 'uint32'], return: 'int32' },
    connect: { arguments: ['int32', 'buffer', 'uint32'], return: 'int32' },
    recv: { arguments: ['int32', 'buffer', 'uint64', 'int32'], return: 'int64' },
    recvmsg: { arguments: ['int32', 'buffer', 'int32'], return: 'int64' },
    fcntl: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
    setns: { arguments: ['int32', 'int32'], return: 'int32' },
    unshare: { arguments: ['int32'], return: 'int32' },
    __errno_location: { arguments: [], return: 'pointer' },
  });

  const lastErrno = () => errnoName(ffi.getInt32(BigInt(functions.__errno_location())));
  const { checked, received } = createResults(lastErrno);

  return {
    socket: (domain, type, protocol) =>
      checked('open', 'netlink socket', functions.socket(domain, type, protocol)),
    setsockopt(socket, level, name, value) {
      checked('set up', 'netlink socket', functions.setsockopt(socket, level, name, value, value.length));
    },
    connect(socket, address) {
      checked('connect', 'netlink socket', functions.connect(socket, address, address.length));
    },
    setns(namespace, type) {
      checked('enter', 'network namespace', functions.setns(namespace, type));
    },
    unshare(flags) {
      checked('make', 'network namespace', functions.unshare(flags));
    },
    async send(socket, bytes) {
      // Without a position it is write(2), for a socket the same as send(2).
      await write(socket, bytes, 0, bytes.length, null).catch(refusal('send', 'netlink message'));
    },
    recv: (socket, buffer) => received(functions.recv(socket, buffer, BigInt(buffer.length), 0)),
    recvAsync: (socket, buffer) =>
      read(socket, buffer, 0, buffer.length, null).then(
        ({ bytesRead }) => bytesRead,
        refusal('receive', 'netlink message'),
      ),
    recvmsg: (socket, buffer) =>
      recvmsgInto(buffer, ffi.getRawPointer, (msghdr) => received(functions.recvmsg(socket, msghdr, 0))),
    fcntl(file, command, value) {
      checked('set up', 'netlink socket', functions.fcntl(file, command, value));
    },
    open: (path) => attempt('open', path, () => fs.openSync(path, 'r')),
    close: (file) => attempt('close', 'file', () => fs.closeSync(file)),
    closeAsync: (file) => close(file).catch(refusal('close', 'file')),
  };
}

function attempt<Result>(operation: string, subject: string, call: () => Result): Result {
  try {
    return call();
  } catch (error) {
    return refusal(operation, subject)(error as NodeJS.ErrnoException);
  }
}

function refusal(operation: string, subject: string) {
  return ({ errno, message }: NodeJS.ErrnoException): never => {
    throw new NetlinkError(operation, subject, errno ? { errno: errnoName(errno) } : { text: message });
  };
}

/** Keeps to itself the one warning that node:ffi is experimental: its user cannot do anything about it. */
function quietly<Result>(load: () => Result): Result {
  const emitWarning = process.emitWarning;
  process.emitWarning = ((warning: string | Error, ...rest: unknown[]) => {
    if (!String(warning).startsWith('FFI is an experimental feature')) {
      Reflect.apply(emitWarning, process, [warning, ...rest]);
    }
  }) as typeof process.emitWarning;
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}
