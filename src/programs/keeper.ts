import { readFile } from 'node:fs/promises';
import { begin } from './run.ts';

/** A process that holds a network namespace, told from a later one with the same id by its start. */
export interface Keeper {
  readonly pid: number;
  /** Clock ticks since the boot: starttime of proc_pid_stat(5). */
  readonly startTime: string;
}

/** A keeper that ends when this process does, or its pipe, until it is told to stay. */
export interface BegunKeeper {
  readonly keeper: Keeper;
  stay(): void;
}

/**
 * The shell ends if its stdin does before there is a line. After that the process is `sleep`, which ends with the
 * machine or by a signal. It keeps no file of this process open: not the engine’s socket, which systemd passes as 3.
 */
const script = 'echo begun && read -r stay && exec sleep 2147483647 </dev/null >/dev/null 2>&1 3<&-';

/**
 * Starts a process in a new network namespace, which lasts as long as it does. It is not of this process’s session,
 * and outlives it.
 * @param purpose shows in its environment
 * @throws Error
 */
export async function beginKeeper(
  purpose: string,
  options: { readonly timeoutMs?: number } = {},
): Promise<BegunKeeper> {
  // setsid(1) does not fork, as the child leads no group, so the process stays the same one.
  const outcome = await begin('setsid', ['unshare', '--net', 'sh', '-c', script], {
    ...options,
    env: { PATH: process.env.PATH, WGDRIVER_PURPOSE: purpose },
  });
  if (!outcome.ok) {
    throw new Error(`make a network namespace: ${outcome.cause}`);
  }
  const { child } = outcome;
  const startTime = child.pid === undefined ? undefined : await startTimeOf(child.pid);
  if (child.pid === undefined || startTime === undefined) {
    child.kill('SIGKILL');
    throw new Error('make a network namespace: its process ended at once');
  }
  return {
    keeper: { pid: child.pid, startTime },
    stay() {
      child.stdin.end('stay\n');
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
    },
  };
}

export async function isKept(keeper: Keeper): Promise<boolean> {
  return (await startTimeOf(keeper.pid)) === keeper.startTime;
}

/** Ends a keeper, and with it its namespace; one that has ended is no error. */
export async function endKeeper(keeper: Keeper): Promise<void> {
  if (await isKept(keeper)) {
    try {
      process.kill(keeper.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') {
        throw error;
      }
    }
  }
}

/** The file of a keeper’s namespace. */
export function namespaceOf({ pid }: Pick<Keeper, 'pid'>): `/${string}` {
  return `/proc/${pid}/ns/net`;
}

/** Undefined of a process that has ended. */
async function startTimeOf(pid: number): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // Its name, in parentheses, may hold anything; state is the first field behind it, the 3rd of all.
  const [state, ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' || state === 'X' ? undefined : rest[18];
}
