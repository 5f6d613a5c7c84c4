// Both implementations on the real kernel, with a link in the place of the tunnel and a neighbour that notes
// what it sees.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { until } from '../../build/host/commands.ts';
import { netlinkNamespaces } from '../../src/killswitch/by-netlink.ts';
import { programNamespaces } from '../../src/killswitch/by-programs.ts';
import { hasChanges, removalOf, routingDifference } from '../../src/killswitch/difference.ts';
import type { Changed, Namespaces } from '../../src/killswitch/namespaces.ts';
import { probeProtection } from '../../src/killswitch/probe.ts';
import { protectionOf, tunnelOf } from '../../src/killswitch/rules.ts';
import { netlinkObstacle } from '../../src/links/netlink/probe.ts';
import { type Address, formatPrefix, prefixOf } from '../../src/wireguard/address.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { everything, tunnelScope } from '../support/tunnel-scope.ts';

const { skip } = await enterFreshNamespace('ip', 'nft', 'nsenter', 'ping', 'perl');

const frame = fileURLToPath(new URL('frame.pl', import.meta.url));
const advertise = fileURLToPath(new URL('advertise.pl', import.meta.url));
const redirect = fileURLToPath(new URL('redirect.pl', import.meta.url));
const afXdp = fileURLToPath(new URL('af_xdp.pl', import.meta.url));
const forge = fileURLToPath(new URL('forge.pl', import.meta.url));
/** On what may pass. Any process with CAP_NET_RAW can set it. */
const passMark = String(0x4000_0000);
const netns = '/run/netns/container';

function sh(script: string): string {
  return execFileSync('sh', ['-euc', script], { encoding: 'utf8' });
}

/** How `eth0` comes to be in the container, and `host0` at its other end. */
const bridgeLink = 'ip link add host0 type veth peer name eth0 netns container';
const wire = 'ip link add host0 type veth peer name parent; ip link set parent up';
const linkOnWire = (kind: string) =>
  `${wire}; ip link add link parent name eth0 netns container type ${kind}`;

/** A container on another network than its tunnel's, whose gateway notes the destinations of all it gets. */
const containerWith = (link: string) => `
  mkdir -p /run/netns
  ip netns add container
  ip netns add tunnel
  ${link}
  ip -n container link add wg0 type veth peer name wg0 netns tunnel
  ip -n container link set dev wg0 alias wgdriver:test:e1
  ip address add 172.30.0.1/24 dev host0
  ip address add 198.51.100.1/32 dev host0
  ip address add fd00:30::1/64 dev host0 nodad
  ip link set host0 up
  ip -n container link set lo up
  ip -n container address add 172.30.0.2/24 dev eth0
  ip -n container address add fd00:30::2/64 dev eth0 nodad
  ip -n container address add 192.168.5.2/24 dev wg0
  ip -n container link set eth0 up
  ip -n container link set wg0 up
  ip -n tunnel link set wg0 up
  ip -n container route add default via 172.30.0.1
  ip -n container route add default via fd00:30::1
  mac=$(ip -o link show host0 | sed 's/.*ether \\([^ ]*\\).*/\\1/')
  nft 'table inet notes {
    set seen4 { type ipv4_addr; flags dynamic; size 999; }
    set seen6 { type ipv6_addr; flags dynamic; size 999; }
    chain in {
      type filter hook prerouting priority -300
      iif host0 add @seen4 { ip daddr }
      iif host0 ip6 daddr 2001:db8::/32 add @seen6 { ip6 daddr }
    }
  }'`;

const endOfContainer =
  'nft delete table inet notes; ip link delete host0; ip netns delete container; ip netns delete tunnel';

/** Ways out, each to a destination of its own. */
const attempts: Readonly<Record<string, readonly string[]>> = {
  '203.0.113.1': ['ping', '-c1', '-W1', '203.0.113.1'],
  '203.0.113.2': ['ping', '-c1', '-W1', '-I', 'eth0', '203.0.113.2'],
  '203.0.113.3': ['perl', frame, 'eth0', '0', '203.0.113.3'],
  '203.0.113.4': ['perl', frame, 'eth0', '1', '203.0.113.4'],
  '203.0.113.5': ['perl', frame, 'eth0', '0', '203.0.113.5', passMark],
  '203.0.113.6': ['perl', frame, 'eth0', '1', '203.0.113.6', passMark],
  '203.0.113.7': ['perl', forge, 'eth0', '172.30.0.2', '203.0.113.7'],
  '2001:db8::1': ['ping', '-c1', '-W1', '2001:db8::1'],
  '2001:db8::2': ['ping', '-c1', '-W1', '-I', 'eth0', '2001:db8::2'],
};

/** The neighbour answers for every address, as by proxy ARP and proxy NDP. */
const hostileNeighbour = Object.keys(attempts)
  .map((address) => `ip -n container neigh replace ${address} lladdr $mac dev eth0 nud permanent`)
  .join('\n');

/** What a neighbour, another driver or a client of DHCP may do to a container's routes and addresses. */
const intrusions = `
  for half in 0.0.0.0/1 128.0.0.0/1 ::/1 8000::/1; do ip -n container route add $half dev eth0; done
  ip -n container route add 203.0.113.0/24 dev eth0
  ip -n container route add 2001:db8::/32 dev eth0
  ip -n container route add 203.0.113.0/28 via inet6 fd00:30::1 dev eth0
  ip -n container address add 203.0.113.200/24 dev eth0
  ip -n container address add 200.0.0.1/5 dev eth0 scope link
  ip -n container address add fec0::1/1 dev eth0 nodad
  ip -n container address add 2001:db8::200/32 dev eth0 nodad
  ip -n container address add 203.0.113.201/25 dev eth0 valid_lft 999 preferred_lft 999
  ip -n container address add 2001:db8::201/33 dev eth0 nodad valid_lft 999 preferred_lft 999`;
const endOfIntrusions = `
  for address in 203.0.113.200/24 203.0.113.201/25 200.0.0.1/5 fec0::1/1 2001:db8::200/32 2001:db8::201/33; do
    ip -n container address del $address dev eth0
  done
  for half in 0.0.0.0/1 128.0.0.0/1; do ip -n container route del $half; done
  for half in ::/1 8000::/1 2001:db8::/32; do ip -n container -6 route del $half dev eth0; done
  ip -n container route flush 203.0.113.0/24
  ip -n container route flush 203.0.113.0/28
  ip -n container -6 route flush 2001:db8::/33`;

const sendAdvertisement = `perl ${advertise} host0 2000:: 3`;
const endOfAdvertisements = `
  ip -n container -6 route flush proto ra
  ip -n container -6 address flush dev eth0 dynamic
  ip -n container -6 route flush dev eth0 proto kernel 2000::/3`;
const hasAdvertised = () => /proto ra/.test(sh('ip -n container -6 route show'));
/** Routers repeat it, as one may be lost. */
const isAdvertised = () => {
  sh(sendAdvertisement);
  return hasAdvertised();
};

/** Which of the destinations the neighbour sees of a process with these capabilities; all unless said. */
function leaks(capabilities = '+all'): string[] {
  sh('nft flush set inet notes seen4; nft flush set inet notes seen6');
  const commands = Object.values(attempts).map(
    (command) => `setpriv --bounding-set=${capabilities} ${command.join(' ')} >/dev/null 2>&1 &`,
  );
  sh(`ip netns exec container sh -c '${commands.join('\n')}\nwait'`);
  const seen = sh('nft list set inet notes seen4; nft list set inet notes seen6');
  return Object.keys(attempts).filter((address) => new RegExp(`\\b${address}\\b`).test(seen));
}

function isAnswered(...words: readonly string[]): boolean {
  return spawnSync(words[0] ?? '', words.slice(1)).status === 0;
}

/** What the kernel says to UDP from the container, on a socket that is bound to a link. */
function sendBy(link: string, address: string): string {
  const script =
    'socket S, 2, 2, 0; setsockopt S, 1, 25, "$ARGV[0]\\0"; print((send S, "clear", 0, pack "SnC4x8", 2, 9, split /\\./, $ARGV[1]) ? "sent" : $!)';
  return sh(`ip netns exec container perl -e '${script}' ${link} ${address}`);
}

/** @returns what does it once more, as what is there is no error, and found again */
async function protectBy(
  namespaces: Namespaces,
  prefixes: readonly string[] = everything,
  excluded: readonly string[] = [],
  via?: readonly Address[],
): Promise<() => Promise<void>> {
  const isLink = ({ alias }: { alias: string | undefined }) => alias === 'wgdriver:test:e1';
  const present = await namespaces.read(netns);
  const protection = protectionOf(present, [
    tunnelOf(isLink, { ...tunnelScope(prefixes, excluded), ...(via && { via }) }),
  ]);
  const routing = routingDifference(present, protection, namespaces.families);
  assert.deepEqual(await namespaces.apply(netns, protection, routing), {});
  const expectFound = async () => {
    const after = await namespaces.read(netns);
    assert(!hasChanges(routingDifference(after, protection, namespaces.families)));
  };
  await expectFound();
  return async () => {
    await namespaces.apply(netns, protection, routing);
    await expectFound();
  };
}

const implementations = {
  netlink: { make: netlinkNamespaces, obstacle: skip ?? netlinkObstacle() },
  programs: { make: programNamespaces, obstacle: skip },
};

for (const [name, { make, obstacle }] of Object.entries(implementations)) {
  describe(`by ${name}`, obstacle === undefined ? {} : { skip: obstacle }, () => {
    // Programs take long for what nftables does the same way.
    const slow =
      name === 'programs' && process.env.WGDRIVER_TEST_FULL === undefined ? { skip: 'in the full run' } : {};
    const protect = (prefixes?: readonly string[], excluded?: readonly string[]) =>
      protectBy(make(), prefixes, excluded);

    before(() => sh(`${containerWith(bridgeLink)}\n${hostileNeighbour}`));
    after(() => sh(endOfContainer));

    test('without protection all of it is seen', () => {
      assert.deepEqual(leaks(), Object.keys(attempts));
    });

    test('another network that has come and was not looked at yet is closed, but for frames', async () => {
      const namespaces = make();
      const present = await namespaces.read(netns);
      const links = present.links.filter(({ name }) => name !== 'eth0');
      const isLink = ({ alias }: { alias: string | undefined }) => alias === 'wgdriver:test:e1';
      const tunnel = tunnelOf(isLink, tunnelScope(everything), links.find(isLink)?.index);
      const protection = protectionOf({ ...present, links }, [tunnel]);
      assert(protection.lone !== undefined);
      // Once more: a table that is there gives way to the new one.
      for (let times = 0; times < 2; times += 1) {
        await namespaces.apply(netns, protection, removalOf({ routes: [], rules: [] }));
      }
      const frames = Object.keys(attempts).filter((address) => attempts[address]?.includes(frame));
      assert.deepEqual(leaks(), frames);
    });

    test('with it nothing is, but neighbours are reached, and who came in is answered', async () => {
      const again = await protect();
      await again();
      assert.deepEqual(leaks(), []);
      assert(isAnswered('ip', 'netns', 'exec', 'container', 'ping', '-c1', '-W2', '172.30.0.1'));
      assert(isAnswered('ip', 'netns', 'exec', 'container', 'ping', '-c1', '-W2', 'fd00:30::1'));
      assert(isAnswered('ping', '-c1', '-W2', '-I', '198.51.100.1', '172.30.0.2'), 'as by a published port');
      const route = sh('ip -n container route get 203.0.113.9');
      assert.match(route, /dev wg0 table 30567 src 192\.168\.5\.2/);
    });

    test('a tunnel behind a router has its routes by that, whether or not there is a way to it yet', async () => {
      const via = ['192.168.77.1', 'fd00:77::1'].map(
        (text) => prefixOf(`${text}/${text.includes(':') ? 128 : 32}`).address,
      );
      sh('ip -n container address add fd00:5::2/128 dev wg0 nodad');
      try {
        const again = await protectBy(make(), everything, [], via);
        await again();
        const shown = ['-4', '-6'].map((family) => sh(`ip -n container ${family} route show table 30567`));
        assert.match(shown[0] ?? '', /^default via 192\.168\.77\.1 dev wg0 .*onlink/m);
        assert.match(shown[1] ?? '', /^default via fd00:77::1 dev wg0 .*onlink/m);
      } finally {
        sh('ip -n container address del fd00:5::2/128 dev wg0');
        await protect();
      }
    });

    test('while another tunnel comes, the first one carries, and anybody’s link with such a name stays closed', async () => {
      const namespaces = make();
      const of = (endpoint: string, prefixes: readonly string[]) =>
        tunnelOf(({ alias }) => alias === `wgdriver:test:${endpoint}`, tunnelScope(prefixes));
      sh('ip -n container tuntap add wg9 mode tun; ip -n container link set wg9 up');
      try {
        await protect();
        const present = await namespaces.read(netns);
        const protection = protectionOf(present, [of('e1', everything), of('e2', ['10.0.0.0/8'])]);
        const routing = routingDifference(present, protection, namespaces.families);
        await namespaces.apply(netns, protection, routing);
        assert.match(sh('ip -n container route get 203.0.113.9'), /dev wg0 table 30567/);
        assert.match(sendBy('wg9', '203.0.113.9'), /not permitted/);
      } finally {
        sh('ip -n container link delete wg9');
        await protect();
      }
    });

    test('what the engine gave decides: no routes, and no other addresses', async () => {
      sh(intrusions);
      try {
        await protect();
        assert.deepEqual(leaks(), []);
        assert.match(sh('ip -n container route get 198.18.0.1'), /dev wg0/);
        const { addresses } = await make().read(netns);
        const narrow = addresses.filter(({ isPermanent, isGlobal }) => isPermanent && !isGlobal);
        assert.deepEqual(
          narrow.map(({ network }) => formatPrefix(network)).filter((prefix) => /\/[15]$/.test(prefix)),
          ['200.0.0.0/5', '8000::/1'],
        );
        assert(isAnswered('ip', 'netns', 'exec', 'container', 'ping', '-c1', '-W2', '172.30.0.1'));
      } finally {
        sh(endOfIntrusions);
      }
    });

    test('a router advertisement that came before opens nothing, and none comes in from then on', async () => {
      await make().remove(netns, removalOf(await make().read(netns)));
      await until('the container takes it', isAdvertised);
      await protect();
      assert.deepEqual(leaks(), []);
      sh(endOfAdvertisements);
      assert(!hasAdvertised());
      sh(sendAdvertisement);
      await sleep(500);
      assert(!hasAdvertised());
      await protect();
      assert.deepEqual(leaks(), []);
    });

    test('a split tunnel leaves router advertisements alone, and what it is for in the tunnel', async () => {
      await protect(['203.0.113.0/24', '2001:db8::/32']);
      await until('the container takes it', isAdvertised);
      await protect(['203.0.113.0/24', '2001:db8::/32']);
      assert.deepEqual(leaks(), []);
    });

    test('of a split tunnel what it is for, and nothing else', async () => {
      await protect(['203.0.113.0/30']);
      const others = Object.keys(attempts).filter((address) => !/^203\.0\.113\.[1-3]$/.test(address));
      assert.deepEqual(leaks(), others);
    });

    test('most of IPv4 and nothing of IPv6: IPv6 is closed', async () => {
      await protect(['0.0.0.0/1', '128.0.0.0/2', '192.0.0.0/5', '200.0.0.0/7', '203.0.113.0/30']);
      assert.deepEqual(
        leaks(),
        Object.keys(attempts).filter((address) => /^203\.0\.113\.[4-9]$/.test(address)),
      );
    });

    test('what is excluded leaves by the other network, and nothing else', async () => {
      const again = await protect(everything, ['203.0.113.0/30', '2001:db8::2/128']);
      await again();
      // A frame that a process writes itself has not been routed.
      assert.deepEqual(leaks(), ['203.0.113.1', '203.0.113.2', '2001:db8::2']);
      assert.match(sh('ip -n container route get 203.0.113.1'), /via 172.30.0.1 dev eth0/);
      assert.match(sh('ip -n container route get 203.0.113.9'), /dev wg0/);
    });

    test(
      'a router’s redirect is taken without a kill switch, and by no link beside a tunnel for everything',
      slow,
      async () => {
        const [, linkLocal] = /inet6 (fe80:\S+)\//.exec(sh('ip address show dev host0')) ?? [];
        sh(endOfAdvertisements);
        // The kernel takes it from the router that it asks, and for IPv6 only from a link-local address.
        sh(`ip -n container route replace default via ${linkLocal} dev eth0
        ip -n container neigh replace 172.30.0.66 lladdr 02:00:00:00:00:66 dev eth0 nud permanent`);
        const [, own] = /inet6 (fe80:\S+)\//.exec(sh('ip -n container address show dev eth0')) ?? [];
        const forget = 'ip -n container route flush cache; ip -n container -6 route flush cache';
        const redirected = () => {
          sh(`perl ${redirect} host0 172.30.0.1 172.30.0.2 203.0.113.1
          perl ${redirect} host0 ${linkLocal} ${own} 2001:db8::2 || true # not before that address is of use`);
          const routes = sh('ip -n container route get 203.0.113.1; ip -n container route get 2001:db8::2');
          assert.match(routes, /203\.0\.113\.1 via 172\.30\.0\.\d+ dev eth0[\s\S]*2001:db8::2 .*dev eth0/);
          return ['172.30.0.66', 'fe80::66'].filter((router) => routes.includes(`via ${router} `));
        };
        try {
          await make().remove(netns, removalOf(await make().read(netns)));
          await until('the container takes both', () => redirected().length === 2);
          sh(forget);
          await protect(everything, ['203.0.113.0/30', '2001:db8::2/128']);
          redirected();
          await sleep(500);
          assert.deepEqual(redirected(), []);
        } finally {
          sh(`ip -n container route replace default via fd00:30::1\n${forget}`);
        }
      },
    );

    // As `wg-quick up` sets them: in a table of its own what has not its mark.
    const vpnRules = `ip -n container rule add not fwmark 51820 table 51820
      ip -n container rule add table main suppress_prefixlength 0
      ip -n container route replace default dev tun9 table 51820`;
    const endOfVpnRules = `ip -n container rule del not fwmark 51820 table 51820
      ip -n container rule del table main suppress_prefixlength 0`;

    test('a VPN of the container itself comes before the tunnel, whichever was there first; what it sends, by the tunnel', async () => {
      sh('ip -n container tuntap add tun9 mode tun; ip -n container link set tun9 up');
      try {
        for (const steps of [
          [() => protect(), () => sh(vpnRules)],
          [() => sh(vpnRules), () => protect()],
        ]) {
          await make().remove(netns, removalOf(await make().read(netns)));
          for (const step of steps) {
            await step();
          }
          assert.match(sh('ip -n container route get 203.0.113.9'), /dev tun9 table 51820/);
          assert.match(sh('ip -n container route get 203.0.113.9 mark 51820'), /dev wg0 table 30567/);
          assert.deepEqual(leaks(), []);
          sh(endOfVpnRules);
        }
      } finally {
        sh('ip -n container link delete tun9');
      }
    });

    test('changes in it are told of', async () => {
      const changes: Changed[] = [];
      const namespaces = make();
      const watch = namespaces.watch({
        onChange: (where) => changes.push(where),
        onFailure: assert.fail,
      });
      try {
        await until('a change is told of', () => {
          sh('ip -n container link set eth0 mtu 1400; ip -n container link set eth0 mtu 1500');
          return changes.length > 0;
        });
      } finally {
        watch.close();
      }
      const number = await namespaces.nsidOf(netns);
      // ip(8) does not tell which it is.
      assert.equal(typeof number, name === 'netlink' ? 'number' : 'undefined');
      for (const where of changes) {
        const told = where === 'anywhere' ? where : [...where.keys()];
        assert.deepEqual(told, number === undefined ? 'anywhere' : [number]);
      }
    });

    test('a namespace without a link from here has no number', async () => {
      sh('ip netns add lonely');
      try {
        assert.equal(await make().nsidOf('/run/netns/lonely'), undefined);
      } finally {
        sh('ip netns delete lonely');
      }
    });

    test('what another driver has in the container stays when one takes its own away', slow, async () => {
      const other = make('wgdriver-other');
      await protect();
      await protectBy(other);
      await make().remove(netns, removalOf({ routes: [], rules: [] }));
      assert.deepEqual(leaks(), []);
      // A driver of a name that is not the usual one, and of before tables had names.
      await protect();
      await other.removeOldTables(netns);
      const tables = sh('ip netns exec container nft list tables').trim().split('\n').sort();
      assert.deepEqual(tables, ['table inet wgdriver-other', 'table netdev wgdriver-other']);
      await other.remove(netns, removalOf(await other.read(netns)));
    });

    test('it is taken away', async () => {
      await protect();
      await make().remove(netns, removalOf(await make().read(netns)));
      assert.deepEqual(leaks(), Object.keys(attempts));
      const lasting = sh(
        'ip -n container rule; ip -n container -6 rule; ip netns exec container nft list ruleset',
      );
      assert.doesNotMatch(lasting, /32765|3056|wgdriver/);
    });

    test('5,000 prefixes are written into the kernel and taken away', { timeout: 300_000 }, async (t) => {
      const list = Array.from({ length: 5000 }, (_, n) => `10.${n >> 8}.${n & 255}.0/25`);
      const timed = async (what: string, task: () => Promise<unknown>) => {
        const started = performance.now();
        await task();
        t.diagnostic(`${name}, 5,000 prefixes, ${what}: ${Math.round(performance.now() - started)} ms`);
      };
      const namespaces = make();
      const isLink = ({ alias }: { alias: string | undefined }) => alias === 'wgdriver:test:e1';
      const present = await namespaces.read(netns);
      const protection = protectionOf(present, [tunnelOf(isLink, tunnelScope(list))]);
      const routing = routingDifference(present, protection, namespaces.families);
      await timed('written', () => namespaces.apply(netns, protection, routing));
      assert.equal(sh('ip -n container route show table 30567').trim().split('\n').length, 5000);
      assert.match(sh('ip -n container route get 10.19.135.9'), /dev wg0 table 30567/);
      assert.match(sh('ip -n container route get 10.19.135.200'), /dev eth0/);
      assert.match(sendBy('eth0', '10.19.135.9'), /not permitted/, 'it is in the set');
      assert.equal(sendBy('eth0', '10.19.135.200'), 'sent');
      await timed('read again', () => namespaces.read(netns));
      const written = await namespaces.read(netns);
      assert(!hasChanges(routingDifference(written, protection, namespaces.families)));
      await timed('taken away', () => namespaces.remove(netns, removalOf(written)));
      assert.doesNotMatch(sh('ip netns exec container nft list ruleset'), /wgdriver/);
    });

    test('without a right that it takes, the probe says so', slow, () => {
      const of = (path: string) => JSON.stringify(new URL(`../../src/killswitch/${path}`, import.meta.url));
      const script = `
        const { probeProtection } = await import(${of('probe.ts')});
        const { ${make.name} } = await import(${of(`by-${name}.ts`)});
        await probeProtection(${make.name}()).then(() => console.log('protects'), ({ message }) => console.log(message));`;
      const probe = (capabilities: string) =>
        spawnSync(
          'setpriv',
          [`--bounding-set=${capabilities}`, process.execPath, ...process.execArgv, '--input-type=module'],
          { input: script, encoding: 'utf8' },
        );
      assert.match(probe('+all').stdout, /^protects$/m);
      for (const right of ['net_admin', 'sys_admin', 'net_broadcast']) {
        const { stdout, stderr } = probe(`-${right}`);
        assert.match(
          stdout,
          right === 'net_broadcast' ? /CAP_NET_BROADCAST/ : /cannot keep traffic in the tunnel \(/,
          `${right}: ${stdout}${stderr}`,
        );
      }
    });

    test('a namespace of its own, as a probe', async () => {
      await probeProtection(make());
      await assert.rejects(make().read('/run/netns/nobody'), /nobody/);
    });
  });
}

/**
 * By an ipvlan in mode l3 packets are routed by this machine, as it would: it has no neighbours, and no frames leave it
 * that are for all.
 */
const viaParent = Object.keys(attempts)
  .map(
    (address) => `ip route add ${address} dev parent
      ip neigh replace ${address} lladdr $mac dev parent nud permanent`,
  )
  .join('\n');
const isFrame = (address: string) => attempts[address]?.[1] === frame;
const kinds = [
  { kind: 'macvlan mode bridge', setUp: hostileNeighbour, seen: Object.keys(attempts) },
  { kind: 'ipvlan mode l2', setUp: hostileNeighbour, seen: Object.keys(attempts) },
  {
    kind: 'ipvlan mode l3',
    setUp: viaParent,
    seen: Object.keys(attempts).filter((address) => !isFrame(address)),
  },
];

for (const { kind, setUp, seen } of kinds) {
  test(`beside ${kind}: all of it is seen without protection, nothing with it`, {
    skip: obstacleOfKind(kind),
  }, async () => {
    sh(`${containerWith(linkOnWire(kind))}\n${setUp}`);
    try {
      assert.deepEqual(leaks(), seen);
      await protectBy(netlinkNamespaces());
      assert.deepEqual(leaks(), []);
      assert(
        kind.endsWith('l3') ||
          isAnswered('ip', 'netns', 'exec', 'container', 'ping', '-c1', '-W2', '172.30.0.1'),
      );
    } finally {
      sh(endOfContainer);
    }
  });
}

function obstacleOfKind(kind: string): string | undefined {
  if (process.env.WGDRIVER_TEST_FULL === undefined) {
    return 'in the full run';
  }
  const script = `ip link add name v type veth && ip link add link v name k type ${kind}`;
  return isAnswered('unshare', '--net', 'sh', '-c', script) ? skip : `this kernel has no ${kind}`;
}

// The table of docs/security.md, row by row.
test('what a process in a guarded container gets out by its capabilities', { skip }, async () => {
  sh(`${containerWith(bridgeLink)}\n${hostileNeighbour}`);
  const inside = (capabilities: string, ...words: readonly string[]) =>
    spawnSync('ip', [
      ...['netns', 'exec', 'container', 'setpriv', `--bounding-set=${capabilities}`],
      ...words,
    ]).status;
  const byAfXdp = (capabilities: string) => {
    sh('nft flush set inet notes seen4');
    const status = inside(capabilities, 'perl', afXdp, 'eth0', '203.0.113.99');
    const isSeen = sh('nft list set inet notes seen4').includes('203.0.113.99');
    return { status, isSeen };
  };
  try {
    const isFrame = (address: string) => attempts[address]?.[1] === frame;
    const withoutRaw = Object.keys(attempts).filter(
      (address) => !isFrame(address) && attempts[address]?.[1] !== forge,
    );
    assert.deepEqual(
      leaks('-all').filter((address) => !withoutRaw.includes(address)),
      [],
      'none: no frames',
    );
    assert.deepEqual(leaks('-all,+net_raw'), Object.keys(attempts), 'without a kill switch');
    await protectBy(netlinkNamespaces());
    assert.deepEqual(leaks('-all'), []);
    // By its socket's creation.
    assert.deepEqual(byAfXdp('-all'), { status: 7, isSeen: false });
    assert.deepEqual(leaks('-all,+net_raw'), []);
    assert.deepEqual(byAfXdp('-all,+net_raw'), { status: 0, isSeen: true }, 'what docs/leaks.md calls open');
    assert.notEqual(inside('-all,+net_raw', 'nft', 'delete', 'table', 'inet', 'wgdriver'), 0);
    assert.notEqual(inside('-all,+net_raw', 'ip', 'rule', 'delete', 'priority', '32765'), 0);
    assert.deepEqual(leaks('-all,+net_raw'), []);
    const undo = `nft flush ruleset
      for family in -4 -6; do while ip $family rule delete priority 32765; do :; done; done`;
    inside('-all,+net_admin', 'sh', '-c', undo);
    assert.deepEqual(leaks(), Object.keys(attempts), 'NET_ADMIN undoes it');
  } finally {
    sh(endOfContainer);
  }
});

test('a watch whose program was killed begins anew', { skip }, async () => {
  const changes: Changed[] = [];
  const failures: string[] = [];
  const monitors = () =>
    spawnSync('pgrep', ['-P', String(process.pid), '-f', 'ip -oneline monitor']).stdout.toString();
  const watch = programNamespaces().watch({
    onChange: (where) => changes.push(where),
    onFailure: (cause) => failures.push(cause),
  });
  try {
    await until('it watches', () => monitors() !== '');
    process.kill(Number(monitors()), 'SIGKILL');
    await until('another one watches', () => monitors() !== '' && changes.length > 0);
    assert.deepEqual(failures, ['ip -oneline monitor link address route all-nsid: SIGKILL']);
  } finally {
    watch.close();
  }
  await until('it has ended', () => monitors() === '');
});
