/** What is used of Deno, whose types are not Node's. */
interface Deno {
  dlopen(
    path: string,
    symbols: { readonly close_range: { readonly parameters: readonly string[]; readonly result: string } },
  ): { symbols: { close_range(first: number, last: number, flags: number): unknown } };
}

/** linux/close_range.h */
const CLOSE_RANGE_CLOEXEC = 4;
const firstOfOurs = 3;
const last = 0xffff_ffff;

let closeRange: (() => unknown) | undefined;

/**
 * Has the programs that are started from now on inherit none of the file descriptors of this process but the first three.
 * Node sees to that by itself. Deno (seen with 2.9) leaves UNIX sockets to them that it listens on: whoever asks who serves a dead
 * driver's socket, or holds its lock, would be answered by a program that outlives it.
 */
export function keepDescriptors(): void {
  if ('Deno' in globalThis) {
    closeRange ??= bind((globalThis as unknown as { Deno: Deno }).Deno);
    closeRange();
  }
}

/** By libc (from glibc 2.34 on; the kernel has it from 5.11 on). Without it, or without leave to call it, all is as it was. */
function bind({ dlopen }: Deno): () => unknown {
  try {
    const { symbols } = dlopen('libc.so.6', {
      close_range: { parameters: ['u32', 'u32', 'u32'], result: 'i32' },
    });
    return () => symbols.close_range(firstOfOurs, last, CLOSE_RANGE_CLOEXEC);
  } catch {
    return () => {};
  }
}
