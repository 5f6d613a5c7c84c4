/**
 * `npm run bench start [ROUNDS]`: how long the driver takes to start, beside its bare runtime. All in turns in
 * one run; how long a runtime takes is the machine's doing, so only the ratios say something of the driver. Fails if
 * the executable takes 1.5 times its runtime.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { executable, wgdriver } from '../host/driver.ts';
import { spreadOf, table } from './figures.ts';

const rounds = Number(process.argv[2] ?? 30);
const runtimes = resolve('test/runtimes/node_modules');
const node = `${runtimes}/node26/bin/node`;
const deno = [`${runtimes}/deno/deno`, 'run', '--allow-all'] as const;
const serve = ['serve', '--backend=netlink'];

type Command = readonly [file: string, ...args: string[]];

/** Each with the line that says that it has started, or undefined: then it ends by itself. */
const starts: Readonly<Record<string, readonly [command: Command, line: RegExp | undefined]>> = {
  'node -e 0': [[node, '-e', '0'], undefined],
  'the executable: --version': [[executable, '--version'], undefined],
  'the executable: serve, until it serves': [[executable, ...serve], / serving /],
  'the bundle on Node 26: --version': [[node, wgdriver, '--version'], undefined],
  'the bundle on Node 26: serve': [[node, wgdriver, ...serve], / serving /],
  'the bundle on Deno: --version': [[...deno, wgdriver, '--version'], undefined],
  'the bundle on Deno: serve': [[...deno, wgdriver, ...serve], / serving /],
};

const times = new Map<string, number[]>(Object.keys(starts).map((what) => [what, []]));
for (let round = 0; round < rounds; round += 1) {
  for (const [what, [command, line]] of Object.entries(starts)) {
    times.get(what)?.push(await startOf(command, line));
  }
}

const bare = spreadOf(times.get('node -e 0') ?? []);
const rows = [...times].map(([what, all]) => {
  const { median, low, high } = spreadOf(all);
  return [
    what,
    median.toFixed(0),
    `${low.toFixed(0)} to ${high.toFixed(0)}`,
    (median / bare.median).toFixed(2),
  ];
});
const ofExecutable = spreadOf(times.get('the executable: --version') ?? []);
process.exitCode = ofExecutable.median < 1.5 * bare.median ? 0 : 1;
console.log(table([`start (${rounds} each)`, 'median, ms', 'middle half, ms', 'of node -e 0'], rows));

/** Milliseconds until a program has started. */
async function startOf([file, ...args]: Command, line: RegExp | undefined): Promise<number> {
  const started = performance.now();
  const child = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit');
  if (line === undefined) {
    await ended;
    return performance.now() - started;
  }
  let output = '';
  for await (const chunk of child.stderr) {
    output += chunk;
    if (line.test(output)) {
      break;
    }
  }
  const time = performance.now() - started;
  child.kill();
  await ended;
  if (!line.test(output)) {
    throw new Error(`${[file, ...args].join(' ')}: ${output}`);
  }
  return time;
}
