/**
 * `npm run bench -- hub [PEERS]`: how long `wgdriver hub` takes to load many peers, beside `wg setconf` with the same keys;
 * what one more takes, and what is left to do after a kill in the middle. The keys come of a file for both: their
 * derivation is measured by `npm run bench -- keys`.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, sh, until } from '../host/commands.ts';
import { type Daemon, startDaemon } from '../host/daemon.ts';
import { wgdriver } from '../host/driver.ts';
import { findTunnel } from '../host/tunnel.ts';
import { spreadOf, table } from './figures.ts';

const count = Number(process.argv[2] ?? 65_000);
const rounds = 3;
const patienceMs = 600_000;

const folder = await mkdtemp(join(tmpdir(), 'wgdriver-hub-'));
const { backend, create } = await findTunnel();
const peers = Array.from({ length: count }, (_, i) => ({
  address: `10.1.${(i + 2) >> 8}.${(i + 2) & 255}`,
  key: randomBytes(32).toString('base64'),
}));
const [config, file, setconf] = ['hub.yaml', 'keys', 'peers'].map((name) => join(folder, name)) as [
  string,
  string,
  string,
];
await writeFile(file, peers.map(({ address, key }) => `${address} ${key}\n`).join(''));
await writeFile(
  setconf,
  peers.map(({ address, key }) => `[Peer]\nPublicKey = ${key}\nAllowedIPs = ${address}/32\n`).join(''),
);
const writeConfig = (clients: string) =>
  writeFile(config, `networks:\n  app: { subnet: 10.1.0.0/16, publickeysfile: keys }\n${clients}`);
const options = ['--config', config, '--state-dir', join(folder, 'state'), '--backend', backend];

const start = () => startDaemon(wgdriver, ['hub', 'serve', ...options]);
const serving = (hub: Daemon) =>
  until('the hub serves', () => hub.hasEnded || hub.output().includes(' serving '), patienceMs);
const present = async () => Number(await sh('wg show wg0 peers | wc -l'));
const seconds = async (task: () => Promise<unknown>) => {
  const started = performance.now();
  await task();
  return (performance.now() - started) / 1000;
};

/** A link of its own with the peers, and away again. */
async function bySetconf(): Promise<number> {
  await sh(create, 'wg-many');
  const took = await seconds(() => run('wg', ['setconf', 'wg-many', setconf]));
  await sh('ip link delete wg-many');
  return took;
}

/** From the start of the program on a machine without the link, until it serves. */
async function byHub(): Promise<{ took: number; more: number; memory: number; again: number }> {
  await writeConfig('');
  let hub = start();
  const took = await seconds(() => serving(hub));
  const loaded = await present();
  if (loaded !== count) {
    throw new Error(`${loaded} peers in place of ${count}:\n${hub.output()}`);
  }
  await writeConfig(
    `clients:\n  one: { address: 10.2.0.1, publickey: ${randomBytes(32).toString('base64')} }\n`,
  );
  const more = await seconds(async () => {
    process.kill(hub.pid, 'SIGHUP');
    await until('one more', () => / hub loaded .*changes=1 /.test(hub.output()), patienceMs);
  });
  const memory = Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${hub.pid}/status`, 'utf8'))?.[1]) / 1024;
  await hub.stop('SIGKILL');
  await run(wgdriver, ['hub', 'down', ...options]);
  // Killed with a part of them set, and started again.
  await writeConfig('');
  hub = start();
  await until('some are there', async () => (await present().catch(() => 0)) > 0, patienceMs);
  await hub.stop('SIGKILL');
  const before = await present();
  hub = start();
  const again = await seconds(() => serving(hub));
  if ((await present()) !== count) {
    throw new Error(`a set that was cut short at ${before} was not completed:\n${hub.output()}`);
  }
  console.log(
    `killed with ${before} of ${count} peers, completed ${again.toFixed(1)} s after the next start`,
  );
  await hub.stop('SIGKILL');
  await run(wgdriver, ['hub', 'down', ...options]);
  return { took, more, memory, again };
}

const plain: number[] = [];
const hubs: Awaited<ReturnType<typeof byHub>>[] = [];
for (let round = 0; round < rounds; round += 1) {
  plain.push(await bySetconf());
  hubs.push(await byHub());
  await sleep(1000);
}
const middle = (figures: readonly number[], digits = 1) => spreadOf(figures).median.toFixed(digits);
const ratio = spreadOf(hubs.map(({ took }, round) => took / (plain[round] ?? Number.NaN))).median;
console.log(
  table(
    [
      'peers',
      'WireGuard',
      '`wg setconf`, s',
      'hub, start to serving, s',
      'ratio',
      'one more, s',
      'most memory, MB',
    ],
    [
      [
        String(count),
        backend,
        middle(plain),
        middle(hubs.map(({ took }) => took)),
        ratio.toFixed(2),
        middle(
          hubs.map(({ more }) => more),
          2,
        ),
        middle(
          hubs.map(({ memory }) => memory),
          0,
        ),
      ],
    ],
  ),
);
process.exitCode = ratio > 1.2 ? 1 : 0;
