import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

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

/** Runs the bundle to its end. */
export async function wgdriver(
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
