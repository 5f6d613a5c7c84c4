/**
 * `npm run bench -- steady [CONTAINERS] [SECONDS]`: what a driver costs that has nothing to do but to look after its containers,
 * what `status` takes, and how long all take to follow a hub that moves. A real driver and a real hub; network namespaces
 * stand in for the containers of an engine, and send nothing but keepalives.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, sh, until } from '../host/commands.ts';
import { startDaemon, untilReady } from '../host/daemon.ts';
import { wgdriver } from '../host/driver.ts';
import { findTunnel } from '../host/tunnel.ts';
import { table } from './figures.ts';
import { call, startNamespace } from './namespaces.ts';

const count = Number(process.argv[2] ?? 300);
const seconds = Number(process.argv[3] ?? 240);
const hubName = 'hub.example';
const folder = await mkdtemp(join(tmpdir(), 'wgdriver-steady-'));
const { backend } = await findTunnel();
const seedFile = join(folder, 'app.seed');
await writeFile(seedFile, randomBytes(32).toString('base64'));
const file = join(folder, 'hub.yaml');
await writeFile(
  file,
  `networks:\n  app: { subnet: 192.168.0.0/16, seedfiles: [app.seed], peers: ${count} }\n`,
);

await sh(
  `ip netns add hub; ip -n hub link set lo up
   ip link add out type veth peer name eth0 netns hub
   ip address add 10.99.0.1/24 dev out; ip link set out up
   ip -n hub address add 10.99.0.2/24 dev eth0; ip -n hub link set eth0 up
   touch ${folder}/hosts; mount --bind ${folder}/hosts /etc/hosts`,
);
await nameHub('10.99.0.2');
const hubOptions = ['--config', file, '--state-dir', join(folder, 'state'), '--backend', backend];
const hub = startDaemon('ip', ['netns', 'exec', 'hub', wgdriver, 'hub', 'serve', ...hubOptions]);
await untilReady(hub, 'the hub serves', () => hub.output().includes(' serving '));
// By this very Node, which speaks netlink.
const driver = startDaemon(process.execPath, [wgdriver, 'serve', '--backend', backend]);
await untilReady(driver, 'wgdriver serves', () => driver.output().includes(' serving '));
const showHub = (what: string) => run('ip', ['netns', 'exec', 'hub', 'wg', 'show', 'wg0', what]);

const atStart = await usage();
await call('CreateNetwork', {
  NetworkID: 'n',
  Options: {
    'com.docker.network.generic': {
      'io.bestov.wg.peer': `${hubName}:51820`,
      'io.bestov.wg.peerkey': (await showHub('public-key')).trim(),
      'io.bestov.wg.seedfile': seedFile,
    },
  },
  IPv4Data: [{ AddressSpace: '', Pool: '192.168.0.0/16', Gateway: '192.168.0.1/16' }],
  IPv6Data: [],
});
for (let i = 0; i < count; i += 1) {
  const { name } = await startNamespace(i);
  await run('ip', ['-n', name, 'route', 'add', 'default', 'via', '192.168.0.1']);
}
await untilAllHeard(new Map());
console.error(`${count} containers are there`);

await sleep(20_000);
const before = await usage();
await sleep(seconds * 1000);
const after = await usage();
const perHour = (used: number) => ((used * 3600) / seconds).toFixed(0);

const statusMs: number[] = [];
for (let i = 0; i < 3; i += 1) {
  const started = performance.now();
  await run(process.execPath, [wgdriver, 'status']);
  statusMs.push(performance.now() - started);
}

// The hub goes to another address, and its name with it.
const started = performance.now();
await sh(
  'ip -n hub address add 10.99.0.3/24 dev eth0; ip -n hub address delete 10.99.0.2/24 dev eth0; ip -n hub address replace 10.99.0.3/24 dev eth0',
);
// What comes now comes to the new address.
const heardBefore = await heard();
await nameHub('10.99.0.3');
await untilAllHeard(heardBefore);
const movedSeconds = (performance.now() - started) / 1000;

console.log(
  table(
    [`${count} containers, ${backend}, Node ${process.version}, ${seconds} s`, ''],
    [
      ['CPU seconds an hour, the driver itself', perHour(after.own - before.own)],
      ['CPU seconds an hour, programs that it ran', perHour(after.children - before.children)],
      ['resident memory at start, MB', atStart.megabytes.toFixed(0)],
      ['resident memory, MB', after.megabytes.toFixed(0)],
      ['`wgdriver status`, the quickest of three, s', (Math.min(...statusMs) / 1000).toFixed(2)],
      ['a hub that moves: all back after, s', movedSeconds.toFixed(0)],
    ],
  ),
);
process.exit(0);

async function nameHub(address: string): Promise<void> {
  await writeFile('/etc/hosts', `127.0.0.1 localhost\n${address} ${hubName}\n`);
}

/** The bytes that the hub has received of each container. */
async function heard(): Promise<Map<string, number>> {
  const lines = (await showHub('transfer')).trim().split('\n');
  return new Map(lines.map((line) => line.split('\t')).map(([key = '', bytes]) => [key, Number(bytes)]));
}

async function untilAllHeard(than: ReadonlyMap<string, number>): Promise<void> {
  const isHeard = async () => {
    const now = await heard();
    return now.size === count && [...now].every(([key, bytes]) => bytes > (than.get(key) ?? 0));
  };
  await until('the hub to hear every container', isHeard, 300_000);
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
