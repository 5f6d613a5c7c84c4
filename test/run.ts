/**
 * `npm test`: runs the tiers one after another, each as far as this machine can. A tier that cannot run is
 * skipped by name and reason; with CI=true that is a failure, since then nothing may be missing.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { smokeScenarios } from '../build/host/scenarios.ts';
import { labObstacle } from '../build/lab/index.ts';

interface Tier {
  readonly name: string;
  /** Why this machine cannot run it, or undefined. */
  readonly obstacle: string | undefined;
  /** Tasks of build/run.mjs, with their arguments, that come first. */
  readonly tasks: readonly (readonly string[])[];
  readonly isSandboxed: boolean;
  /** How many files run at once. */
  readonly concurrency: number;
  readonly files: readonly string[];
}

const isFull = process.argv.includes('--full');
const only = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const isCi = process.env.CI === 'true';

const needsRoot = process.getuid?.() === 0 ? undefined : 'it needs root';
const needsDebian = existsSync('/etc/debian_version') ? undefined : 'it needs Debian’s packages';

const guestsObstacle = await labObstacle();

/** All of them run in a guest as well, with the kernel's WireGuard, if there can be one. */
const scenarios =
  isFull || guestsObstacle !== undefined
    ? ['test/scenarios/*.test.ts']
    : smokeScenarios.map((name) => `test/scenarios/${name}.test.ts`);

/** Of one test, a file's wait for a place in the lab included. Only what hangs takes so long. */
const testTimeoutMs = isFull ? 28_800_000 : 2_700_000;

const tiers: readonly Tier[] = [
  {
    name: 'unit and protocol',
    obstacle: undefined,
    // Where they cannot be installed, the tests that need them skip themselves.
    tasks: needsRoot === undefined && needsDebian === undefined ? [['packages']] : [],
    isSandboxed: false,
    concurrency: availableParallelism(),
    files: [
      'test/*.test.ts',
      'test/{commands,doctor,driver,engine,faults,fuzz,keys,killswitch,links,netlink,networks,plugin,programs,state,wireguard}/**/*.test.ts',
    ],
  },
  {
    name: 'runtimes',
    obstacle: needsRoot ?? needsDebian ?? (process.arch === 'x64' ? undefined : 'its runtimes are for x64'),
    tasks: [['packages', 'docker-registry=docker-registry'], ['plugin']],
    isSandboxed: true,
    // Engines are heavy, and the machines have two cores.
    concurrency: 1,
    files: ['test/runtimes/*.test.ts'],
  },
  {
    name: 'engine',
    obstacle: needsRoot ?? needsDebian,
    tasks: [['packages']],
    isSandboxed: true,
    // Engines are heavy, and the machines have two cores.
    concurrency: 1,
    files: [...scenarios, 'test/engine-faults/*.test.ts'],
  },
  {
    name: 'guests',
    obstacle: guestsObstacle,
    // The lab installs what it needs itself, but a guest borrows this machine's wireguard-go.
    tasks: [['packages'], ['plugin']],
    isSandboxed: false,
    // All at once: each waits for places in the lab.
    concurrency: 16,
    files: ['test/lab/*.test.ts', 'test/guests/*.test.ts'],
  },
];

const summary: string[] = [];
for (const tier of tiers.filter(({ name }) => only.length === 0 || only.includes(name))) {
  const started = performance.now();
  const outcome = tier.obstacle === undefined ? runTier(tier) : `skipped: ${tier.obstacle}`;
  const seconds = Math.round((performance.now() - started) / 1000);
  summary.push(`${tier.name}: ${outcome} (${seconds} s)`);
  if (outcome !== 'passed' && (isCi || tier.obstacle === undefined)) {
    process.exitCode = 1;
  }
}
console.log(`\nTiers${isFull ? ' of the full run' : ''}:\n  ${summary.join('\n  ')}`);

function runTier({ name, tasks, isSandboxed, concurrency, files }: Tier): 'passed' | 'failed' {
  console.log(`\n=== ${name}`);
  const options = ['--test', '--test-reporter=spec', `--test-timeout=${testTimeoutMs}`];
  options.push(`--test-concurrency=${concurrency}`);
  const command = [process.execPath, ...options, ...files];
  const sandbox = isSandboxed ? [process.execPath, 'build/host/sandboxed.ts'] : [];
  const isReady = tasks.every((words) => run(process.execPath, 'build/run.mjs', ...words));
  return isReady && run(...([...sandbox, ...command] as [string, ...string[]])) ? 'passed' : 'failed';
}

function run(file: string, ...args: string[]): boolean {
  const env = isFull ? { ...process.env, WGDRIVER_TEST_FULL: 'yes' } : process.env;
  return spawnSync(file, args, { stdio: 'inherit', env }).status === 0;
}
