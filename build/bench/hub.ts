/**
 * `npm run bench -- hub [PEERS [ROUNDS]]`: how long `wgdriver hub` takes to load many peers, beside `wg setconf` with the
 * same keys on a link that is up, as the hub's is; what one more takes, also where there are a tenth as many; and whether a
 * set that a kill has cut short is completed. The keys come of a file for both: their derivation is measured by
 * `npm run bench -- keys`. It fails over 1.2 of `wg setconf`, or if one more costs more the more there are.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, sh } from '../host/commands.ts';
import { type Daemon, startDaemon, untilReady } from '../host/daemon.ts';
import { wgdriver } from '../host/driver.ts';
import { findTunnel } from '../host/tunnel.ts';
import { spreadOf, table } from './figures.ts';

const count = Number(process.argv[2] ?? 65_000);
const rounds = Number(process.argv[3] ?? 3);
const fewer = Math.ceil(count / 10);
const mostRatio = 1.2;
/** Of one more among all and among a tenth: half of what the number itself would make of it. */
const mostGrowth = 5;
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
const writeKeys = (many: number) =>
  writeFile(
    file,
    peers
      .slice(0, many)
      .map(({ address, key }) => `${address} ${key}\n`)
      .join(''),
  );
await writeFile(
  setconf,
  // With a private key, as a hub has one: the kernel computes a secret with it for each peer that it gets.
  `[Interface]\nPrivateKey = ${randomBytes(32).toString('base64')}\n${peers
    .map(({ address, key }) => `[Peer]\nPublicKey = ${key}\nAllowedIPs = ${address}/32\n`)
    .join('')}`,
);
const writeConfig = (clients: string) =>
  writeFile(config, `networks:\n  app: { subnet: 10.1.0.0/16, publickeysfile: keys }\n${clients}`);
const options = ['--config', config, '--state-dir', join(folder, 'state'), '--backend', backend];

const start = () => startDaemon(wgdriver, ['hub', 'serve', ...options]);
const serving = (hub: Daemon) =>
  untilReady(hub, 'the hub serves', () => hub.output().includes(' serving '), patienceMs);
const present = async () => Number(await sh('wg show wg0 peers | wc -l'));
const seconds = async (task: () => Promise<unknown>) => {
  const started = performance.now();
  await task();
  return (performance.now() - started) / 1000;
};

/** A link of its own with the peers, and away again. */
async function bySetconf(): Promise<number> {
  // As the hub has it, else each peer takes a thread of the kernel. It is refused where there is no peer yet.
  await sh(
    `${create}; ip link set "$1" up; wg set "$1" peer "$2"
     [ ! -e "/sys/class/net/$1/threaded" ] || echo 0 >"/sys/class/net/$1/threaded"`,
    'wg-many',
    peers[0]?.key ?? '',
  );
  const took = await seconds(() => run('wg', ['setconf', 'wg-many', setconf]));
  await sh('ip link delete wg-many');
  return took;
}

/** A hub of so many peers, from the start of the program on a machine without the link, until it serves. */
async function startHub(many: number): Promise<{ hub: Daemon; took: number; more: number }> {
  await writeKeys(many);
  await writeConfig('');
  const hub = start();
  const took = await seconds(() => serving(hub));
  const loaded = await present();
  if (loaded !== many) {
    throw new Error(`${loaded} peers in place of ${many}:\n${hub.output()}`);
  }
  await writeConfig(
    `clients:\n  one: { address: 10.2.0.1, publickey: ${randomBytes(32).toString('base64')} }\n`,
  );
  const more = await seconds(async () => {
    process.kill(hub.pid, 'SIGHUP');
    await untilReady(hub, 'one more', () => / hub loaded .*changes=1 /.test(hub.output()), patienceMs);
  });
  return { hub, took, more };
}

async function end(hub: Daemon): Promise<void> {
  await hub.stop('SIGKILL');
  await run(wgdriver, ['hub', 'down', ...options]);
}

/**
 * Killed with a part of the peers set, and started again. To ask whether they are there would wait for the link, which gets
 * them all meanwhile; so it is killed when half the time is over that it takes.
 * @param whole what a start took, in seconds
 * @returns how long the next one took, in seconds
 */
async function completed(whole: number): Promise<number> {
  await writeConfig('');
  const killed = start();
  await sleep((1000 * whole) / 2);
  await killed.stop('SIGKILL');
  const before = await present();
  const hub = start();
  const took = await seconds(() => serving(hub));
  if ((await present()) !== count) {
    throw new Error(`a set that was cut short at ${before} was not completed:\n${hub.output()}`);
  }
  console.log(`killed with ${before} of ${count} peers, completed ${took.toFixed(1)} s after the next start`);
  await end(hub);
  return took;
}

async function byHub() {
  const small = await startHub(fewer);
  await end(small.hub);
  const { hub, took, more } = await startHub(count);
  const memory = Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${hub.pid}/status`, 'utf8'))?.[1]) / 1024;
  await end(hub);
  return { took, more, moreOfFewer: small.more, memory, again: await completed(took) };
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
      `one more of ${fewer}, s`,
      'most memory, MB',
      'completed after a kill, s',
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
          hubs.map(({ moreOfFewer }) => moreOfFewer),
          2,
        ),
        middle(
          hubs.map(({ memory }) => memory),
          0,
        ),
        middle(hubs.map(({ again }) => again)),
      ],
    ],
  ),
);
const growth = spreadOf(hubs.map(({ more, moreOfFewer }) => more / moreOfFewer)).median;
console.log(
  `ratio ${ratio.toFixed(2)} (at most ${mostRatio}); one more takes ${growth.toFixed(1)} times of what it takes among a ` +
    `tenth of the peers (less than ${mostGrowth})`,
);
process.exitCode = ratio > mostRatio || growth >= mostGrowth ? 1 : 0;
