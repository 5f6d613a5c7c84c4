/**
 * `npm test [-- [--full] [--test-OPTION=VALUE…] [TIER|FILE|FOLDER]…]`: runs the tiers one after another, each as
 * far as this machine can; or the named tiers, files and folders. A tier that cannot run is skipped with its
 * reason. With CI=true that is a failure: nothing may be missing there.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { labObstacle } from '../build/lab/index.ts';
import { slowestFirst } from '../build/lab/times.ts';
import { planTiers, type TierName, testFiles, tierNames, tiers } from './tiers.ts';

const args = process.argv.slice(2);
const isFull = args.includes('--full');
const isCi = process.env.CI === 'true';
/** Options for Node's test runner, such as `--test-name-pattern=Join`. */
const nodeOptions = args.filter((word) => word.startsWith('--test-'));
const words = args.filter((word) => word !== '--full' && !nodeOptions.includes(word));

/** For one test, including a file's wait for a place in the lab. Only a test that hangs takes this long. */
const testTimeoutMs = isFull ? 28_800_000 : 2_700_000;

const folder = mkdtempSync(join(tmpdir(), 'wgdriver-test-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
/** Where labs tell what tests with guests took. */
const labTimes = join(folder, 'lab-times');

const chosen = await plan();
if (chosen.some(([name]) => name === 'guests') && (await tiers.guests.obstacle()) === undefined) {
  // What guests boot is made beside the tiers before theirs; whoever comes too early waits for it.
  spawn('setpriv', ['--pdeathsig', 'TERM', process.execPath, 'build/lab/prepare.ts'], {
    stdio: ['ignore', 'inherit', 'inherit'],
  }).unref();
}
const summary: string[] = [];
for (const [name, files] of chosen) {
  const started = performance.now();
  const obstacle = await tiers[name].obstacle();
  const outcome = obstacle === undefined ? runTier(name, files) : `skipped: ${obstacle}`;
  const seconds = Math.round((performance.now() - started) / 1000);
  summary.push(`${name}: ${outcome} (${seconds} s)`);
  if (name === 'guests') summary.push(...slowestFirst(labTimes).map((line) => `  ${line}`));
  if (outcome !== 'passed' && (isCi || obstacle === undefined)) {
    process.exitCode = 1;
  }
}
console.log(`\nTiers${isFull ? ' of the full run' : ''}:\n  ${summary.join('\n  ')}`);

async function plan(): Promise<[TierName, string[]][]> {
  try {
    const hasGuests = !isFull && (await labObstacle()) === undefined;
    return planTiers(words, { files: testFiles(), hasGuests });
  } catch (error) {
    const lines = tierNames.map((name) => `  ${name.padEnd(10)}${tiers[name].purpose}`);
    console.error(`npm test: ${(error as Error).message}. The tiers are:\n${lines.join('\n')}`);
    return process.exit(2);
  }
}

function runTier(name: TierName, files: readonly string[]): 'passed' | 'failed' {
  const { tasks, isSandboxed, concurrency } = tiers[name];
  console.log(`\n=== ${name}`);
  const options = ['--test', '--test-reporter=spec', `--test-timeout=${testTimeoutMs}`];
  options.push(`--test-concurrency=${concurrency}`, ...nodeOptions);
  const command = [process.execPath, ...options, ...files];
  const sandbox = isSandboxed ? [process.execPath, 'build/host/sandboxed.ts'] : [];
  const isReady = tasks.every((task) => run(process.execPath, 'build/run.mjs', ...task));
  return isReady && run(...([...sandbox, ...command] as [string, ...string[]])) ? 'passed' : 'failed';
}

function run(file: string, ...args: string[]): boolean {
  const env = {
    ...process.env,
    WGDRIVER_LAB_TIMES: labTimes,
    // Each file of tests is a process, and would take the types off the same sources again.
    NODE_COMPILE_CACHE: join(folder, 'compiled'),
    ...(isFull ? { WGDRIVER_TEST_FULL: 'yes' } : {}),
  };
  return spawnSync(file, args, { stdio: 'inherit', env }).status === 0;
}
