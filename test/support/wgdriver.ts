import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

/** The bundle that `npm run build` makes. */
export const bundle = fileURLToPath(new URL('../../dist/wgdriver', import.meta.url));

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Setting {
  /** What comes on stdin; nothing if absent. */
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs the bundle to its end, as users do. */
export async function wgdriverProcess(
  args: readonly string[],
  { input = '', env = {} }: Setting = {},
): Promise<Ended> {
  const { WGDRIVER_SEED: _, ...rest } = process.env;
  const child = spawn(process.execPath, [bundle, ...args], { env: { ...rest, ...env } });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  // It may end without reading its input.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [status] = await once(child, 'close');
  return { status, stdout, stderr };
}

/**
 * Runs the bundle to its end, in a thread with arguments, environment and output of its own: a process takes more than
 * twice the processor time, and hundreds of tests run it. With something on stdin it is a process all the same, as Node
 * does not end a thread's.
 */
export async function wgdriver(args: readonly string[], setting: Setting = {}): Promise<Ended> {
  if (setting.input !== undefined && setting.input !== '') {
    return wgdriverProcess(args, setting);
  }
  const { WGDRIVER_SEED: _, ...rest } = process.env;
  const worker = new Worker(bundle, {
    argv: [...args],
    env: { ...rest, ...setting.env },
    stdin: true,
    stdout: true,
    stderr: true,
  });
  let [stdout, stderr] = ['', ''];
  worker.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  worker.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  worker.stdin?.end();
  const [status] = (await once(worker, 'exit')) as [number];
  return { status, stdout, stderr };
}
