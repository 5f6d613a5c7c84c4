/** Containers that try to get out past their tunnel, and a capture of all that leaves them in clear. */
import assert from 'node:assert/strict';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Capture, startCapture } from '../../build/host/capture.ts';
import { run, until } from '../../build/host/commands.ts';
import { startDriver, wgdriver } from '../../build/host/driver.ts';
import { importTestImage, testImage } from '../../build/host/engine.ts';
import { hostForTests, type NetworkSettings } from '../../build/host/host.ts';
import { article } from '../../build/host/hub.ts';
import { inFullRun } from '../../build/host/scenarios.ts';
import { attempts } from './attempts.ts';

const host = await hostForTests();
const { docker } = host.engine;
const major = Number.parseInt(host.engine.version, 10);

/** What goes through the tunnel in any case. */
const tunnelled = [20];
const frames = [15, 16, 17, 22, 26, 27];

interface Phase {
  readonly name: string;
  /** Before it begins: what makes sure that it is worth looking. */
  readonly settle?: () => Promise<unknown>;
  readonly reach: () => Promise<unknown>;
  /** Attempts that may be seen even so. */
  readonly tolerated?: readonly number[];
}

let folder: string;
let capture: Capture;
before(async () => {
  await importTestImage(host.engine, ['perl']);
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-leaks-'));
  await copyFile(fileURLToPath(new URL('probe.pl', import.meta.url)), join(folder, 'probe.pl'));
  capture = await startCapture();
});
after(async () => {
  await capture.stop();
  await rm(folder, { recursive: true });
});

const namesOf = (seen: readonly number[]) => seen.map((attempt) => attempts[attempt]);

/** Phases are numbered through all tests, so that no packet is taken for another's. */
let number = 0;

/**
 * Which attempts are seen outside from the beginning of a phase on: of two passes at least of all of them, and
 * of more until those that are expected are seen.
 */
async function seenIn(t: TestContext, killswitch: string, phase: Phase, expected: readonly number[] = []) {
  await phase.settle?.();
  number++;
  await writeFile(join(folder, 'phase'), String(number));
  protectionsBefore = protections();
  await phase.reach();
  const passes = () => readFile(join(folder, `done-${number}`), 'utf8').then(Number, () => 0);
  const first = await passes();
  const pattern = new RegExp(
    `\\b(?:198\\.18|239\\.18)\\.${number}\\.(\\d+)\\b|\\b(?:2001:db8|ff0e:18):${number.toString(16)}::([0-9a-f]+)\\b|\\bk(\\d+)-p${number}\\b`,
    'g',
  );
  const seen = () => {
    const found = [...capture.lines().join('\n').matchAll(pattern)].map(([, ipv4, ipv6 = '', dns]) =>
      Number(ipv4 ?? dns ?? Number.parseInt(ipv6, 16)),
    );
    return [...new Set(found)].sort((a, b) => a - b);
  };
  await until(`probes in phase ${phase.name}`, async () => (await passes()) >= first + 2, 120_000);
  // Addresses of IPv6 are of no use in their first seconds.
  await until('what is expected', () => expected.every((attempt) => seen().includes(attempt)), 20_000).catch(
    () => {},
  );
  const what = namesOf(seen());
  // test/guests/leaks.test.ts reads it.
  t.diagnostic(`${killswitch}; ${phase.name}; ${what.join('; ') || 'nothing'}`);
  return seen();
}

async function createNetworks(killswitch: string, settings: NetworkSettings = {}): Promise<void> {
  await host.createNetwork('wgnet', { ...settings, options: { killswitch, ...settings.options } });
  // By its name and its two families it has the default routes of the engine's choice.
  await docker('network', 'create', '--ipv6', '--subnet=172.30.1.0/24', '--subnet=fd00:30:1::/64', 'abridge');
  await docker('network', 'create', '--ipv6', '--subnet=172.30.3.0/24', '--subnet=fd00:30:3::/64', 'zbridge');
}

/** Begins to probe with its first instruction. */
async function startProber(): Promise<void> {
  const args = [
    '--name=prober',
    `--volume=${folder}:/probe`,
    `--dns=${host.hub.address}`,
    '--stop-signal=KILL',
  ];
  const command = [testImage, 'perl', '/probe/probe.pl'];
  if (major >= 25) {
    await docker('run', '-d', ...args, '--network=wgnet', '--network=abridge', ...command);
  } else {
    await docker('create', ...args, '--network=wgnet', ...command);
    await docker('network', 'connect', 'abridge', 'prober');
    await docker('start', 'prober');
  }
}

const start: Phase = { name: 'container started', reach: startProber, tolerated: frames };
const connect: Phase = {
  name: 'network connected',
  reach: () => docker('network', 'connect', 'zbridge', 'prober'),
  // Between the link's arrival and the filter of its frames there are some milliseconds.
  tolerated: frames,
};
/** How often this driver has protected a container. */
const protections = () => host.driver.output().split('container protected').length - 1;
let protectionsBefore = 0;
/** What is not tolerated any more, 5 s after the driver protected the container; a busy machine follows slowly. */
const wait: Phase = {
  name: '5 s later',
  async settle() {
    await until('the driver protects the container', () => protections() > protectionsBefore, 60_000);
    await sleep(5000);
  },
  reach: async () => {},
};
const disconnect: Phase = {
  name: 'network disconnected',
  reach: () => docker('network', 'disconnect', 'zbridge', 'prober'),
};
const restart: Phase = {
  name: 'container restarted',
  reach: () => docker('restart', '-t', '0', 'prober'),
  tolerated: frames,
};

const phases: readonly Phase[] = [
  start,
  wait,
  connect,
  wait,
  disconnect,
  {
    name: 'hub not reachable',
    reach: () => run('ip', ['link', 'set', 'hub-host', 'down']),
  },
  {
    name: 'hub reachable again',
    reach: () => run('ip', ['link', 'set', 'hub-host', 'up']),
  },
  {
    name: 'driver killed, network connected',
    async reach() {
      await host.driver.stop('SIGKILL');
      await docker('network', 'connect', 'zbridge', 'prober');
    },
    // The filter of frames comes with the driver; packets do not pass without one.
    tolerated: frames,
  },
  {
    name: 'driver started',
    async reach() {
      host.driver = await startDriver('--backend', host.tunnel.backend);
      protectionsBefore = 0;
    },
    // Until it serves.
    tolerated: frames,
  },
  wait,
  restart,
  wait,
  {
    name: 'engine stopped and started, container started',
    async reach() {
      await host.engine.stop();
      await host.engine.start();
      await docker('start', 'prober');
    },
    tolerated: frames,
  },
  wait,
  {
    name: 'engine killed, and started with --live-restore',
    async reach() {
      await host.engine.stop('SIGKILL');
      await host.engine.start('--live-restore');
    },
  },
];

/** What a guarded container and its host have to say in clear. */
const explained = [
  // The tunnel, and what tells it that the hub is away.
  / IP 10\.99\.0\.\d+\.\d+ > 10\.99\.0\.\d+\.\d+: UDP/,
  / IP 10\.99\.0\.\d+ > 10\.99\.0\.\d+: ICMP/,
  / ARP, .* (10\.99\.0\.|172\.30\.)/,
  / ICMP6, (neighbor|router|multicast)/,
  / IP \S+ > 224\.0\.0\.22: igmp/,
  // Neighbours of a connected network, and this machine with itself.
  / IP 172\.30\.(\d+)\.\S+ > 172\.30\.\1\./,
  / lo +(In|Out) /,
];

interface TestedTunnel {
  readonly tunnel: string;
  /** @param endpoint of the hub */
  readonly settings: (endpoint: string) => NetworkSettings | Promise<NetworkSettings>;
  readonly skip: false | string;
}

const tunnels: readonly TestedTunnel[] = [
  { tunnel: 'on', settings: (peer) => ({ options: { peer } }), skip: false },
  // Each takes as long as the first.
  {
    tunnel: 'on, with IPv6 in the tunnel',
    settings: (peer) => ({ options: { peer, ipv6: 'fd12:3456::/64' } }),
    skip: inFullRun,
  },
  { tunnel: 'on, in a shared tunnel', settings: sharedTunnel, skip: inFullRun },
];

/** The hub as a provider: a peer that it knows is the customer. */
async function sharedTunnel(endpoint: string): Promise<NetworkSettings> {
  const conffile = join(folder, 'provider.conf');
  const scheme = [`--seed=${article.seed}`, `--additional=${article.additional}`];
  const key = await run(wgdriver, ['keys', '--private', ...scheme, article.firstAddress]);
  await writeFile(
    conffile,
    `[Interface]
PrivateKey = ${key}
Address = ${article.firstAddress}/32
[Peer]
PublicKey = ${host.hub.publicKey}
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = ${endpoint}
`,
    { mode: 0o600 },
  );
  return {
    subnet: '10.77.0.0/24',
    options: { conffile, peer: '', peerkey: '', seed: '', additional: '' },
  };
}

for (const { tunnel, settings, skip } of tunnels) {
  test(`with killswitch=${tunnel}: nothing leaves in clear, whatever happens`, { skip }, async (t) =>
    expectNothingSeen(t, tunnel, await settings(host.hub.endpoint)),
  );
}

async function expectNothingSeen(t: TestContext, tunnel: string, settings: NetworkSettings) {
  await createNetworks('on', settings);
  const before = capture.lines().length;
  for (const phase of phases) {
    const tolerated = phase.tolerated ?? [];
    const seen = await seenIn(t, tunnel, phase);
    assert.deepEqual(namesOf(seen.filter((attempt) => !tolerated.includes(attempt))), [], phase.name);
  }
  await host.ping('prober', host.hub.address);
  const times = [...host.driver.output().matchAll(/container protected .* ms=([\d.]+)/g)].map(([, ms]) => ms);
  t.diagnostic(`each time the driver protected a container it took, in ms: ${times.join(', ')}`);
  const toFrames = /198\.18\.|2001:db8:/;
  const unexplained = capture
    .lines()
    .slice(before)
    .filter((line) => !explained.some((pattern) => pattern.test(line)) && !toFrames.test(line));
  assert.deepEqual(unexplained.slice(0, 20), [], 'every packet is explained');
  // Without --live-restore again.
  await host.clear();
  await host.engine.stop();
  await host.engine.start();
}

for (const { tunnel, settings, skip } of tunnels) {
  test(`with killswitch=${tunnel} and a hub that was never there`, { skip }, async (t) => {
    await createNetworks('on', await settings('10.99.0.77:51820'));
    const seen = await seenIn(t, tunnel, { ...start, name: 'hub never there' });
    assert.deepEqual(namesOf(seen.filter((attempt) => !frames.includes(attempt))), []);
    assert.deepEqual(namesOf(await seenIn(t, tunnel, wait)), []);
  });
}

test('with killswitch=off all of it is seen: the capture has eyes', async (t) => {
  await createNetworks('off');
  const all = Object.keys(attempts).map(Number);
  const expected = all.filter((attempt) => !tunnelled.includes(attempt));
  for (const phase of [start, connect, disconnect, restart]) {
    assert.deepEqual(await seenIn(t, 'off', phase, expected), expected, phase.name);
  }
});
