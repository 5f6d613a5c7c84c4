import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';

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
export async function beginKeeper(purpose: string): Promise<BegunKeeper> {
  // setsid(1) does not fork, as the child leads no group, so the process stays the same one.
  const child = spawn('setsid', ['unshare', '--net', 'sh', '-c', script], {
    stdio: 'pipe',
    env: { PATH: process.env.PATH, LC_ALL: 'C', WGDRIVER_PURPOSE: purpose },
  });
  let words = '';
  child.stderr.on('data', (part: Buffer) => {
    words += part.toString();
  });
  // It has ended: whoever looks for its namespace finds none.
  child.stdin.on('error', () => {});
  const begun = once(child.stdout, 'data').then(() => true);
  const ended = once(child, 'close').then(
    () => false,
    (error: Error) => {
      words = error.message;
      return false;
    },
  );
  const hasBegun = await Promise.race([begun, ended]);
  const startTime = hasBegun && child.pid !== undefined ? await startTimeOf(child.pid) : undefined;
  if (child.pid === undefined || startTime === undefined) {
    child.kill('SIGKILL');
    throw new Error(`make a network namespace: ${words.trim() || 'its process ended at once'}`);
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
