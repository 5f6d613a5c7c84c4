/**
 * What the keys of a subnet cost: peers per second by each way there is, in turns, beside a shell loop over
 * `wg pubkey`; and the commands for a whole /16, with their memory. Each way gets a sample that takes it
 * about a second: the slowest would take minutes for a /16.
 */

import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { derivePrivateKey, type KeyScheme } from '../../src/keys/derivation.ts';
import { keyPairsOf } from '../../src/keys/key-pairs.ts';
import { parseRange } from '../../src/keys/ranges.ts';
import { type Address, addressesOf } from '../../src/wireguard/address.ts';
import { Secret } from '../../src/wireguard/secret.ts';
import { implementations } from '../../src/wireguard/x25519.ts';
import { wgdriver } from '../host/driver.ts';
import { spreadOf, table } from './figures.ts';

const rounds = Number(process.argv[2] ?? 5);
const peers = 65_533;
const processors = availableParallelism();
const [loadBefore = 0] = loadavg();

const scheme: KeyScheme = {
  seed: new Secret(randomBytes(32)),
  additional: Buffer.from('bestov.io'),
  derivation: 'sha3-256',
};

interface Way {
  readonly name: string;
  /** How many keys a round makes. */
  readonly sample: number;
  /** Seconds of processors that it took beside those of this process. */
  run(addresses: readonly Address[]): Promise<number> | number;
}

const ways: readonly Way[] = [
  { name: 'the runtime’s X25519, all processors', sample: 32_768, run: (all) => keyPairs(all, processors) },
  { name: 'the runtime’s X25519, one processor', sample: 16_384, run: (all) => keyPairs(all, 0) },
  { name: 'noble', sample: 2048, run: byNoble },
  { name: 'a shell loop over `wg pubkey`', sample: 256, run: byShell },
];

const speeds = new Map<string, number[]>();
const costs = new Map<string, number[]>();
for (let round = 0; round < rounds; round += 1) {
  for (const { name, sample, run } of ways) {
    const addresses = [...addressesOf(parseRange('10.0.0.0/16'))].slice(0, sample);
    const started = performance.now();
    const cpu = process.cpuUsage();
    const elsewhere = await run(addresses);
    const seconds = (performance.now() - started) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    note(speeds, name, sample / seconds);
    note(costs, name, (user + system + elsewhere * 1e6) / sample);
  }
}

console.log(
  `${processors} processors (${cpus()[0]?.model}), Node ${process.version}, ${rounds} rounds; ` +
    `load before ${loadBefore.toFixed(1)}, of which nothing is ours\n`,
);
console.log(
  table(
    ['peers by', 'a second', 'middle half', `for ${peers}, s`, 'processor time each, µs'],
    ways.map(({ name, sample }) => {
      const { median, low, high } = spreadOf(speeds.get(name) ?? []);
      const range = `${low.toFixed(0)} to ${high.toFixed(0)}`;
      const scaled = `${(peers / median).toFixed(1)}, scaled from ${sample}`;
      return [name, median.toFixed(0), range, scaled, spreadOf(costs.get(name) ?? []).median.toFixed(0)];
    }),
  ),
);

const commands: readonly (readonly string[])[] = [
  ['keys', '10.0.0.0/16'],
  ['keys', '10.0.0.0/15'],
  ['endpoint-config', '10.0.0.0/16'],
];
const rows: string[][] = [];
for (const [command = '', subnet = ''] of commands) {
  const { seconds, megabytes } = await runCommand(command, subnet);
  rows.push([`wgdriver ${command} ${subnet}`, seconds.toFixed(1), megabytes.toFixed(0)]);
}
console.log(`\n${table(['command', 's', 'most memory, MB'], rows)}`);

async function keyPairs(addresses: readonly Address[], workers: number): Promise<number> {
  for await (const _ of keyPairsOf(scheme, addresses, workers)) {
    // Each is made as it is taken.
  }
  return 0;
}

function byNoble(addresses: readonly Address[]): number {
  for (const address of addresses) {
    implementations.noble.publicKey(derivePrivateKey(scheme, address).reveal());
  }
  return 0;
}

function byShell(addresses: readonly Address[]): number {
  const loop = 'while read -r key; do printf "%s\\n" "$key" | wg pubkey; done >/dev/null; times';
  const input = addresses.map((address) => `${derivePrivateKey(scheme, address).toBase64()}\n`).join('');
  const times = execFileSync('sh', ['-c', loop], { input, encoding: 'utf8' });
  // User and system, of the shell and of its children.
  return [...times.matchAll(/(\d+)m([\d.]+)s/g)]
    .map(([, minutes, seconds]) => Number(minutes) * 60 + Number(seconds))
    .reduce((sum, seconds) => sum + seconds, 0);
}

function note(figures: Map<string, number[]>, name: string, figure: number): void {
  figures.set(name, [...(figures.get(name) ?? []), figure]);
}

/** Runs the bundle on the Node that runs this; the memory is the most that it ever had resident. */
async function runCommand(
  command: string,
  subnet: string,
): Promise<{ readonly seconds: number; readonly megabytes: number }> {
  const seed = randomBytes(32).toString('base64');
  const started = performance.now();
  const child = spawn(process.execPath, [wgdriver, command, subnet], {
    env: { ...process.env, WGDRIVER_SEED: seed },
    stdio: 'ignore',
  });
  let megabytes = 0;
  const timer = setInterval(() => {
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    megabytes = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? megabytes * 1024) / 1024;
  }, 20);
  const [status] = await once(child, 'exit');
  clearInterval(timer);
  if (status !== 0) {
    throw new Error(`wgdriver ${command} ${subnet}: exit status ${status}`);
  }
  return { seconds: (performance.now() - started) / 1000, megabytes };
}
