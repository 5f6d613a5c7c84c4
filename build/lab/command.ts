import { type ChildProcess, spawn } from 'node:child_process';

/**
 * Words to put before a command so that it dies with this process, whatever ends it: SIGKILL of a test
 * runner leaves no time for handlers. The kernel sends the signal when the thread that spawned dies, so
 * spawn from the main thread only.
 */
export const DIES_WITH_US = ['setpriv', '--pdeathsig', 'KILL'];

export interface CommandOptions {
  /** File descriptor that receives stdout, instead of the result. */
  readonly stdout?: number;
  readonly env?: NodeJS.ProcessEnv;
  /** Let it finish even if this process ends: an interrupted dpkg leaves a machine in need of repair. */
  readonly uninterruptible?: boolean;
}

/** Runs `argv`, resolves with its stdout; a non-zero exit rejects with the end of its output. */
export async function command(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const [program = '', ...args] = options.uninterruptible ? argv : [...DIES_WITH_US, ...argv];
  const child = spawn(program, args, {
    stdio: ['ignore', options.stdout ?? 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    // Its own session, so that Ctrl-C on the terminal does not reach it either.
    detached: options.uninterruptible ?? false,
  });
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const status = await ended(child);
  if (status !== 0) {
    const tail = (stderr || stdout).trimEnd().split('\n').slice(-15).join('\n');
    throw new Error(`${argv.slice(0, 2).join(' ')}: ${status}\n${tail}`);
  }
  return stdout;
}

/** Resolves with the exit status, or the name of the signal, once all output has been read. */
export function ended(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => resolve(status ?? signal ?? 'unknown'));
  });
}
