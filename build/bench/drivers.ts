/**
 * In a guest, as root: what the driver costs where it is felt, side by side in one run: with the kill switch and without,
 * beside 0.1.0 where its bundle is, beside the kernel's own part (floor) and beside containers that have no tunnel. The last
 * line is all of it in JSON.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { parseAddress, parsePrefix } from '../../src/wireguard/address.ts';
import { run } from '../host/commands.ts';
import { type Daemon, startDaemon, untilReady } from '../host/daemon.ts';
import { wgdriver } from '../host/driver.ts';
import { importTestImage, testImage } from '../host/engine.ts';
import { type Host, startHost } from '../host/host.ts';
import { spreadOf, table } from './figures.ts';
import { floorCycle, openFloor } from './floor.ts';
import { makeSandbox } from './sandbox.ts';
import { createNetwork, processorMs, residentMegabytes, type Served, serve } from './served.ts';
import { onPlainLink, pingFromContainer, startPlainLink, throughput } from './streams.ts';
import { judge, type Measured, targetsOf } from './targets.ts';

const rounds = Number(process.argv[2] ?? 30);
const runRounds = Number(process.argv[3] ?? rounds);
const containers = Number(process.argv[5] ?? 500);
/** Life cycles in each round, between two looks at the processor time, which the kernel has in ticks of 10 ms. */
const burst = 4;
const atOnce = 8;
const manyEndpoints = Number(process.argv[4] ?? 1000);
/** As an engine that has something else to do. */
const pauseMs = 30;
const gateway = parseAddress('10.9.0.1') ?? fail();

const trafficRounds = Math.ceil(runRounds / 3);

let about = `Kernel ${release()}, ${cpus().length === 1 ? 'one processor' : `${cpus().length} processors`}, Node ${process.version}, ${rounds} rounds`;
const measured: Measured = {};
let lastAddress = 1;

interface Driver extends Served {
  readonly networks: Readonly<Record<'off' | 'on', string>>;
}

for (const part of [measureCalls, measureMemory, measureStart, measureRuns]) {
  // What fails keeps no other figures from being told.
  await part().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
}

console.log(`${about}\n`);
console.log(
  table(
    ['what', 'times', 'median', 'middle half'],
    Object.entries(measured).map(([what, all]) => {
      const { median, low, high } = spreadOf(all);
      return [what, String(all.length), median.toFixed(2), `${low.toFixed(2)} to ${high.toFixed(2)}`];
    }),
  ),
);
const judged = targetsOf(measured).map(judge);
console.log(`\n${table(['target', 'at most', 'here', ''], judged)}\n`);
console.log(JSON.stringify({ about, measured }));
process.exit();

async function measureCalls(): Promise<void> {
  const drivers: Record<string, Driver> = { now: await networked(await serve('now', 'netlink')) };
  const old = '/root/wgdriver-0.1.0.mjs';
  if (existsSync(old)) {
    drivers['0.1.0'] = await networked(await serve('old', 'netlink', old));
  }
  const floor = await openFloor();
  // The first calls of a program are slow, and no user has only those.
  for (let round = -2; round < rounds; round += 1) {
    const note = round < 0 ? () => {} : noteOf;
    for (const [name, driver] of Object.entries(drivers)) {
      for (const killswitch of ['off', 'on'] as const) {
        const title = `${name}, killswitch=${killswitch}`;
        const before = processorMs(driver.daemon);
        for (let i = 0; i < burst; i += 1) {
          await lifeCycle(driver, killswitch, (method, ms) => note(`${method}, ${title}, ms`, ms));
        }
        note(`processor time of a life cycle, ${title}, ms`, (processorMs(driver.daemon) - before) / burst);
      }
      note(`CreateEndpoint, ${atOnce} at once, ${name}, ms`, await createTogether(driver));
    }
    const { join, deletion } = floorCycle(floor);
    note('Join, floor, ms', join);
    note('DeleteEndpoint, floor, ms', deletion);
  }
  for (let round = 0; round < rounds / 10; round += 1) {
    for (const together of [1, 8, 32]) {
      for (const [name, driver] of Object.entries(drivers)) {
        noteOf(`life cycles a second, ${together} at once, ${name}`, await cyclesPerSecond(driver, together));
      }
    }
  }
  await Promise.all(Object.values(drivers).map(({ daemon }) => daemon.stop()));
}

async function networked(served: Served): Promise<Driver> {
  const { call } = served;
  return {
    ...served,
    networks: { off: await createNetwork(call, 'off'), on: await createNetwork(call, 'on') },
  };
}

/** As engines from 28 on go about it: the namespace is there before Join, which waits for the protection. */
async function lifeCycle(
  { call, networks }: Driver,
  killswitch: 'off' | 'on',
  note: (method: string, ms: number) => void,
  pause = pauseOfEngine,
): Promise<void> {
  const { address, ids } = newEndpoint(networks[killswitch]);
  const sandbox = makeSandbox();
  const timed = async (method: string, body: object) => {
    const started = performance.now();
    const answer = await call(method, body);
    note(method, performance.now() - started);
    return answer;
  };
  await timed('CreateEndpoint', { ...ids, Interface: { Address: address }, Options: {} });
  sandbox.arrive();
  const joined = await timed('Join', { ...ids, SandboxKey: sandbox.path, Options: {} });
  const { SrcName } = (joined as { InterfaceName: { SrcName: string } }).InterfaceName;
  await pause();
  await sandbox.takeLink(SrcName, parsePrefix(address) ?? fail(), gateway);
  await timed('EndpointOperInfo', ids);
  await pause();
  await timed('Leave', ids);
  await sandbox.giveLinkBack(SrcName);
  await timed('DeleteEndpoint', ids);
  await sandbox.end();
  await pause();
}

/** With the kill switch, and with what an engine and a container do with the link. */
async function cyclesPerSecond(driver: Driver, together: number): Promise<number> {
  const cycles = 64;
  const started = performance.now();
  const one = async () => {
    for (let i = 0; i < cycles / together; i += 1) {
      await lifeCycle(
        driver,
        'on',
        () => {},
        async () => {},
      );
    }
  };
  await Promise.all(Array.from({ length: together }, one));
  return (1000 * cycles) / (performance.now() - started);
}

function newEndpoint(networkId: string) {
  lastAddress = (lastAddress % 60_000) + 2;
  const address = `10.9.${lastAddress >> 8}.${lastAddress & 255}/16`;
  return { address, ids: { NetworkID: networkId, EndpointID: randomBytes(32).toString('hex') } };
}

async function createTogether({ call, networks }: Driver): Promise<number> {
  const all = Array.from({ length: atOnce }, () => newEndpoint(networks.off));
  const started = performance.now();
  await Promise.all(
    all.map(({ address, ids }) =>
      call('CreateEndpoint', { ...ids, Interface: { Address: address }, Options: {} }),
    ),
  );
  const ms = performance.now() - started;
  await Promise.all(all.map(({ ids }) => call('DeleteEndpoint', ids)));
  return ms;
}

async function measureMemory(): Promise<void> {
  const server =
    "require('node:http').createServer().listen('/run/bench-bare.sock', () => console.log('ready'))";
  const bare = startDaemon('node', ['-e', server]);
  await untilReady(bare, 'a bare server listens', () => bare.output().includes('ready'));
  const driver = await serve('memory', 'netlink');
  await settle();
  noteOf('memory of a bare node:http server, MB', residentMegabytes(bare));
  noteOf('memory of serve, idle, MB', residentMegabytes(driver.daemon));
  const network = await createNetwork(driver.call, 'off');
  const endpoints: object[] = [];
  for (let i = 0; i < manyEndpoints; i += 1) {
    const { address, ids } = newEndpoint(network);
    await driver.call('CreateEndpoint', { ...ids, Interface: { Address: address }, Options: {} });
    await driver.call('Join', { ...ids, SandboxKey: '', Options: {} });
    endpoints.push(ids);
  }
  await settle();
  noteOf(`memory of serve, ${manyEndpoints} joined, MB`, residentMegabytes(driver.daemon));
  // What comes next is not to be slow for their links.
  for (const ids of endpoints) {
    await driver.call('DeleteEndpoint', ids);
  }
  await Promise.all([bare, driver.daemon].map((daemon: Daemon) => daemon.stop('SIGKILL')));
}

async function measureStart(): Promise<void> {
  const starts = {
    'node -e 0, ms': ['-e', '0'],
    'start to the socket, ms': [
      wgdriver,
      'serve',
      '--backend=netlink',
      '--name=bench-start',
      '--state-dir=/run/bench-start',
    ],
  };
  for (let round = 0; round < Math.min(rounds, 10); round += 1) {
    for (const [what, words] of Object.entries(starts)) {
      const started = performance.now();
      const child = spawn('node', words, { stdio: ['ignore', 'ignore', 'pipe'] });
      const ended = once(child, 'exit');
      for await (const chunk of child.stderr) {
        if (String(chunk).includes(' listening ')) {
          break;
        }
      }
      const ms = performance.now() - started;
      child.kill();
      await ended;
      noteOf(what, ms);
    }
  }
}

async function measureRuns(): Promise<void> {
  if (runRounds === 0) {
    return;
  }
  const host = await startHost();
  await importTestImage(host.engine, ['iperf3', 'ping']);
  const floor = startDaemon('node', ['build/bench/floor-driver.ts', '/run/docker/plugins/floor.sock']);
  await untilReady(floor, 'the floor’s driver listens', () => floor.output().includes('ready'));
  await host.createNetwork('wgon');
  await host.createNetwork('wgoff', { subnet: '192.168.6.0/24', options: { killswitch: 'off' } });
  await host.createNetwork('wgstrict', { subnet: '192.168.7.0/24', options: { killswitch: 'strict' } });
  await host.engine.docker('network', 'create', '-d', 'floor', '--subnet=192.168.8.0/24', 'wgfloor');
  await host.engine.docker('network', 'create', 'bridged');
  about = `${about}, engine ${host.engine.version}`;
  const networks = {
    none: 'none',
    bridge: 'bridged',
    floor: 'wgfloor',
    'ours, killswitch=off': 'wgoff',
    'ours, killswitch=on': 'wgon',
    'ours, killswitch=strict': 'wgstrict',
  };
  for (let round = -1; round < runRounds; round += 1) {
    // In another order each time, so that none is always behind the same.
    const all = Object.entries(networks);
    for (const [title, network] of round % 2 === 0 ? all : all.reverse()) {
      const started = performance.now();
      await host.engine.docker('run', '--rm', '--dns=192.168.5.1', `--network=${network}`, testImage, 'true');
      if (round >= 0) {
        noteOf(`docker run, ${title}, ms`, performance.now() - started);
      }
    }
  }
  await measureTraffic(host);
  await measureMany(host);
  await host.clear();
  await floor.stop();
  await host.close();
}

/** The hub knows the keys of one subnet, so both networks have that, one after the other. */
async function measureTraffic(host: Host): Promise<void> {
  const server = startDaemon('ip', ['netns', 'exec', 'hub', 'iperf3', '--server']);
  await startPlainLink(host);
  for (const killswitch of ['on', 'off']) {
    await host.clear();
    await host.createNetwork('wgnet', { options: { killswitch } });
    for (let round = 0; round < trafficRounds; round += 1) {
      const started = performance.now();
      await pingFromContainer(host, 'wgnet');
      noteOf(`docker run and first ping, killswitch=${killswitch}, ms`, performance.now() - started);
    }
    await host.startContainer('one', '--network=wgnet');
    await host.ping('one', host.hub.address);
    for (let round = 0; round < trafficRounds; round += 1) {
      for (const streams of [1, 8]) {
        const plain = await throughput(host, onPlainLink, streams);
        const ours = await throughput(host, ['docker', 'exec', 'one'], streams);
        const what = `iperf3, ${streams === 1 ? '1 stream' : `${streams} streams`}`;
        noteOf(`${what}, plain WireGuard, Mbit/s`, plain);
        noteOf(`${what}, killswitch=${killswitch}, Mbit/s`, ours);
        noteOf(`${what}, killswitch=${killswitch} / plain, pair by pair`, ours / plain);
      }
    }
  }
  await run('ip', ['netns', 'delete', 'plain']);
  await server.stop();
}

/** As many containers as were asked for, or as fit: each has 10 MB of shim beside it. */
async function measureMany(host: Host): Promise<void> {
  await host.clear();
  await host.createNetwork('wgnet', { subnet: '192.168.4.0/22' });
  const idle = residentMegabytes(host.driver);
  let started = 0;
  try {
    for (; started < containers; started += 1) {
      const begun = performance.now();
      await host.startContainer(`many-${started}`, '--network=wgnet');
      const quarter = 1 + Math.floor((4 * started) / containers);
      noteOf(`docker run -d, quarter ${quarter} of ${containers} containers, ms`, performance.now() - begun);
    }
  } catch (error) {
    console.error(`no more than ${started} containers:`, error);
  }
  noteOf(
    `memory of serve, ${started} containers, above what it had, MB`,
    residentMegabytes(host.driver) - idle,
  );
}

function noteOf(what: string, figure: number): void {
  measured[what] = [...(measured[what] ?? []), figure];
}

function pauseOfEngine(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, pauseMs));
}

/** What a start leaves to do later. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5000));
}

function fail(): never {
  throw new Error('not so');
}
