import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { DIES_WITH_US, ended } from './command.ts';

/**
 * Runs `work` while no other process holds `file`. The lock is the kernel's (flock), held by a child that
 * ends with this process, so that no crash leaves it behind.
 */
export async function locked<T>(file: string, work: () => Promise<T>): Promise<T> {
  const holder = spawn(
    DIES_WITH_US[0] ?? '',
    [...DIES_WITH_US.slice(1), 'flock', file, 'sh', '-c', 'echo; exec cat'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const gone = ended(holder);
  try {
    await Promise.race([
      once(holder.stdout, 'data'),
      gone.then((status) => Promise.reject(new Error(`flock ${file}: ${status}`))),
    ]);
    return await work();
  } finally {
    holder.stdin.end();
    await gone;
  }
}
