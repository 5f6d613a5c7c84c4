/** The words of `struct msghdr`, and of the `struct iovec` that is put behind it; each has 64 bits, or padding. */
const msghdrWords = 7;
const iovecWords = 2;
const wordBytes = 8;
const msg_controllen = 5;

/** Of ancillary data in bytes; netlink has a few numbers there. */
export const longestControl = 256;

/**
 * What recvmsg(2) takes: where to put a message, and where what comes beside it. None of the three may move
 * meanwhile, as the bytes of a Uint8Array of up to 64 bytes may: have them in an ArrayBuffer of their own.
 */
export function encodeMsghdr(
  bytes: Uint8Array,
  control: Uint8Array,
  pointerTo: (memory: ArrayBufferView) => bigint,
): BigUint64Array {
  const words = new BigUint64Array(new ArrayBuffer((msghdrWords + iovecWords) * wordBytes));
  const iovec = pointerTo(words) + BigInt(msghdrWords * wordBytes);
  const length = (view: Uint8Array) => BigInt(view.length);
  words.set([0n, 0n, iovec, 1n, pointerTo(control), length(control), 0n, pointerTo(bytes), length(bytes)]);
  return words;
}

/** How many bytes came beside the message. */
export function decodeControlLength(msghdr: BigUint64Array): number {
  return Number(msghdr[msg_controllen]);
}
