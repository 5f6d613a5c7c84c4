import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import process from 'node:process';
import { isInstalled } from '../../src/links/probe.ts';

/** Set in the process that is inside. */
const mark = 'WGDRIVER_TEST_NAMESPACE';

/** Namespaces that end, with all that runs in them, when this process does, by whatever cause. */
const unshare = [
  '--pdeathsig',
  'KILL',
  'unshare',
  '--net',
  '--mount',
  '--pid',
  '--fork',
  '--kill-child',
  '--mount-proc',
];

/** What node:test takes to skip a test by name and reason, or not to. */
export type Skip = { readonly skip?: string };

/** Skips where a program is missing; with CI=true that is a failure. */
export async function whyNoPrograms(...programs: string[]): Promise<Skip> {
  const missing: string[] = [];
  for (const program of programs) {
    if (!(await isInstalled(program))) {
      missing.push(program);
    }
  }
  return skip(missing.length === 0 ? undefined : `needs the programs ${missing.join(' and ')}`);
}

/**
 * Runs the test file that calls it once more, in network, mount and process namespaces of its own with an
 * empty /run, and ends the first run with the status of the second. What the tests leave there, daemons
 * too, ends with it. Where namespaces cannot be had, the tests are to be skipped by the reason given.
 */
export async function enterFreshNamespace(...programs: string[]): Promise<Skip> {
  if (process.env[mark] !== undefined) {
    return whyNoPrograms(...programs);
  }
  const probe = spawnSync('setpriv', [...unshare, 'mount', '-t', 'tmpfs', 'tmpfs', '/run']);
  if (probe.status !== 0) {
    return skip(`needs namespaces of its own: ${probe.error?.message ?? String(probe.stderr).trim()}`);
  }
  // A shell as the first process: it waits for the daemons that Node knows nothing of. In a sandbox, files for a time
  // belong in a folder of /run.
  const script = 'mount -t tmpfs tmpfs /run && mkdir -p "$0" && ip link set lo up && "$@"; exit $?';
  const file = process.argv[1] ?? '';
  const { status } = spawnSync(
    'setpriv',
    [...unshare, 'sh', '-c', script, tmpdir(), process.execPath, file],
    {
      stdio: 'inherit',
      env: { ...process.env, [mark]: '1' },
    },
  );
  process.exit(status ?? 1);
}

function skip(reason: string | undefined): Skip {
  if (reason !== undefined && process.env.CI === 'true') {
    throw new Error(`with CI=true nothing is skipped: ${reason}`);
  }
  return reason === undefined ? {} : { skip: reason };
}
