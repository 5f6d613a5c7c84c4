import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, whatever that is. */
export function attempt(file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile(file, args, options, (error, stdout, stderr) => {
      if (error === null || typeof error.code === 'number') {
        resolve({ status: Number(error?.code ?? 0), stdout, stderr });
      } else {
        // Not found, or ended by a signal: status 127, as a shell has it.
        resolve({ status: 127, stdout, stderr: stderr + error.message });
      }
    });
    child.stdin?.end();
  });
}

/** Runs a program and gives its output less the last line break. @throws Error with its stderr if it fails */
export async function run(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<string> {
  const { status, stdout, stderr } = await attempt(file, args, env);
  if (status !== 0) {
    throw new Error(`${[file, ...args].join(' ')}: exit status ${status}: ${stderr}${stdout}`);
  }
  return stdout.trimEnd();
}

/** Runs a script of sh(1), with its arguments as $1 and so on. */
export function sh(script: string, ...args: readonly string[]): Promise<string> {
  return run('sh', ['-euc', script, 'sh', ...args]);
}

/** Waits until something is so. @throws Error that says what did not come about */
export async function until(
  what: string,
  isSo: () => Promise<boolean> | boolean,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const asked = performance.now();
    if (await isSo()) return;
    const now = performance.now();
    if (now > deadline) {
      throw new Error(`waited ${timeoutMs / 1000} s in vain: ${what}`);
    }
    // To ask may start programs, and what is waited for needs the processor too.
    await sleep(Math.max(50, now - asked));
  }
}
