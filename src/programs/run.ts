import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { keepDescriptors } from './inheritance.ts';

/** Why a program failed. Its words come without keys. */
export interface Failure {
  readonly ok: false;
  /** One line with what it said on stderr, its command, and how it ended. */
  readonly cause: string;
  /** Its command and how it ended: `ip link show: exit status 1`. */
  readonly ending: string;
  readonly stderr: string;
  /** Some programs report their errors here. */
  readonly stdout: string;
}

export type Outcome = { readonly ok: true; readonly stdout: string } | Failure;

/** What a program printed. @throws Error that says what it was run for, and why it failed */
export function successOf(outcome: Outcome, what: string): string {
  if (!outcome.ok) {
    throw new Error(`${what}: ${outcome.cause}`);
  }
  return outcome.stdout;
}

export interface RunOptions {
  /** The way for secrets: everybody can read a program's arguments. */
  readonly stdin?: string;
  /** On top of this process's environment; undefined removes a variable. */
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
  /** Of stdout and stderr together. */
  readonly maxOutputBytes?: number;
}

/** `ip link delete` waits for the kernel while many links go; a hundred took 4 s. */
const defaultTimeoutMs = 30_000;
/** A link takes 1 KB in `ip -json -details link show`. */
const defaultMaxOutputBytes = 64 * 1024 * 1024;
/** A killed program that is stuck in the kernel does not end, and is not waited for. */
const killGraceMs = 1000;

/**
 * Runs a program and waits until nobody holds its pipes any more. One that runs too long or prints too much is
 * killed together with everything that it started. Does not reject: a failure is an outcome.
 */
export function run(
  file: string,
  args: readonly string[],
  {
    stdin = '',
    env = {},
    timeoutMs = defaultTimeoutMs,
    maxOutputBytes = defaultMaxOutputBytes,
  }: RunOptions = {},
): Promise<Outcome> {
  return new Promise((resolve) => {
    let child: ChildProcessWithoutNullStreams;
    keepDescriptors();
    try {
      // The leader of a process group: killing the group ends what the program started as well.
      child = spawn(file, args, {
        detached: true,
        stdio: 'pipe',
        env: { ...process.env, ...env, LC_ALL: 'C' },
      });
    } catch (error) {
      // Node throws some errors, E2BIG for one, and emits the others.
      resolve(failed(commandOf(file, args), notStarted(error as NodeJS.ErrnoException)));
      return;
    }
    const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    let size = 0;
    let whyKilled: string | undefined;
    let killTimer: NodeJS.Timeout | undefined;

    const finish = (ending: string | undefined) => {
      clearTimeout(timer);
      clearTimeout(killTimer);
      child.stdout.destroy();
      child.stderr.destroy();
      const [stdout, stderr] = [output.stdout, output.stderr].map((parts) => Buffer.concat(parts).toString());
      resolve(
        ending === undefined
          ? { ok: true, stdout: stdout ?? '' }
          : failed(commandOf(file, args), ending, stderr, stdout),
      );
    };
    const kill = (why: string) => {
      if (whyKilled === undefined) {
        whyKilled = why;
        killGroup(child);
        killTimer = setTimeout(() => finish(why), killGraceMs);
      }
    };
    const timer = setTimeout(() => kill(killedAfter(timeoutMs, 'an end')), timeoutMs);

    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].on('data', (part: Buffer) => {
        size += part.length;
        if (size > maxOutputBytes) {
          kill(`killed after more than ${maxOutputBytes} bytes of output`);
        } else {
          output[stream].push(part);
        }
      });
    }
    child.on('error', (error) => finish(notStarted(error)));
    child.on('close', (status, signal) => {
      finish(whyKilled ?? (status === 0 ? undefined : endingOf(status, signal)));
    });
    // A program that ended without reading its input: its exit status tells why.
    child.stdin.on('error', () => {});
    child.stdin.end(stdin);
  });
}

/**
 * Starts a program that stays, and waits for the first thing that it prints. One that has printed nothing when its time
 * is over is killed. Does not reject: a failure is an outcome.
 * @param env all of its environment
 */
export async function begin(
  file: string,
  args: readonly string[],
  { env, timeoutMs = defaultTimeoutMs }: { readonly env: NodeJS.ProcessEnv; readonly timeoutMs?: number },
): Promise<{ readonly ok: true; readonly child: ChildProcessWithoutNullStreams } | Failure> {
  keepDescriptors();
  const child = spawn(file, args, { stdio: 'pipe', env: { ...env, LC_ALL: 'C' } });
  let words = '';
  child.stderr.on('data', (part: Buffer) => {
    words += part.toString();
  });
  // It has ended, and its exit status tells why.
  child.stdin.on('error', () => {});
  const ending = await new Promise<string | undefined>((resolve) => {
    const timer = setTimeout(() => {
      killGroup(child);
      // One that is stuck in the kernel does not end, and is not waited for.
      child.unref();
      for (const pipe of [child.stdin, child.stdout, child.stderr]) {
        pipe.destroy();
      }
      resolve(killedAfter(timeoutMs, 'a word'));
    }, timeoutMs);
    const settle = (ending?: string) => {
      clearTimeout(timer);
      resolve(ending);
    };
    child.stdout.once('data', () => settle());
    child.on('error', (error) => settle(notStarted(error)));
    child.on('close', (status, signal) => settle(endingOf(status, signal)));
  });
  return ending === undefined ? { ok: true, child } : failed(commandOf(file, args), ending, words);
}

/** A program that runs until it is stopped. */
export interface RunningProgram {
  stop(): void;
}

/**
 * Starts a program that reports something as long as it runs, such as `ip monitor`. It does not keep this process
 * from ending.
 * @param onEnd called once, with why it ended as Failure has it; not after `stop`
 */
export function start(
  file: string,
  args: readonly string[],
  {
    onOutput,
    onComplaint,
    onEnd,
  }: {
    readonly onOutput: (part: Buffer) => void;
    /** What it says on stderr, and goes on. */
    readonly onComplaint?: (part: Buffer) => void;
    readonly onEnd: (cause: string) => void;
  },
): RunningProgram {
  keepDescriptors();
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  let isOver = false;
  let words = '';
  const end = (ending: string) => {
    if (!isOver) {
      isOver = true;
      onEnd(failed(commandOf(file, args), ending, words).cause);
    }
  };
  child.stdout.on('data', onOutput);
  // The last of its words, whatever it says in the course of time.
  child.stderr.on('data', (part: Buffer) => {
    words = part.toString();
    onComplaint?.(part);
  });
  child.on('error', ({ message }) => end(message));
  child.on('close', (status, signal) => end(endingOf(status, signal)));
  child.unref();
  for (const pipe of [child.stdout, child.stderr]) {
    (pipe as unknown as { unref(): void }).unref();
  }
  return {
    stop() {
      isOver = true;
      child.kill();
    },
  };
}

function killGroup(child: ChildProcess): void {
  try {
    process.kill(-(child.pid ?? Number.NaN), 'SIGKILL');
  } catch {
    // A runtime that made no group, or a program that has just ended.
    child.kill('SIGKILL');
  }
}

function endingOf(status: number | null, signal: NodeJS.Signals | null): string {
  return signal ?? `exit status ${status}`;
}

function notStarted({ code, message }: NodeJS.ErrnoException): string {
  return code === 'ENOENT'
    ? 'the program was not found; install it'
    : `could not be started: ${code ?? message}`;
}

function killedAfter(timeoutMs: number, what: string): string {
  return `killed after ${timeoutMs / 1000} s without ${what}`;
}

function failed(command: string, how: string, stderr = '', stdout = ''): Failure {
  const ending = `${command}: ${how}`;
  const words = withoutKeys(stderr).trim();
  return {
    ok: false,
    cause: words === '' ? ending : `${words.replaceAll(/\s*\n\s*/g, '; ')} (${ending})`,
    ending,
    stderr: words,
    stdout: withoutKeys(stdout),
  };
}

const longestCommand = 120;

function commandOf(file: string, args: readonly string[]): string {
  const command = withoutKeys([file, ...args].join(' ').replaceAll(/\s+/g, ' '));
  return command.length > longestCommand ? `${command.slice(0, longestCommand)}…` : command;
}

/** `wg` quotes a line that it cannot parse, and a key may be on it. */
function withoutKeys(text: string): string {
  return text.replaceAll(/[A-Za-z0-9+/]{43}=|\b[0-9a-f]{64}\b/g, '[key]');
}
