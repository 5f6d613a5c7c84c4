/**
 * `npm test [-- [--full] [--test-OPTION=VALUE…] [TIER|FILE|FOLDER]…]`: runs the tiers one after another, each as
 * far as this machine can; or the named tiers, files and folders. A tier that cannot run is skipped with its
 * reason. With CI=true that is a failure: nothing may be missing there.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
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
const ensured = new Set<string>();
/** Scenarios on this machine's engine wait for most of their time, and guests work: they run beside one another. */
const isBeside = (name: TierName) => name === 'engine' && chosen.some(([other]) => other === 'guests');
const beside: Promise<void>[] = [];
for (const [name, files] of chosen) {
  const reported = report(name, files);
  if (isBeside(name)) beside.push(reported);
  else await reported;
}
await Promise.all(beside);
console.log(`\nTiers${isFull ? ' of the full run' : ''}:\n  ${summary.join('\n  ')}`);

async function report(name: TierName, files: readonly string[]): Promise<void> {
  const started = performance.now();
  const obstacle = await tiers[name].obstacle();
  const outcome = obstacle === undefined ? await runTier(name, files) : `skipped: ${obstacle}`;
  const seconds = Math.round((performance.now() - started) / 1000);
  summary.push(`${name}: ${outcome} (${seconds} s)`);
  if (name === 'guests') summary.push(...slowestFirst(labTimes).map((line) => `  ${line}`));
  if (outcome !== 'passed' && (isCi || obstacle === undefined)) {
    process.exitCode = 1;
  }
}

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

async function runTier(name: TierName, files: readonly string[]): Promise<'passed' | 'failed'> {
  const { isSandboxed, concurrency } = tiers[name];
  // A build under a test's feet would take its bundle away.
  const tasks = [...tiers[name].tasks, ...(isBeside(name) ? tiers.guests.tasks : [])];
  if (!tasks.every((task) => ensure(task))) {
    return 'failed';
  }
  const options = ['--test', '--test-reporter=spec', `--test-timeout=${testTimeoutMs}`];
  options.push(`--test-concurrency=${concurrency}`, ...nodeOptions);
  const sandbox = isSandboxed ? ['build/host/sandboxed.ts', process.execPath] : [];
  const env = {
    ...process.env,
    WGDRIVER_LAB_TIMES: labTimes,
    // Each file of tests is a process, and would take the types off the same sources again.
    NODE_COMPILE_CACHE: join(folder, 'compiled'),
    ...(isFull ? { WGDRIVER_TEST_FULL: 'yes' } : {}),
  };
  // What runs beside another tier is printed after it, whole.
  const output = isBeside(name) ? openSync(join(folder, name), 'w+') : 'inherit';
  console.log(`\n=== ${name}${isBeside(name) ? ', beside the next one' : ''}`);
  const child = spawn(process.execPath, [...sandbox, ...options, ...files], {
    stdio: ['inherit', output, output],
    env,
  });
  const [status] = await once(child, 'exit');
  if (isBeside(name)) {
    console.log(`\n=== ${name}\n${readFileSync(join(folder, name), 'utf8')}`);
  }
  return status === 0 ? 'passed' : 'failed';
}

/** Does a task of build/run.mjs unless that was done. */
function ensure(task: readonly string[]): boolean {
  const key = task.join(' ');
  if (!ensured.has(key)) {
    if (spawnSync(process.execPath, ['build/run.mjs', ...task], { stdio: 'inherit' }).status !== 0)
      return false;
    ensured.add(key);
  }
  return true;
}
