import { setTimeout as sleep } from 'node:timers/promises';
import { decodeAcknowledgement } from './acknowledgement.ts';
import { concat } from './bytes.ts';
import { type NetlinkCause, NetlinkError } from './error.ts';
import {
  decodeMessages,
  encodeMessage,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_ALIGN,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_HDRLEN,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
} from './message.ts';
import type { NetlinkSocket } from './socket.ts';

/** What is asked of the kernel, and the words for it in an error. */
export interface Request {
  readonly type: number;
  /** Beside those that `execute` and `dump` give it. */
  readonly flags?: number;
  readonly payload: Uint8Array;
  /** `create` */
  readonly operation: string;
  /** `link wgd1a2b3c` */
  readonly subject: string;
  /** Of `executeEach`: by names, what the kernel may say to it. */
  readonly expected?: readonly string[];
}

/** Where links come and go all the time, a dump may be interrupted more than once; the pauses double, to 2.6 s in all. */
const dumpTries = 10;
const firstDumpPauseMs = 5;

let lastSequence = 0;

/** Any 32 bits but 0, which the kernel's notifications have. */
function nextSequence(): number {
  lastSequence = (lastSequence % 0xffff_ffff) + 1;
  return lastSequence;
}

/**
 * Asks the kernel for one thing; its answer without the acknowledgement.
 * @throws NetlinkError with what the kernel said
 */
export function execute(socket: NetlinkSocket, request: Request): Promise<NetlinkMessage[]> {
  return exchange(socket, request, NLM_F_ACK);
}

/**
 * Asks the kernel for all there is of something. A dump that a change has interrupted (NLM_F_DUMP_INTR) may
 * lack some of it, and is asked for again.
 * @throws NetlinkError with what the kernel said; with errno EINTR if each of ten was interrupted
 */
export async function dump(socket: NetlinkSocket, request: Request): Promise<NetlinkMessage[]> {
  for (let tries = 1; tries <= dumpTries; tries++) {
    if (tries > 1) {
      await sleep(firstDumpPauseMs * 2 ** (tries - 2));
    }
    const messages = await exchange(socket, request, NLM_F_DUMP);
    if (messages.every(({ flags }) => (flags & NLM_F_DUMP_INTR) === 0)) {
      return messages.filter(({ type }) => type !== NLMSG_DONE);
    }
  }
  const text = `changed each of ${dumpTries} times while it was read (NLM_F_DUMP_INTR)`;
  throw new NetlinkError(request.operation, request.subject, { errno: 'EINTR', text });
}

/**
 * Asks the kernel for several things in one datagram, of which all or none are done, as between the marks of
 * an nfnetlink batch.
 * @returns what it answers, if it has been asked something
 * @throws NetlinkError with what the kernel said of the first that it refused
 */
export async function executeBatch(
  socket: NetlinkSocket,
  requests: readonly Request[],
): Promise<NetlinkMessage[]> {
  const messages = requests.map(({ type, flags = 0, payload }) => ({
    type,
    flags: NLM_F_REQUEST | flags,
    sequence: nextSequence(),
    portId: 0,
    payload,
  }));
  const requestOf = new Map(messages.map(({ sequence }, index) => [sequence, requests[index]]));
  let answers: NetlinkMessage[];
  try {
    await socket.send(concat(messages.map(encodeMessage)));
    // What the kernel refused comes before any acknowledgement; all of it is there by now.
    answers = receiveAll(socket);
  } catch (error) {
    throw during(requests[0], error);
  }
  for (const message of answers) {
    const request = requestOf.get(message.sequence);
    const cause = message.type === NLMSG_ERROR ? decodeAcknowledgement(message) : undefined;
    if (request !== undefined && cause !== undefined && !request.expected?.includes(cause.errno ?? '')) {
      throw new NetlinkError(request.operation, request.subject, cause);
    }
  }
  return answers.filter(({ type, sequence }) => type !== NLMSG_ERROR && requestOf.has(sequence));
}

/** The default send buffer holds 208 KiB. */
const largestChunk = 64 * 1024;

/**
 * Asks the kernel for many things, as many as fit in one datagram; each is done or not, whatever comes of the others.
 * @throws NetlinkError with what the kernel said of the first that it refused, unless that was expected
 */
export async function executeEach(socket: NetlinkSocket, requests: readonly Request[]): Promise<void> {
  let failure: unknown;
  for (const chunk of chunksOf(requests)) {
    await executeBatch(socket, chunk).catch((error) => {
      failure ??= error;
    });
  }
  if (failure !== undefined) {
    throw failure;
  }
}

function chunksOf(requests: readonly Request[]): Request[][] {
  const chunks: Request[][] = [];
  let length = largestChunk;
  for (const request of requests) {
    const own = NLMSG_ALIGN(NLMSG_HDRLEN + request.payload.length);
    if (length + own > largestChunk) {
      chunks.push([]);
      length = 0;
    }
    chunks.at(-1)?.push(request);
    length += own;
  }
  return chunks;
}

/** Every message that has come. @throws NetlinkError */
export function receiveAll(socket: NetlinkSocket): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let bytes = socket.receive(); bytes !== undefined; bytes = socket.receive()) {
    messages.push(...decodeMessages(bytes));
  }
  return messages;
}

/** Decodes an answer, so that an error says what it was the answer to. @throws NetlinkError */
export function decodedFor<Result>(request: Request, decode: () => Result): Result {
  try {
    return decode();
  } catch (error) {
    throw during(request, error);
  }
}

/** Sends a request and reads what comes back to its end; with the NLMSG_DONE, since that has flags too. */
async function exchange(
  socket: NetlinkSocket,
  { type, flags = 0, payload, operation, subject }: Request,
  ownFlags: number,
): Promise<NetlinkMessage[]> {
  const sequence = nextSequence();
  const request = { type, flags: NLM_F_REQUEST | ownFlags | flags, sequence, portId: 0, payload };
  try {
    await socket.send(encodeMessage(request));
    const { answer, cause } = await readAnswer(socket, sequence, ownFlags === NLM_F_DUMP);
    if (cause !== undefined) {
      throw new NetlinkError(operation, subject, cause);
    }
    return answer;
  } catch (error) {
    throw during({ operation, subject }, error);
  }
}

/** An error that says what was asked. */
function during(asked: Pick<Request, 'operation' | 'subject'> | undefined, error: unknown): unknown {
  return error instanceof NetlinkError && asked !== undefined
    ? error.during(asked.operation, asked.subject)
    : error;
}

interface Answer {
  readonly answer: NetlinkMessage[];
  readonly cause?: NetlinkCause | undefined;
}

async function readAnswer(socket: NetlinkSocket, sequence: number, isDump: boolean): Promise<Answer> {
  const answer: NetlinkMessage[] = [];
  for (;;) {
    const bytes = isDump ? await socket.receivePart() : socket.receive();
    if (bytes === undefined) {
      return { answer, cause: { text: 'the kernel did not answer' } };
    }
    for (const message of decodeMessages(bytes)) {
      if (message.sequence !== sequence) {
        continue;
      }
      switch (message.type) {
        case NLMSG_NOOP:
          break;
        case NLMSG_OVERRUN:
          return { answer, cause: { errno: 'ENOBUFS', text: 'data lost (NLMSG_OVERRUN)' } };
        case NLMSG_ERROR:
          return { answer, cause: decodeAcknowledgement(message) };
        case NLMSG_DONE:
          answer.push(message);
          return { answer, cause: decodeAcknowledgement(message) };
        default:
          answer.push(message);
      }
    }
  }
}
