/** In a guest, as root: a tunnel that a container makes itself, with the kernel's WireGuard. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { netlinkNamespaces } from '../../../src/killswitch/by-netlink.ts';
import { programNamespaces } from '../../../src/killswitch/by-programs.ts';
import { removalOf, routingDifference } from '../../../src/killswitch/difference.ts';
import type { Namespaces } from '../../../src/killswitch/namespaces.ts';
import { protectionOf, tunnelOf } from '../../../src/killswitch/rules.ts';
import { everything, tunnelScope } from '../../support/tunnel-scope.ts';

const sh = (script: string) =>
  execFileSync('sh', ['-euc', script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
const received = (link: string) => Number(sh(`wg show ${link} transfer`).trim().split(/\s+/).at(1));
const netns = '/run/netns/inner';
const pings = (...where: readonly string[]) =>
  spawnSync('ip', ['netns', 'exec', 'inner', 'ping', '-c1', '-W2', ...where]).status === 0;
/** By each of the three tunnels; by the foreign one past its connected network, which any link may reach. */
const reached = () => [pings('10.8.0.1'), pings('10.9.0.1'), pings('-I', 'foreign0', '203.0.113.1')];

/** `wg` reads keys from files alone. */
const configured = (inside: string, name: string, port: number, peer: string, more: string) => `
  ${inside} wg set ${name} listen-port ${port} private-key /run/inner.${name} \
    peer $(wg pubkey </run/inner.${peer}) allowed-ips 0.0.0.0/0 ${more}`;
const inside = 'ip netns exec inner';

/**
 * Our tunnel wg0 leads to hub0 of the host, by the host's sockets; the container's own, vpn0, to far0 of the host, and
 * far0 is reached through wg0 alone. foreign0 was made on the host as well, and leads there too.
 */
const setUp = `
  for name in wg0 hub0 vpn0 far0 foreign0 farther0; do (umask 077; wg genkey >/run/inner.$name); done
  ip netns add inner
  ip -n inner link set lo up
  ip link set lo up
  for name in wg0 hub0 far0 foreign0 farther0; do ip link add $name type wireguard; done
  ${configured('', 'hub0', 5101, 'wg0', '')}
  ip address add 10.8.0.1/24 dev hub0; ip link set hub0 up
  ${configured('', 'wg0', 5102, 'hub0', 'endpoint 127.0.0.1:5101')}
  ip link set wg0 alias wgdriver:test:e1
  ${configured('', 'foreign0', 5105, 'farther0', 'endpoint 127.0.0.1:5106')}
  ip link set wg0 netns inner; ip link set foreign0 netns inner
  ip -n inner address add 10.8.0.2/24 dev wg0; ip -n inner link set wg0 up
  ip -n inner route add default dev wg0
  ip -n inner address add 10.10.0.2/24 dev foreign0; ip -n inner link set foreign0 up
  ${configured('', 'farther0', 5106, 'foreign0', '')}
  ip address add 10.10.0.1/24 dev farther0; ip address add 203.0.113.1/32 dev farther0; ip link set farther0 up
  ${configured('', 'far0', 5103, 'vpn0', '')}
  ip address add 10.9.0.1/24 dev far0; ip address add 203.0.113.9/32 dev far0; ip link set far0 up`;

const vpn = `
  ip -n inner link add vpn0 type wireguard
  ${configured(inside, 'vpn0', 5104, 'far0', 'endpoint 10.8.0.1:5103')}
  ip -n inner address add 10.9.0.2/24 dev vpn0; ip -n inner link set vpn0 up`;

async function protect(namespaces: Namespaces = netlinkNamespaces()): Promise<void> {
  const present = await namespaces.read(netns);
  const isLink = ({ alias }: { alias: string | undefined }) => alias === 'wgdriver:test:e1';
  const protection = protectionOf(present, [tunnelOf(isLink, tunnelScope(everything))]);
  await namespaces.apply(netns, protection, routingDifference(present, protection, namespaces.families));
}

before(() => sh(setUp));
after(() => sh('ip netns delete inner; for name in hub0 far0 farther0; do ip link delete $name; done'));

test('without protection each of the tunnels carries', () => {
  sh(vpn);
  assert.deepEqual(reached(), [true, true, true]);
});

for (const [how, namespaces] of Object.entries({
  netlink: netlinkNamespaces(),
  programs: programNamespaces(),
})) {
  const protectSo = () => protect(namespaces);

  test(`by ${how}: one that was made in the container carries, and its outer packets leave by ours; one that was moved in does not`, async () => {
    await protectSo();
    assert.deepEqual(reached(), [true, true, false]);
    const before = received('hub0');
    assert(pings('10.9.0.1'));
    assert(received('hub0') > before);
  });

  test(`by ${how}: the same if it comes later`, async () => {
    sh('ip -n inner link delete vpn0');
    await protectSo();
    sh(vpn);
    assert(!pings('10.9.0.1'));
    await protectSo();
    assert(pings('10.9.0.1'));
  });

  // The rules are the same, as test/killswitch/namespaces.test.ts has it; a guest takes half a minute for programs.
  const skip = how === 'programs' && process.env.WGDRIVER_TEST_FULL === undefined && 'in the full run';
  test(`by ${how}: wg-quick with everything for its tunnel, in either order`, { skip }, () =>
    tryWgQuick(namespaces),
  );
}

async function tryWgQuick(namespaces: Namespaces): Promise<void> {
  const protectSo = () => protect(namespaces);
  sh('ip -n inner link delete vpn0');
  sh(`umask 077; cat >/run/vpn0.conf <<END
[Interface]
PrivateKey = $(cat /run/inner.vpn0)
Address = 10.9.0.2/24
[Peer]
PublicKey = $(wg pubkey </run/inner.far0)
Endpoint = 10.8.0.1:5103
AllowedIPs = 0.0.0.0/0
END`);
  const up = async () => void sh(`${inside} wg-quick up /run/vpn0.conf 2>&1`);
  for (const steps of [
    [protectSo, up],
    [up, protectSo],
  ]) {
    await namespaces.remove(netns, removalOf(await namespaces.read(netns)));
    for (const step of steps) {
      await step();
    }
    await protectSo();
    const before = received('far0');
    assert.deepEqual([...reached(), pings('203.0.113.9')], [true, true, false, true]);
    assert(received('far0') > before);
    assert.match(sh('ip -n inner route get 203.0.113.9'), /dev vpn0/);
    sh(`${inside} wg-quick down /run/vpn0.conf 2>&1`);
  }
  sh(vpn);
  await protectSo();
}

test('by programs the same ones are told', async () => {
  const { links } = await programNamespaces().read(netns);
  assert.deepEqual(
    links.filter(({ isInner }) => isInner).map(({ name }) => name),
    ['vpn0'],
  );
});

test('a process that takes the port of a link that was moved in does not make it one of the container’s own', async () => {
  const script =
    'socket S,2,2,0;setsockopt S,1,32,pack"i",2147483647;bind S,pack"Sna4x8",2,5105,"\\0"x4;$|=1;print 1;sleep 9';
  sh(`${inside} perl -e '${script}' >/run/inner.log & sleep 1`);
  await protect();
  assert.equal(sh('cat /run/inner.log'), '1');
  assert.deepEqual(reached(), [true, true, false]);
});
