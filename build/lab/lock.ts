import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { DIES_WITH_US, ended } from './command.ts';

/**
 * Runs `work` while no other process holds `file`. The lock is the kernel's (flock), held by a child that
 * ends with this process, so that no crash leaves it behind.
 */
export async function locked<T>(file: string, work: () => Promise<T>): Promise<T> {
  const { release } = await hold(['flock', file, 'sh', '-c', 'echo; exec cat']);
  try {
    return await work();
  } finally {
    await release();
  }
}

/** Locks that a child of this process has. */
export interface Held {
  /** The line that it wrote when it had them. */
  readonly line: string;
  /** Lets go of them. */
  release(): Promise<void>;
}

/**
 * Starts a child that takes locks, writes a line once it has them, and keeps them until its stdin ends or
 * this process does.
 */
export async function hold(argv: readonly string[]): Promise<Held> {
  const [program = '', ...args] = [...DIES_WITH_US, ...argv];
  const holder = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = ended(holder);
  const [line] = await Promise.race([
    once(holder.stdout, 'data') as Promise<[Buffer]>,
    gone.then((status) => Promise.reject(new Error(`${argv[0]}: ${status}`))),
  ]);
  return {
    line: line.toString().trim(),
    async release() {
      holder.stdin.end();
      await gone;
    },
  };
}
