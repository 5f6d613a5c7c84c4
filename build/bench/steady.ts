/**
 * `npm run bench -- steady [CONTAINERS] [SECONDS]`: what a driver costs that has nothing to do but to look after its containers,
 * what `status` takes, and how long all take to follow a hub that moves. A real driver and a real hub; network namespaces
 * stand in for the containers of an engine, and send nothing but keepalives. WGDRIVER_BENCH_BUNDLE names the bundle of another
 * driver, as of 0.1.0, which has no `status` and follows no hub.
 */
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, sh } from '../host/commands.ts';
import { startDaemon, untilReady } from '../host/daemon.ts';
import { wgdriver as ownBundle } from '../host/driver.ts';
import { allowInotify } from '../host/inotify.ts';
import { startMovingHub } from '../host/moving-hub.ts';
import { startNamespace } from '../host/namespaces.ts';
import { findTunnel } from '../host/tunnel.ts';
import { table } from './figures.ts';

const count = Number(process.argv[2] ?? 300);
const seconds = Number(process.argv[3] ?? 240);
const hubName = 'hub.example';
const bundle = process.env.WGDRIVER_BENCH_BUNDLE ?? ownBundle;
const folder = await mkdtemp(join(tmpdir(), 'wgdriver-steady-'));
const { backend } = await findTunnel();
const restoreInotify = await allowInotify(count + 256);
await sh(`touch ${folder}/hosts; mount --bind ${folder}/hosts /etc/hosts`);
const hub = await startMovingHub(folder, count);
await nameHub(hub.addresses[0]);
// By this very Node, which speaks netlink.
const driver = startDaemon(process.execPath, [bundle, 'serve', '--backend', backend]);
await untilReady(driver, 'wgdriver serves', () => driver.output().includes(' serving '));

const atStart = await usage();
await hub.createNetwork(hubName);
const containers: string[] = [];
for (let i = 0; i < count; i += 1) {
  const { name, address } = await startNamespace(i);
  containers.push(address);
  await run('ip', ['-n', name, 'route', 'add', 'default', 'via', '192.168.0.1']);
}
await hub.untilHeard(containers, new Map(), 300_000);
console.error(`${count} containers are there`);

await sleep(20_000);
const before = await usage();
await sleep(seconds * 1000);
const after = await usage();
const perHour = (used: number) => ((used * 3600) / seconds).toFixed(0);

const statusMs: number[] = [];
for (let i = 0; bundle === ownBundle && i < 3; i += 1) {
  const started = performance.now();
  await run(process.execPath, [bundle, 'status']);
  statusMs.push(performance.now() - started);
}

// The hub goes to another address, and its name with it.
const started = performance.now();
await hub.move(hub.addresses[1]);
// What comes now comes to the new address.
const heardBefore = await hub.heard();
await nameHub(hub.addresses[1]);
const isFollowed = await hub.untilHeard(containers, heardBefore, 300_000).then(
  () => true,
  () => false,
);
const movedSeconds = (performance.now() - started) / 1000;

console.log(
  table(
    [`${count} containers, ${backend}, Node ${process.version}, ${seconds} s`, ''],
    [
      ['CPU seconds an hour, the driver itself', perHour(after.own - before.own)],
      ['CPU seconds an hour, programs that it ran', perHour(after.children - before.children)],
      ['resident memory at start, MB', atStart.megabytes.toFixed(0)],
      ['resident memory, MB', after.megabytes.toFixed(0)],
      [
        '`wgdriver status`, the quickest of three, s',
        statusMs.length === 0 ? '-' : (Math.min(...statusMs) / 1000).toFixed(2),
      ],
      ['a hub that moves: all back after, s', isFollowed ? movedSeconds.toFixed(0) : 'not in 300'],
    ],
  ),
);
await restoreInotify();
process.exit(0);

async function nameHub(address: string): Promise<void> {
  await writeFile('/etc/hosts', `127.0.0.1 localhost\n${address} ${hubName}\n`);
}

/** Of the driver: seconds of processor time, and what it has in memory. proc(5). */
async function usage(): Promise<{ own: number; children: number; megabytes: number }> {
  const stat = await readFile(`/proc/${driver.pid}/stat`, 'utf8');
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [user = 0, system = 0, ofChildren = 0, systemOfChildren = 0] = fields.slice(11, 15);
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${driver.pid}/status`, 'utf8')) ?? [];
  // USER_HZ is 100.
  return {
    own: (user + system) / 100,
    children: (ofChildren + systemOfChildren) / 100,
    megabytes: Number(kilobytes) / 1024,
  };
}
