/** Who is beside a guarded container: sharers of its namespace while it stops, and neighbours on its other networks. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Capture, startCapture } from '../../build/host/capture.ts';
import { attempt, run } from '../../build/host/commands.ts';
import { startDriver } from '../../build/host/driver.ts';
import { importTestImage, testImage } from '../../build/host/engine.ts';
import { hostForTests } from '../../build/host/host.ts';

const host = await hostForTests();
const { docker } = host.engine;

/** Sends by UDP, IPv4 and IPv6, again and again, whatever comes of it; without modules, which the image has not. */
const sender = `socket A, 2, 2, 0 or die; socket B, 10, 2, 0 or die;
  for (;;) {
    send A, 'clear', 0, pack 'SnC4x8', 2, 9, 198, 18, 77, 1;
    send B, 'clear', 0, pack 'SnNH32L', 10, 9, 0, '20010db8007700000000000000000001', 0;
    select undef, undef, undef, 0.002;
  }`;
/** Packets to there, and neighbours asked for it. */
const clear = /198\.18\.77\.1|2001:db8:77::1/;

const advertise = fileURLToPath(new URL('../killswitch/advertise.pl', import.meta.url));

let capture: Capture;
before(async () => {
  await importTestImage(host.engine, ['perl']);
  capture = await startCapture();
});
after(() => capture.stop());

const seenSince = (start: number) =>
  capture
    .lines()
    .slice(start)
    .filter((line) => clear.test(line));

async function create(name: string, networks: readonly string[], ...command: readonly string[]) {
  const [first = '', ...others] = networks;
  await docker('create', `--name=${name}`, `--network=${first}`, ...command);
  for (const network of others) {
    await docker('network', 'connect', network, name);
  }
}

/** How a container ends while another one still runs in its namespace. */
const ways: readonly (readonly [how: string, act: () => Promise<unknown>])[] = [
  ['stopped', () => docker('stop', '-t', '0', 'web')],
  ['killed', () => docker('kill', 'web')],
  ['restarted', () => docker('restart', '-t', '0', 'web')],
  // An engine waits half a minute for a driver that is dead.
  ...(process.env.WGDRIVER_TEST_FULL === undefined
    ? []
    : ([
        [
          'stopped while the driver is dead, which then starts',
          async () => {
            await host.driver.stop('SIGKILL');
            await docker('stop', '-t', '0', 'web');
            host.driver = await startDriver('--backend', host.tunnel.backend);
          },
        ],
        [
          'ended by an engine that was killed and starts again',
          async () => {
            await host.engine.stop('SIGKILL');
            await host.engine.start();
          },
        ],
      ] as const)),
];

for (const killswitch of ['on', 'off']) {
  test(`with killswitch=${killswitch}: a sharer of the namespace sends while its container stops, restarts or is killed`, async (t) => {
    await host.createNetwork('wgnet', { options: { killswitch } });
    // Torn down after ours, whose name is before it: in between, the engine gives it the default routes.
    await docker('network', 'create', '--subnet=172.30.3.0/24', 'zbridge');
    await create('web', ['wgnet', 'zbridge'], testImage, 'sleep', '100000');
    const seen: Record<string, number> = {};
    // One shows that what leaves is seen.
    for (const [how, act] of killswitch === 'on' ? ways : ways.slice(0, 1)) {
      await docker('start', 'web');
      await docker('run', '-d', '--name=side', '--network=container:web', testImage, 'perl', '-e', sender);
      await sleep(500);
      const start = capture.lines().length;
      await act();
      await sleep(2000);
      seen[how] = seenSince(start).length;
      await docker('rm', '-f', 'side');
    }
    t.diagnostic(`packets seen with killswitch=${killswitch}: ${JSON.stringify(seen)}`);
    const total = Object.values(seen).reduce((sum, count) => sum + count, 0);
    assert(killswitch === 'on' ? total === 0 : total > 0, JSON.stringify(seen));
  });
}

async function createOnParent(driver: string): Promise<void> {
  await run('ip', ['link', 'add', 'wgt-parent', 'type', 'veth', 'peer', 'name', 'wgt-wire']);
  await run('ip', ['link', 'set', 'wgt-parent', 'up']);
  await run('ip', ['link', 'set', 'wgt-wire', 'up']);
  const subnets = ['--ipv6', '--subnet=172.30.1.0/24', '--subnet=fd00:30:1::/64'];
  await docker('network', 'create', `--driver=${driver}`, '--opt=parent=wgt-parent', ...subnets, 'beside');
}

/** Which kinds of links this kernel makes. */
async function hasKind(kind: string): Promise<boolean> {
  const script = 'ip link add name v type veth && ip link add link v name k type "$1"';
  return (await attempt('unshare', ['--net', 'sh', '-c', script, 'sh', kind])).status === 0;
}

/** A network beside ours on which everybody hears everybody. */
const kinds = {
  bridge: async () => {
    await docker(
      'network',
      'create',
      '--ipv6',
      '--subnet=172.30.1.0/24',
      '--subnet=fd00:30:1::/64',
      'beside',
    );
  },
  macvlan: () => createOnParent('macvlan'),
  ipvlan: () => createOnParent('ipvlan'),
} as const;

for (const [kind, createBeside] of Object.entries(kinds)) {
  const isForFull = kind !== 'bridge' && process.env.WGDRIVER_TEST_FULL === undefined;
  const skip = isForFull ? 'in the full run' : (await hasKind(kind)) ? false : `this kernel has no ${kind}`;
  test(`${kind}: a neighbour advertises itself as the router of everything`, { skip }, async (t) => {
    try {
      await createBeside();
      await host.createNetwork('wgnet');
      await host.createNetwork('wgoff', { subnet: '192.168.6.0/24', options: { killswitch: 'off' } });
      await host.startContainer('mallory', '--network=beside');
      const seen: Record<string, number> = {};
      for (const network of ['wgoff', 'wgnet']) {
        await create('victim', [network, 'beside'], testImage, 'perl', '-e', sender);
        const start = capture.lines().length;
        await docker('start', 'victim');
        const isOff = network === 'wgoff';
        const isSeen = () => seenSince(start).some((line) => line.includes('2001:db8:77::1'));
        for (let sent = 0; sent < 20 && !(isOff && isSeen()); sent++) {
          await host.enter('mallory', 'perl', advertise, 'eth0', '2000::', '3');
          await sleep(250);
        }
        assert.equal(isSeen(), isOff);
        seen[network] = seenSince(start).length;
        await docker('rm', '-f', 'victim');
      }
      t.diagnostic(`packets seen on ${kind}: ${JSON.stringify(seen)}`);
      assert.equal(seen.wgnet, 0);
    } finally {
      await host.clear();
      await run('ip', ['link', 'delete', 'wgt-wire']).catch(() => {});
    }
  });
}
