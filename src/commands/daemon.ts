import { writeFile } from 'node:fs/promises';

/** Makes this process one that runs for months and has keys in its memory. */
export async function becomeDaemon(): Promise<void> {
  // Everything made from here on, a socket included, is root's alone from its first moment.
  process.umask(0o077);
  // A program that pipes core dumps to itself takes one whatever LimitCORE= says; with nothing in it (core(5)).
  await writeFile('/proc/self/coredump_filter', '0').catch(() => {});
}

/**
 * Aborted by the first signal that asks to stop, which is its reason. The listeners stay to the end: signal-exit, in
 * write-file-atomic, takes a process without any for one that is to die of the signal, and kills it in the middle of
 * a write.
 */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  process.on('SIGTERM', (signal) => controller.abort(signal));
  process.on('SIGINT', (signal) => controller.abort(signal));
  return controller.signal;
}
