import type { Libc } from './libc/libc.ts';

/** linux/sched.h */
const CLONE_NEWNET = 0x4000_0000;

/** The file of a network namespace, such as /proc/4711/ns/net; or a new one, which ends with its last socket. */
export type NetworkNamespace = `/${string}` | 'new';

/**
 * Runs `action` in another network namespace and returns to this one, all in one synchronous step. What is opened
 * there, a socket, stays there. Only this thread goes; others of this process that look under /proc/self/net or
 * /proc/self/ns meanwhile find where it is, and under /proc/thread-self where they are themselves.
 * @throws NetlinkError if the namespace cannot be entered; then `action` was not run
 */
export function inNamespace<Result>(libc: Libc, namespace: NetworkNamespace, action: () => Result): Result {
  const own = libc.open('/proc/thread-self/ns/net');
  try {
    // Whoever may not come back does not leave: with this namespace another user namespace's, not even root may.
    libc.setns(own, CLONE_NEWNET);
    enter(libc, namespace);
    try {
      return action();
    } finally {
      goBack(libc, own);
    }
  } finally {
    libc.close(own);
  }
}

function enter(libc: Libc, namespace: NetworkNamespace): void {
  if (namespace === 'new') {
    libc.unshare(CLONE_NEWNET);
    return;
  }
  const file = libc.open(namespace);
  try {
    libc.setns(file, CLONE_NEWNET);
  } finally {
    libc.close(file);
  }
}

function goBack(libc: Libc, own: number): void {
  try {
    libc.setns(own, CLONE_NEWNET);
  } catch (error) {
    // Whatever came next would happen to somebody else's links.
    process.stderr.write(`wgdriver: lost in a network namespace: ${error}\n`);
    process.abort();
  }
}
