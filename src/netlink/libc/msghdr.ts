/** The words of `struct msghdr`, and of the `struct iovec` that is put behind it; each has 64 bits, or padding. */
const msghdrWords = 7;
const iovecWords = 2;
const wordBytes = 8;
const msg_controllen = 5;

/** Of ancillary data in bytes; netlink has a few numbers there. */
const longestControl = 256;

/**
 * Calls recvmsg(2): where to put a message, and where what comes beside it. Nothing that it points to may move
 * meanwhile, as the bytes of a Uint8Array of up to 64 bytes may: have `buffer`, too, in an ArrayBuffer of its own.
 */
export function recvmsgInto(
  buffer: Uint8Array,
  pointerTo: (memory: ArrayBufferView) => bigint,
  recvmsg: (msghdr: BigUint64Array) => number | undefined,
): { length: number; control: Uint8Array } | undefined {
  const control = new Uint8Array(new ArrayBuffer(longestControl));
  const words = new BigUint64Array(new ArrayBuffer((msghdrWords + iovecWords) * wordBytes));
  const iovec = pointerTo(words) + BigInt(msghdrWords * wordBytes);
  const lengthOf = (view: Uint8Array) => BigInt(view.length);
  words.set([
    0n,
    0n,
    iovec,
    1n,
    pointerTo(control),
    lengthOf(control),
    0n,
    pointerTo(buffer),
    lengthOf(buffer),
  ]);
  const length = recvmsg(words);
  return length === undefined
    ? undefined
    : { length, control: control.subarray(0, Number(words[msg_controllen])) };
}
