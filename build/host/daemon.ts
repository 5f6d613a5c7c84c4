import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { until } from './commands.ts';

/** A program that runs beside the test until it is stopped. */
export interface Daemon {
  readonly pid: number;
  /** Has it ended by itself? */
  readonly hasEnded: boolean;
  /** All it has written to stdout and stderr so far. */
  output(): string;
  /** Sends a signal, SIGTERM unless said otherwise, and waits for the end; its exit status or signal. */
  stop(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals | null>;
}

/** Starts a program; it dies with this process, which setpriv(1) asks of the kernel. */
export function startDaemon(file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Daemon {
  const child: ChildProcess = spawn('setpriv', ['--pdeathsig', 'KILL', file, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  return {
    pid: child.pid ?? 0,
    get hasEnded() {
      return child.exitCode !== null || child.signalCode !== null;
    },
    output: () => output,
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      const [status, killedBy] = await ended;
      return status ?? killedBy;
    },
  };
}

/** Waits until a daemon is ready. @throws Error with its output if it ends instead, or never is */
export async function untilReady(
  daemon: Daemon,
  what: string,
  isReady: () => Promise<boolean> | boolean,
  // Emulated machines take 15 s for an engine.
  timeoutMs = 120_000,
): Promise<void> {
  const ready = async () => (await isReady()) || daemon.hasEnded;
  await until(what, ready, timeoutMs).catch((error: Error) => {
    throw new Error(`${error.message}:\n${daemon.output()}`);
  });
  if (daemon.hasEnded) {
    throw new Error(`ended before ${what}:\n${daemon.output()}`);
  }
}
