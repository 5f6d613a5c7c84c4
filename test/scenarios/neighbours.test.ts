/**
 * Who is beside a guarded container: sharers of its namespace while it stops, and neighbours on its other networks. With
 * WGDRIVER_TEST_BUNDLE_0_1_0 the neighbours are beside 0.1.0, which closes less: that shows what is closed since then.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Capture, startCapture } from '../../build/host/capture.ts';
import { attempt, sh, until } from '../../build/host/commands.ts';
import { type Daemon, startDaemon } from '../../build/host/daemon.ts';
import { startDriver, startFirstRelease } from '../../build/host/driver.ts';
import { importTestImage, testImage } from '../../build/host/engine.ts';
import { hostForTests, pidOf } from '../../build/host/host.ts';
import { article, tunnelIpv6 } from '../../build/host/hub.ts';

const host = await hostForTests();
const { docker, tryDocker } = host.engine;

/**
 * A container that sends by UDP, IPv4 and IPv6, again and again, whatever comes of it; without modules, which its image has not.
 * @param number of this sender, in all that it sends to: what is told late of another one is not taken for its own
 */
const sender = (number: number) => [
  testImage,
  'perl',
  '-e',
  `socket A, 2, 2, 0 or die; socket B, 10, 2, 0 or die;
  for (;;) {
    send A, 'clear', 0, pack 'SnC4x8', 2, 9, 198, $_, 77, ${number} for 18, 19;
    send B, 'clear', 0, pack 'SnNH32L', 10, 9, 0, $_, 0 for
      '20010db800770000000000000000000${number}', '40000db800770000000000000000000${number}';
    select undef, undef, undef, 0.002;
  }`,
];
/** Packets to there, and neighbours asked for it. */
const clearOf = (number: number) => new RegExp(`198\\.1[89]\\.77\\.${number}|(2001|4000):db8:77::${number}`);

const fileOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const advertise = fileOf('../killswitch/advertise.pl');
const redirect = fileOf('../killswitch/redirect.pl');
const neighbour = fileOf('neighbour.pl');

const firstRelease = process.env.WGDRIVER_TEST_BUNDLE_0_1_0;
let capture: Capture;
before(async () => {
  await importTestImage(host.engine, ['perl']);
  capture = await startCapture();
  if (firstRelease !== undefined) {
    await host.driver.stop();
    host.driver = await startFirstRelease(firstRelease, '--backend', host.tunnel.backend);
  }
});
after(() => capture.stop());

const secondsSince = (started: number) => `${Math.round((performance.now() - started) / 1000)} s`;

const seenSince = (start: number, number: number) =>
  capture
    .lines()
    .slice(start)
    .filter((line) => clearOf(number).test(line));

async function create(name: string, networks: readonly string[], ...command: readonly string[]) {
  const [first = '', ...others] = networks;
  await docker('create', `--name=${name}`, `--network=${first}`, ...command);
  for (const network of others) {
    await docker('network', 'connect', network, name);
  }
}

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;

const endedByEngine = 'ended by an engine that was killed and starts again';

/** How a container ends while another one still runs in its namespace. */
const ways: readonly (readonly [how: string, act: () => Promise<unknown>])[] = [
  ['stopped', () => docker('stop', '-t', '0', 'web')],
  ['killed', () => docker('kill', 'web')],
  ['restarted', () => docker('restart', '-t', '0', 'web')],
  // An engine waits half a minute for a driver that is dead.
  ...(!isFull
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
          endedByEngine,
          async () => {
            await host.engine.stop('SIGKILL');
            await host.engine.start();
          },
        ],
      ] as const)),
];

// Of sharers nothing was seen with 0.1.0 either, in one stop of each kind.
for (const killswitch of firstRelease === undefined ? ['on', 'off'] : []) {
  // Torn down after ours, whose name is before it: in between, the engine gives it the default routes. One that
  // is before ours has them all the time.
  for (const bridges of [['zbridge'], ['abridge', 'zbridge']]) {
    const skip = bridges.length > 1 && !isFull && 'in the full run';
    test(`with killswitch=${killswitch}, beside ${bridges.join(' and ')}: a sharer of the namespace sends while its container stops, restarts or is killed`, {
      skip,
    }, async (t) => {
      const started = performance.now();
      await host.createNetwork('wgnet', { options: { killswitch, ipv6: tunnelIpv6.prefix } });
      for (const [index, name] of bridges.entries()) {
        await createBridge(name, index + 1);
      }
      await create('web', ['wgnet', ...bridges], testImage, 'sleep', '100000');
      const seen: Record<string, number> = {};
      // One shows that what leaves is seen.
      for (const [how, act] of killswitch === 'on' || isFull ? ways : ways.slice(0, 1)) {
        await docker('start', 'web');
        await docker('run', '-d', '--name=side', '--network=container:web', ...sender(1));
        await sleep(500);
        const start = capture.lines().length;
        await act();
        await sleep(2000);
        seen[how] = seenSince(start, 1).length;
        await docker('rm', '-f', 'side');
      }
      t.diagnostic(
        `packets seen with killswitch=${killswitch}, beside ${bridges.join(' and ')}: ${JSON.stringify(seen)}, in ${secondsSince(started)}`,
      );
      const leaking = Object.entries(seen).filter(([, count]) => count > 0);
      assert.deepEqual(
        leaking.map(([how]) => how),
        // An engine that starts again ends all containers before it takes their networks away: what is seen then was
        // seen before, by a bridge that has the default routes.
        killswitch === 'on'
          ? []
          : Object.keys(seen).filter((how) => how !== endedByEngine || bridges.includes('abridge')),
        JSON.stringify(seen),
      );
    });
  }
}

/** A neighbour's way into a victim's traffic, by what the victim sends to, but for its number, and the attacker gets only that way. */
const attacks = {
  'ARP spoofing of the gateway': '198.18.77.',
  'NA spoofing of the gateway': '4000:db8:77::',
  'router advertisement, and NDP for every address': '2001:db8:77::',
  'route by DHCP, and proxy ARP': '198.19.77.',
} as const;
type Attack = keyof typeof attacks;

const subnetsOf = (number: number) => [`172.30.${number}.0/24`, `fd00:30:${number}::/64`];
const createBridge = (name: string, number: number) =>
  docker('network', 'create', '--ipv6', ...subnetsOf(number).map((subnet) => `--subnet=${subnet}`), name);

/** The attacker is at the other end of the wire, in a namespace of its own. */
async function createOnWire(driver: string, more: readonly string[]): Promise<void> {
  await sh(
    `ip netns add mallory
     ip link add wgt-parent type veth peer name eth0 netns mallory
     ip link set wgt-parent up
     ip -n mallory address add 172.30.1.66/24 dev eth0
     ip -n mallory address add fd00:30:1::66/64 dev eth0
     ip -n mallory link set eth0 up`,
  );
  const subnets = subnetsOf(1).map((subnet) => `--subnet=${subnet}`);
  const options = [`--driver=${driver}`, '--opt=parent=wgt-parent', ...more, '--ipv6', ...subnets];
  await docker('network', 'create', ...options, 'beside');
}

async function createOverlay(): Promise<void> {
  await docker('swarm', 'init', '--advertise-addr=10.99.0.1');
  await docker('network', 'create', '--driver=overlay', '--attachable', '--subnet=172.30.1.0/24', 'beside');
  // The engine gives up on the first container after 20 s, while it still sets up what it needs for any.
  await until(
    'a container comes up on the overlay',
    async () => (await tryDocker('run', '--rm', '--network=beside', testImage, 'true')).status === 0,
    120_000,
  );
}

interface Kind {
  /** Makes networks on which everybody hears everybody: the first has a name before ours, the second after. */
  readonly create: () => Promise<unknown>;
  readonly networks: readonly string[];
  /** The attacker's network namespace, unless it is a container. */
  readonly namespace?: string;
  /** All unless set. */
  readonly attacks?: readonly Attack[];
  /** This machine routes what containers send: there is no gateway to be taken, and no broadcast reaches them. */
  readonly isRouted?: boolean;
  /** Why this machine has none. */
  readonly obstacle?: () => Promise<string | undefined>;
}

const onWire = (driver: string, ...more: readonly string[]): Kind => ({
  create: () => createOnWire(driver, more),
  networks: ['beside'],
  namespace: '/run/netns/mallory',
  async obstacle() {
    const script = 'ip link add name v type veth && ip link add link v name k type "$1"';
    const { status } = await attempt('unshare', ['--net', 'sh', '-c', script, 'sh', driver]);
    return status === 0 ? undefined : `this kernel has no ${driver}`;
  },
});

const ipvlan = onWire('ipvlan');

const kinds: Readonly<Record<string, Kind>> = {
  bridge: { create: () => createBridge('beside', 1), networks: ['beside'] },
  'two bridges': {
    create: () => createBridge('beside', 1).then(() => createBridge('zbeside', 2)),
    networks: ['beside', 'zbeside'],
  },
  macvlan: onWire('macvlan'),
  ipvlan,
  'ipvlan in mode l3': {
    ...ipvlan,
    async create() {
      await createOnWire('ipvlan', ['--opt=ipvlan_mode=l3']);
      await sh(
        `ip route add 198.18.0.0/15 dev wgt-parent
         for prefix in 2001:db8::/32 4000::/16; do ip -6 route add $prefix dev wgt-parent; done`,
      );
    },
    isRouted: true,
    obstacle: async () =>
      Number.parseInt(host.engine.version, 10) < 28
        ? 'this engine sets its default route beside ours, and starts no container'
        : ipvlan.obstacle?.(),
  },
  overlay: {
    create: createOverlay,
    networks: ['beside'],
    // It has neither a gateway nor IPv6.
    attacks: ['route by DHCP, and proxy ARP'],
  },
};

/** The last one has both families in its tunnel. */
const wgNetworks: Readonly<Record<string, Readonly<Record<string, string>>>> =
  firstRelease === undefined
    ? { wgoff: { killswitch: 'off' }, wgnet: {}, wgsix: { ipv6: tunnelIpv6.prefix } }
    : { wgnet: {} };

for (const [
  kind,
  { create: createBeside, networks, namespace, obstacle, isRouted = false, ...rest },
] of Object.entries(kinds)) {
  const skip = kind !== 'bridge' && !isFull ? 'in the full run' : ((await obstacle?.()) ?? false);
  test(`${kind}: a hostile neighbour gets what a container sends without a kill switch, and nothing with it`, {
    skip,
  }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'wgdriver-neighbours-'));
    const daemons: Daemon[] = [];
    const started = performance.now();
    try {
      await host.hub.exec('ip', 'address', 'replace', `${tunnelIpv6.hub}/120`, 'dev', 'wg-hub');
      const scheme = [`--seed=${article.seed}`, `--additional=${article.additional}`];
      await host.hub.sync(...scheme, '--peers=20', `--ipv6=${tunnelIpv6.prefix}`, article.subnet);
      await createBeside();
      const mallory = namespace ?? (await containerOn(networks));
      const inMallory = (...words: readonly string[]) => [`--net=${mallory}`, ...words];
      for (const [index] of networks.entries()) {
        const prefix = `172.30.${index + 1}`;
        const configuration = join(folder, `udhcpd-${index}`);
        await writeFile(
          configuration,
          `interface eth${index}\nstart ${prefix}.200\nend ${prefix}.210\nopt subnet 255.255.255.0
opt staticroutes 198.19.0.0/16 0.0.0.0\nlease_file ${configuration}.leases\npidfile ${configuration}.pid\n`,
        );
        await writeFile(`${configuration}.leases`, '');
        const spoof = ['perl', neighbour, `eth${index}`, `${prefix}.1`, `fd00:30:${index + 1}::1`];
        for (const words of [spoof, ['busybox', 'udhcpd', '-f', configuration]]) {
          daemons.push(startDaemon('nsenter', inMallory(...words)));
        }
      }
      const script = join(folder, 'lease');
      await writeFile(
        script,
        '#!/bin/sh\n[ "$1" = bound ] || exit 0\nip address add "$ip/24" dev "$interface"\nset -- $staticroutes\nip route add "$1" dev "$interface"\n',
        { mode: 0o755 },
      );

      const outcomes: Record<string, Readonly<Record<string, number>>> = {};
      for (const [index, [network, options]] of Object.entries(wgNetworks).entries()) {
        const victim = index + 1;
        const isOff = network === 'wgoff';
        const isOpen = isOff || firstRelease !== undefined;
        await host.createNetwork(network, { options });
        // Where this machine forwards, a new namespace has it off; a router that advertises itself needs no leave.
        const trusting = '--sysctl=net.ipv4.conf.all.accept_redirects=1';
        await create('victim', [network, ...networks], trusting, ...sender(victim));
        const start = capture.lines().length;
        await docker('start', 'victim');
        const leased = await Promise.all(
          networks.map(async (_, index) => {
            const pid = await pidOf('victim');
            const client = ['busybox', 'udhcpc', '-nqfB', '-t5', '-T1', `-ieth${index}`, `-s${script}`];
            const { status } = await attempt('nsenter', ['--net', `--target=${pid}`, ...client]);
            return status === 0;
          }),
        );
        if (isOff) {
          assert(isRouted || !leased.includes(false), 'a lease on each network');
        } else {
          // Frames, which a client of DHCP writes, do not pass once their filter is there; it may have been quicker.
          await host.enter('victim', 'ip', 'route', 'replace', '198.19.0.0/16', 'dev', 'eth0');
        }
        const gained = () => {
          const taken = takenBy(daemons);
          return Object.fromEntries(
            Object.entries(attacks).map(([attack, to]) => [attack, taken[`${to}${victim}`] ?? 0]),
          );
        };
        const all = rest.attacks ?? (Object.keys(attacks) as Attack[]);
        const expected = isOff ? all : isOpen ? all.filter((attack) => attack.startsWith('router')) : [];
        const hasAll = () => expected.every((attack) => (gained()[attack] ?? 0) > 0);
        for (let sent = 0; sent < (isOpen ? 40 : 24) && !(isOff && hasAll()); sent++) {
          for (const [index] of networks.entries()) {
            // Where a network has no IPv6, the link has no address for it.
            await attempt('nsenter', inMallory('perl', advertise, `eth${index}`, '2000::', '3'));
          }
          await sleep(250);
        }
        outcomes[network] = { ...gained(), 'seen in clear': seenSince(start, victim).length };
        t.diagnostic(
          `${kind}, ${network}: ${JSON.stringify(outcomes[network])}, leases: ${leased}, after ${secondsSince(started)}`,
        );
        assert(hasAll(), `${JSON.stringify(gained())}\n${daemons.map(({ output }) => output()).join('\n')}`);
        if (!isRouted && rest.attacks === undefined && firstRelease === undefined) {
          const other = namespace === undefined ? await addressOf('mallory') : '172.30.1.66';
          const isRedirected = await redirects(inMallory, victim, other);
          if (isOff) {
            await until('the victim takes a redirect', isRedirected);
          } else {
            assert(!(await isRedirected()) && !(await isRedirected()), 'no redirect');
          }
        }
        if (!isOpen) {
          assert.deepEqual(
            Object.entries(outcomes[network]).filter(([, count]) => count > 0),
            [],
          );
          // tcpdump describes the redirects, too.
          assert.deepEqual(
            seenSince(start, victim).filter((line) => !line.includes('ICMP redirect')),
            [],
          );
          await host.ping('victim', host.hub.address);
        }
        if (network === 'wgsix') {
          await host.ping('victim', tunnelIpv6.hub);
        }
        await docker('rm', '-f', 'victim');
        await docker('network', 'rm', network);
      }
    } finally {
      await Promise.all(daemons.map((daemon) => daemon.stop('SIGKILL')));
      await host.clear();
      if (kind === 'overlay') {
        // On a busy machine the engine may need more than one try.
        await until(
          'the swarm is left',
          async () => {
            const { status, stderr } = await tryDocker('swarm', 'leave', '--force');
            return status === 0 || stderr.includes('not part of a swarm');
          },
          120_000,
        );
      }
      await attempt('ip', ['link', 'delete', 'wgt-parent']);
      await attempt('ip', ['netns', 'delete', 'mallory']);
      await rm(folder, { recursive: true });
    }
  });
}

/** A container on networks. @returns its network namespace */
async function containerOn([first = '', ...others]: readonly string[]): Promise<string> {
  await host.startContainer('mallory', `--network=${first}`);
  for (const network of others) {
    await docker('network', 'connect', network, 'mallory');
  }
  return `/proc/${await pidOf('mallory')}/ns/net`;
}

const addressOf = (container: string) =>
  docker('inspect', '--format={{.NetworkSettings.Networks.beside.IPAddress}}', container);

/** Says in the gateway's name that the way is by another one, and tells whether the victim believes it. */
async function redirects(
  inMallory: (...words: readonly string[]) => readonly string[],
  number: number,
  other: string,
): Promise<() => Promise<boolean>> {
  const [victim, destination] = [await addressOf('victim'), `198.18.77.${number}`];
  return async () => {
    const words = ['perl', redirect, 'eth0', '172.30.1.1', victim, destination, other];
    const { status, stderr } = await attempt('nsenter', inMallory(...words));
    assert.equal(status, 0, stderr);
    // The first only has the victim ask for the other one's link-layer address.
    await sleep(100);
    const route = await host.enter('victim', 'ip', 'route', 'get', destination);
    return route.includes(` via ${other} `);
  };
}

/** How many packets neighbour.pl was sent, by their destinations. */
function takenBy(daemons: readonly Daemon[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const daemon of daemons) {
    const last =
      daemon
        .output()
        .match(/^taken:.*$/gm)
        ?.at(-1) ?? '';
    for (const [, destination = '', count] of last.matchAll(/(\S+)=(\d+)/g)) {
      total[destination] = (total[destination] ?? 0) + Number(count);
    }
  }
  return total;
}
