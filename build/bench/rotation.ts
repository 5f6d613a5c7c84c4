/**
 * `npm run bench -- rotation [CONTAINERS]`: what a rotation costs containers with traffic both ways. It fails if one of them
 * loses more than a second, or not more than half of them lose nothing. A real driver and a
 * real hub, each told to take a new seed; network namespaces stand in for the containers of an engine. Each pings the hub
 * twice a second, and the hub each of them. The same is measured before, when nothing is done: a busy machine
 * loses replies by itself.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, sh, until } from '../host/commands.ts';
import { startDaemon, untilReady } from '../host/daemon.ts';
import { startDriver, wgdriver } from '../host/driver.ts';
import { allowInotify } from '../host/inotify.ts';
import { call, startNamespace } from '../host/namespaces.ts';
import { findTunnel } from '../host/tunnel.ts';
import { spreadOf, table } from './figures.ts';

const count = Number(process.argv[2] ?? 300);
const restMs = 10_000;
const [hubAddress, hub] = ['192.168.0.1', '/run/netns/hub'];
const seedOf = () => randomBytes(32).toString('base64');

/** Pings, and what came of them since it was asked the last time. */
interface Pings {
  readonly period: number;
  replies: number;
  lost: number;
  /** Milliseconds. */
  longest: number;
}

const folder = await mkdtemp(join(tmpdir(), 'wgdriver-rotation-'));
const { backend } = await findTunnel();
const file = join(folder, 'hub.yaml');
const hubOptions = ['--config', file, '--state-dir', join(folder, 'state'), '--backend', backend];
const [oldSeed, newSeed, ofHost] = ['old.seed', 'new.seed', 'app.seed'].map((name) => join(folder, name)) as [
  string,
  string,
  string,
];
const [first, second] = [seedOf(), seedOf()];
await writeFile(oldSeed, first);
await writeFile(newSeed, second);
await writeFile(ofHost, first);
const writeHub = (seeds: string) =>
  writeFile(file, `networks:\n  app: { subnet: 192.168.0.0/16, seedfiles: [${seeds}], peers: ${count} }\n`);

await sh(
  `ip netns add hub; ip -n hub link set lo up
   ip link add out type veth peer name eth0 netns hub
   ip address add 10.99.0.1/24 dev out; ip link set out up
   ip -n hub address add 10.99.0.2/24 dev eth0; ip -n hub link set eth0 up`,
);
await writeHub('old.seed');
const serve = startDaemon('ip', ['netns', 'exec', 'hub', wgdriver, 'hub', 'serve', ...hubOptions]);
await untilReady(serve, 'the hub serves', () => serve.output().includes(' serving '));
await startDriver('--backend', backend);
await call('CreateNetwork', {
  NetworkID: 'n',
  Options: {
    'com.docker.network.generic': {
      'io.bestov.wg.peer': '10.99.0.2:51820',
      'io.bestov.wg.peerkey': await run('ip', ['netns', 'exec', 'hub', 'wg', 'show', 'wg0', 'public-key']),
      'io.bestov.wg.seedfile': ofHost,
      'io.bestov.wg.killswitch': 'off',
    },
  },
  IPv4Data: [{ AddressSpace: '', Pool: '192.168.0.0/16', Gateway: `${hubAddress}/16` }],
  IPv6Data: [],
});

const restoreInotify = await allowInotify(count + 256);
const pings: Pings[] = [];
for (let i = 0; i < count; i += 1) {
  const { name, address } = await startNamespace(i);
  pings.push(startPings(`/run/netns/${name}`, hubAddress, 0.5));
  await until('a reply', () => (pings.at(-1)?.replies ?? 0) > 0, 60_000);
  pings.push(startPings(hub, address, 0.5));
}

await writeHub('new.seed, old.seed');
await until('the second epoch', () => serve.output().includes('a key rotation is under way'), 120_000);
await sleep(5000);
taken();
await sleep(restMs);
const atRest = taken();

await writeFile(ofHost, second);
const started = performance.now();
const said = await run(wgdriver, ['reload']);
const reloadMs = performance.now() - started;
await until('all to have moved', () => / addresses moved .*onOldKeys=0\n/.test(serve.output()), 120_000);
const movedMs = performance.now() - started;
await sleep(Math.max(0, restMs - movedMs));
const during = taken();

console.log(said);
console.log(
  `reload: ${(reloadMs / 1000).toFixed(1)} s; all had moved after ${(movedMs / 1000).toFixed(1)} s`,
);
console.log(
  table(
    [
      `${count} containers, ${backend}`,
      'lost nothing',
      'lost at most 1 s',
      'lost more',
      'longest loss, s',
      'sum, s',
    ],
    [rowOf('nothing is done', atRest), rowOf('the rotation', during)],
  ),
);
const worst = worstOf(during);
const isKept = worst.every((loss) => loss <= 1) && worst.filter((loss) => loss === 0).length > count / 2;
console.log(`no container may lose more than a second, and most nothing: ${isKept ? 'so it is' : 'missed'}`);
await restoreInotify();
process.exit(isKept ? 0 : 1);

function startPings(netns: string, address: string, period: number): Pings {
  const child = spawn('nsenter', [`--net=${netns}`, 'ping', '-i', String(period), address], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const own = { period, replies: 0, lost: 0, longest: 0 };
  let last = 0;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    for (const [, number] of text.matchAll(/bytes from .*icmp_seq=(\d+)/g)) {
      const missing = Math.max(0, Number(number) - last - 1);
      own.replies += 1;
      own.lost += missing;
      own.longest = Math.max(own.longest, missing);
      last = Math.max(last, Number(number));
    }
  });
  return own;
}

/** What was lost, in seconds, of each ping since the last time. */
function taken(): readonly { readonly lost: number; readonly longest: number }[] {
  return pings.map((own) => {
    const { lost, longest, period } = own;
    Object.assign(own, { lost: 0, longest: 0 });
    return { lost: lost * period, longest: longest * period };
  });
}

/** The longest loss of each container, in seconds. */
function worstOf(losses: ReturnType<typeof taken>): number[] {
  // A container's two directions are neighbours.
  return losses.flatMap(({ longest }, i) =>
    i % 2 === 0 ? Math.max(longest, losses[i + 1]?.longest ?? 0) : [],
  );
}

function rowOf(what: string, losses: ReturnType<typeof taken>): string[] {
  const worst = worstOf(losses);
  return [
    what,
    worst.filter((loss) => loss === 0).length,
    worst.filter((loss) => loss > 0 && loss <= 1).length,
    worst.filter((loss) => loss > 1).length,
    spreadOf(worst).most.toFixed(1),
    losses.reduce((sum, { lost }) => sum + lost, 0).toFixed(1),
  ].map(String);
}
