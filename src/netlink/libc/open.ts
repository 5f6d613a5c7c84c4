import { endianness } from 'node:os';
import { denoLibc } from './deno.ts';
import type { Libc } from './libc.ts';
import { nodeLibc } from './node.ts';

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
      'netlink needs a runtime that calls libc: Deno, Node from 26.9 on, or from 26.1 on with ' +
        `NODE_OPTIONS=--experimental-ffi; this is Node ${process.version}`,
    );
  }
  return libc;
}
