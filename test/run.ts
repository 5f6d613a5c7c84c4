/**
 * `npm test [-- [--full] [--test-OPTION=VALUE…] [TIER|FILE|FOLDER]…]`: runs the tiers, the first two one after another
 * and the others two at a time, each as far as this machine can; or the named tiers, files and folders. A tier that cannot run
 * is skipped with its reason. With CI=true that is a failure: nothing may be missing there.
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
  spawn(
    'setpriv',
    ['--pdeathsig', 'TERM', process.execPath, 'build/lab/prepare.ts', ...(isFull ? [] : ['trixie'])],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  ).unref();
}
const summary: string[] = [];
const ensured = new Set<string>();
/**
 * Scenarios with engines of this machine wait for most of their time, and take longest: beside them run first the faults, then
 * the runtimes, then the guests, which alone can use all processors when the scenarios are through. The tiers before them want
 * the machine for themselves.
 */
const shared: readonly TierName[] = chosen.some(([name]) => name === 'guests')
  ? ['faults', 'engine', 'runtimes', 'guests']
  : [];
await inTurn(chosen.filter(([name]) => !shared.includes(name)));
const queue = chosen.filter(([name]) => shared.includes(name));
for (const [name] of queue) {
  // A build under a test’s feet would take its bundle away. A tier whose tasks fail says so when its turn comes.
  if ((await tiers[name].obstacle()) === undefined) prepared(name);
}
await Promise.all([inTurn(queue), inTurn(queue)]);
console.log(`\nTiers${isFull ? ' of the full run' : ''}:\n  ${summary.join('\n  ')}`);

/** Takes tiers from a queue until that is empty. */
async function inTurn(tiersInTurn: typeof chosen): Promise<void> {
  for (let next = tiersInTurn.shift(); next !== undefined; next = tiersInTurn.shift()) {
    await report(...next);
  }
}

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
    return planTiers(words, { files: testFiles(), hasGuests, isFull });
  } catch (error) {
    const lines = tierNames.map((name) => `  ${name.padEnd(10)}${tiers[name].purpose}`);
    console.error(`npm test: ${(error as Error).message}. The tiers are:\n${lines.join('\n')}`);
    return process.exit(2);
  }
}

async function runTier(name: TierName, files: readonly string[]): Promise<'passed' | 'failed'> {
  const { isSandboxed, concurrency, isOneProcess } = tiers[name];
  if (!prepared(name)) {
    return 'failed';
  }
  const options = ['--test', '--test-reporter=spec', `--test-timeout=${testTimeoutMs}`];
  options.push(`--test-concurrency=${concurrency}`, ...nodeOptions);
  if (isOneProcess) options.push('--test-isolation=none');
  const sandbox = isSandboxed ? ['build/host/sandboxed.ts', process.execPath] : [];
  const env = {
    ...process.env,
    WGDRIVER_LAB_TIMES: labTimes,
    // Each file of tests is a process, and would take the types off the same sources again.
    NODE_COMPILE_CACHE: join(folder, 'compiled'),
    ...(isFull ? { WGDRIVER_TEST_FULL: 'yes' } : {}),
  };
  // The guests print as they go, and what runs beside them whole.
  const isPrintedLater = shared.includes(name) && name !== 'guests';
  const output = isPrintedLater ? openSync(join(folder, name), 'w+') : 'inherit';
  console.log(`\n=== ${name}${isPrintedLater ? ' begins' : ''}`);
  const child = spawn(process.execPath, [...sandbox, ...options, ...files], {
    stdio: ['inherit', output, output],
    env,
  });
  const [status] = await once(child, 'exit');
  if (isPrintedLater) {
    console.log(`\n=== ${name}\n${readFileSync(join(folder, name), 'utf8')}`);
  }
  return status === 0 ? 'passed' : 'failed';
}

/** Does the tasks of a tier, each once. @returns whether all were done */
function prepared(name: TierName): boolean {
  const { tasks, fullTasks = [] } = tiers[name];
  return [...tasks, ...(isFull ? fullTasks : [])].every((task) => ensure(task));
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
