import type { Duplex } from 'node:stream';

/** What became of a job: its exit status (128 + N after signal N) and all it printed. */
export interface JobEnd {
  readonly status: number;
  readonly output: Buffer;
}

export interface JobHooks {
  /** Called with each piece of output as it comes. */
  readonly onOutput?: ((chunk: Buffer) => void) | undefined;
}

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: Error) => void;
}

interface Job extends Waiter<JobEnd> {
  readonly output: Buffer[];
  readonly onOutput: ((chunk: Buffer) => void) | undefined;
}

/** Job number, kind, length; see `guest/agent` for the kinds. */
const HEADER = 9;
const NOTHING = Buffer.alloc(0);
/**
 * Bytes that may wait for the agent. User-Mode Linux stops reading a serial line whose 4 KB in the guest are nearly full,
 * and never begins again: the script arrives, and everything after it does not.
 */
const WINDOW = 2048;

/** The host's end of the line to a guest's agent: any number of jobs, one after another or at once. */
export class Channel {
  /** Resolves when the agent is there. */
  readonly ready: Promise<void>;
  readonly #port: Duplex;
  readonly #jobs = new Map<number, Job>();
  readonly #onLateOutput: (chunk: Buffer) => void;
  #agent: Waiter<void> | undefined;
  #pieces: Buffer[] = [];
  #length = 0;
  #needed = HEADER;
  #next = 1;
  #outgoing: Buffer = NOTHING;
  /** Bytes that were sent and that the agent has not read yet. */
  #unread = 0;
  #broken: Error | undefined;

  /** `onLateOutput` gets what processes print that outlived the job that started them. */
  constructor(port: Duplex, onLateOutput: (chunk: Buffer) => void) {
    this.#port = port;
    this.#onLateOutput = onLateOutput;
    this.ready = new Promise((resolve, reject) => {
      this.#agent = { resolve, reject };
    });
    this.ready.catch(() => {});
    port.on('data', (chunk: Buffer) => this.#receive(chunk));
    // It ends with the machine, whose owner knows why and calls `break`.
    port.on('error', () => {});
  }

  /** Runs `script` with bash. The returned `kill` ends it and its process group. */
  start(script: string, hooks: JobHooks = {}): { readonly end: Promise<JobEnd>; readonly kill: () => void } {
    const id = this.#next++;
    const end = new Promise<JobEnd>((resolve, reject) => {
      if (this.#broken) return reject(this.#broken);
      this.#jobs.set(id, { output: [], onOutput: hooks.onOutput, resolve, reject });
      this.#send(id, 'r', Buffer.from(script));
    });
    return { end, kill: () => this.#send(id, 'k', NOTHING) };
  }

  /** Fails every job under way and to come. */
  break(reason: Error): void {
    if (this.#broken) return;
    this.#broken = reason;
    this.#agent?.reject(reason);
    for (const job of this.#jobs.values()) job.reject(reason);
    this.#jobs.clear();
  }

  #send(id: number, kind: string, data: Uint8Array): void {
    if (this.#broken) return;
    const header = Buffer.alloc(HEADER);
    header.writeUInt32BE(id, 0);
    header.write(kind, 4, 'latin1');
    header.writeUInt32BE(data.length, 5);
    this.#outgoing = Buffer.concat([this.#outgoing, header, data]);
    this.#write();
  }

  #write(): void {
    const piece = this.#outgoing.subarray(0, WINDOW - this.#unread);
    if (piece.length === 0 || this.#broken) return;
    this.#outgoing = this.#outgoing.subarray(piece.length);
    this.#unread += piece.length;
    this.#port.write(piece);
  }

  #receive(chunk: Buffer): void {
    this.#pieces.push(chunk);
    this.#length += chunk.length;
    // Joined only when a whole frame is there: large outputs come in thousands of pieces.
    if (this.#length < this.#needed) return;
    let data = Buffer.concat(this.#pieces);
    this.#needed = frameLength(data);
    while (data.length >= this.#needed) {
      this.#handle(data.readUInt32BE(0), data.toString('latin1', 4, 5), data.subarray(HEADER, this.#needed));
      data = data.subarray(this.#needed);
      this.#needed = frameLength(data);
    }
    this.#pieces = [data];
    this.#length = data.length;
  }

  #handle(id: number, kind: string, data: Buffer): void {
    const job = this.#jobs.get(id);
    if (kind === 'h') {
      this.#agent?.resolve();
    } else if (kind === 'a') {
      this.#unread -= Number(data.toString());
      this.#write();
    } else if (kind === 'l') {
      this.#onLateOutput(data);
    } else if (kind === 'o') {
      job?.output.push(data);
      job?.onOutput?.(data);
    } else if (kind === 'x') {
      this.#jobs.delete(id);
      job?.resolve({ status: Number(data.toString()), output: Buffer.concat(job?.output ?? []) });
    }
  }
}

/** Length of the frame that `data` begins with, or of a header while there is less than one. */
function frameLength(data: Buffer): number {
  return data.length < HEADER ? HEADER : HEADER + data.readUInt32BE(5);
}
