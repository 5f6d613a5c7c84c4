/**
 * `npm run bench [ROUNDS]`: what a call costs at the plugin's socket, what a container costs on our network
 * beside others, and the driver's memory. What is compared is interleaved in one run, since machines are
 * noisy; the figures are medians, with the middle half of all rounds as their range.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { requestsTo } from '../../src/engine/request.ts';
import { run } from '../host/commands.ts';
import { executable, pluginSocket, wgdriver } from '../host/driver.ts';
import { testImage } from '../host/engine.ts';
import { startHost } from '../host/host.ts';
import { spreadOf, table } from './figures.ts';

const rounds = Number(process.argv[2] ?? 30);
const callsPerRound = 5;

const host = await startHost();
const idleMemory = await residentMegabytes();
const send = requestsTo(pluginSocket);

const calls = new Map<string, number[]>();
const runs = new Map<string, number[]>();
await host.createNetwork('wgnet', { subnet: '192.168.5.0/24' });
await host.createNetwork('wgopen', { subnet: '192.168.6.0/24', options: { killswitch: 'off' } });
await host.engine.docker('network', 'create', 'bridged');

const networks = {
  none: 'none',
  bridge: 'bridged',
  ours: 'wgnet',
  'ours, killswitch=off': 'wgopen',
};
for (let round = 0; round < rounds; round += 1) {
  for (let i = 0; i < callsPerRound; i += 1) {
    await lifeCycle();
  }
  for (const [title, network] of Object.entries(networks)) {
    await timed(runs, `network ${title}`, () =>
      host.engine.docker('run', '--rm', `--network=${network}`, testImage, 'true'),
    );
  }
}
const busyMemory = await residentMegabytes();
const { version } = host.engine;
// The driver's runtime is the machine's, not the one that runs this file; unless it is the executable.
const runtime = wgdriver === executable ? 'the executable' : `Node ${await run('node', ['--version'])}`;
await host.clear();
await host.close();

console.log(
  `Kernel ${release()}, ${cpus().length} cores, engine ${version}, backend ${host.tunnel.backend}, ${runtime}, ${rounds} rounds\n`,
);
printTimes(`call at the socket (${rounds * callsPerRound} each)`, calls);
printTimes(`docker run --rm (${rounds} each)`, runs);
console.log(
  table(
    ['resident memory of serve', 'MB'],
    [
      ['at start', idleMemory.toFixed(0)],
      ['after the run', busyMemory.toFixed(0)],
    ],
  ),
);

/** A network and an endpoint from beginning to end, as the engine asks for them. */
async function lifeCycle(): Promise<void> {
  const NetworkID = randomBytes(32).toString('hex');
  const ids = { NetworkID, EndpointID: randomBytes(32).toString('hex') };
  const generic = {
    'io.bestov.wg.peer': host.hub.endpoint,
    'io.bestov.wg.peerkey': host.hub.publicKey,
    'io.bestov.wg.seed': randomBytes(32).toString('base64'),
    // There is no container to protect.
    'io.bestov.wg.killswitch': 'off',
  };
  await call('CreateNetwork', {
    NetworkID,
    Options: { 'com.docker.network.generic': generic },
    IPv4Data: [{ AddressSpace: 'LocalDefault', Gateway: '192.168.9.1/24', Pool: '192.168.9.0/24' }],
    IPv6Data: [],
  });
  await call('CreateEndpoint', {
    ...ids,
    Interface: { Address: '192.168.9.2/24', AddressIPv6: '', MacAddress: '' },
    Options: {},
  });
  await call('Join', { ...ids, SandboxKey: '/var/run/docker/netns/none', Options: {} });
  await call('EndpointOperInfo', ids);
  await call('Leave', ids);
  await call('DeleteEndpoint', ids);
  await call('DeleteNetwork', { NetworkID });
}

async function call(method: string, body: Readonly<Record<string, unknown>>): Promise<void> {
  const answer = (await timed(calls, method, () => send('POST', `/NetworkDriver.${method}`, body))) as {
    Err?: string;
  };
  if (answer.Err !== undefined) {
    throw new Error(`${method}: ${answer.Err}`);
  }
}

async function timed<Result>(
  times: Map<string, number[]>,
  what: string,
  task: () => Promise<Result>,
): Promise<Result> {
  const started = performance.now();
  const result = await task();
  times.set(what, [...(times.get(what) ?? []), performance.now() - started]);
  return result;
}

function printTimes(title: string, times: Map<string, number[]>): void {
  const rows = [...times].map(([what, all]) => {
    const { median, low, high } = spreadOf(all);
    return [what, median.toFixed(1), `${low.toFixed(1)} to ${high.toFixed(1)}`];
  });
  console.log(`${table([title, 'median, ms', 'middle half, ms'], rows)}\n`);
}

async function residentMegabytes(): Promise<number> {
  const status = await readFile(`/proc/${host.driver.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}
