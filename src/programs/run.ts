import { execFile } from 'node:child_process';

/** Why a program failed: what it said on stderr, without keys, or how it ended. */
export interface Failure {
  readonly ok: false;
  readonly cause: string;
  /** What it said on stdout, without keys: some tell their errors there. */
  readonly stdout?: string;
}

export type Outcome = { readonly ok: true; readonly stdout: string } | Failure;

/**
 * Runs a program with text on its stdin, and waits until nobody has its pipes any more. Does not reject: a failure is
 * an outcome.
 */
export function run(
  file: string,
  args: readonly string[],
  stdin = '',
  env: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env, LC_ALL: 'C' }, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile(file, args, options, (error, stdout, stderr) => {
      if (error === null) {
        resolve({ ok: true, stdout });
      } else if (error.code === 'ENOENT') {
        resolve({ ok: false, cause: `the program ${file} was not found; install it` });
      } else if (typeof error.code === 'string') {
        resolve({ ok: false, cause: `the program ${file} could not be started: ${error.code}` });
      } else {
        const how =
          error.signal === undefined || error.signal === null ? `exit status ${error.code}` : error.signal;
        resolve({
          ok: false,
          cause: withoutKeys(stderr).trim() || `${file}: ${how}`,
          ...(stdout === '' ? {} : { stdout: withoutKeys(stdout) }),
        });
      }
    });
    // A program that ended without reading its input: its exit status tells why.
    child.stdin?.on('error', () => {});
    child.stdin?.end(stdin);
  });
}

/** `wg` quotes a line that it cannot parse, and a key may be on it. */
function withoutKeys(text: string): string {
  return text.replaceAll(/[A-Za-z0-9+/]{43}=|\b[0-9a-f]{64}\b/g, '[key]');
}
