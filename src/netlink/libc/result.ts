import { NetlinkError } from '../error.ts';

/** What a call of libc answers: a number or a bigint. Deno’s types do not say. */
type Result = unknown;

/** Makes the functions that a call’s answer goes through. @param lastErrno the name of the calling thread’s errno */
export function createResults(lastErrno: () => string) {
  /** @throws NetlinkError if the call failed */
  function checked(operation: string, subject: string, result: Result): number {
    if (Number(result) < 0) {
      throw new NetlinkError(operation, subject, { errno: lastErrno() });
    }
    return Number(result);
  }

  /** That there is nothing is no error: it is asked for all the time, and an error costs as much as a message. */
  function received(result: Result): number | undefined {
    const isNothing = Number(result) < 0 && lastErrno() === 'EAGAIN';
    return isNothing ? undefined : checked('receive', 'netlink message', result);
  }

  return { checked, received };
}
