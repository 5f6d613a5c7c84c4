// A tunnel that two containers share, in network namespaces of its own: provider, host, gateway and containers.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { until } from '../../build/host/commands.ts';
import { type Daemon, startDaemon, untilReady } from '../../build/host/daemon.ts';
import { programGateways } from '../../src/gateway/gateways.ts';
import type { Gateway } from '../../src/gateway/setup.ts';
import { netlinkLinks } from '../../src/links/netlink/links.ts';
import { userspaceLinks } from '../../src/links/userspace/links.ts';
import { type Keeper, namespaceOf } from '../../src/programs/keeper.ts';
import { parseAddress, prefixOf } from '../../src/wireguard/address.ts';
import { clamp, PrivateKey, publicKeyOf } from '../../src/wireguard/key.ts';
import { markOf } from '../../src/wireguard/link-alias.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { backend, hubPrograms, makeLink, sh } from '../support/hub-namespaces.ts';

const { skip } = await enterFreshNamespace(...hubPrograms, 'nsenter', 'setsid', 'tcpdump', 'perl');
const mark = markOf('wireguard-plugin');
const links = backend === 'netlink' ? netlinkLinks(mark) : userspaceLinks(mark, 'wireguard-go');
const gateways = programGateways(mark);

const keyOf = (n: number) => new PrivateKey(clamp(new Uint8Array(32).fill(n)));
const [providerKey, customerKey] = [keyOf(1), keyOf(2)];
const address = (text: string) => parseAddress(text) ?? assert.fail(text);

const shared = 'shared-network';
const link = linkName(shared);
const place = (keeper: Keeper) => ({ name: link, endpointId: shared, sandbox: namespaceOf(keeper) });
const mtu = 1400;
const gateway: Gateway = {
  link,
  addresses: ['10.64.0.7/32', 'fd64::7/128'].map(prefixOf),
  prefixes: ['0.0.0.0/0', '::/0'].map(prefixOf),
  pools: ['10.7.0.0/24', 'fd77::a07:0/120'].map(prefixOf),
  gateways: ['10.7.0.1', 'fd77::a07:1'].map(address),
  dns: [address('203.0.113.53'), address('203.0.113.9')],
  hasIcc: true,
};
const peers = [
  {
    publicKey: publicKeyOf(providerKey),
    endpoint: { address: address('10.99.0.2'), port: 51820 },
    allowedIps: gateway.prefixes,
  },
];

/** Two, as the engine makes them: the address of IPv4 with the subnet’s length. */
const containers = [2, 3].map((n) => ({
  name: `app${n}`,
  endpointId: `${n}`.repeat(64),
  addresses: [address(`10.7.0.${n}`), address(`fd77::a07:${n}`)],
}));
const [one = assert.fail(), two = assert.fail()] = containers;

async function startContainer(keeper: Keeper, { name, endpointId, addresses }: (typeof containers)[number]) {
  const port = { name: linkName(endpointId), mtu, addresses, gateways: gateway.gateways };
  await gateways.attach(keeper, port, endpointId);
  const [ipv4, ipv6] = addresses.map((own) => own.toString());
  sh(
    `ip netns add $1; ip -n $1 link set lo up
     ip link set $2 netns $1
     ip -n $1 link set $2 name wg0
     ip -n $1 address add $3/24 dev wg0; ip -n $1 address add $4/128 dev wg0 nodad
     ip -n $1 link set wg0 up
     ip -n $1 route add default via 10.7.0.1
     ip -n $1 route add fd77::a07:1/128 dev wg0; ip -n $1 route add default via fd77::a07:1`,
    ...[name, port.name, ipv4 ?? '', ipv6 ?? ''],
  );
}

const enter = (netns: string, ...command: string[]) =>
  spawnSync('ip', ['netns', 'exec', netns, ...command], { encoding: 'utf8', timeout: 20_000 });
const pings = (from: string, to: string, ...more: string[]) =>
  enter(from, 'ping', '-c', '1', '-W', '1', ...more, to).status === 0;
/** The first handshake takes its time, and a userspace link looks once a second whether it is up. */
const pinged = (from: string, to: string, ...more: string[]) =>
  until(`${from} reaches ${to}`, () => pings(from, to, ...more));

let keeper: Keeper;

async function openTunnel(): Promise<void> {
  const begun = await gateways.begin('network');
  keeper = begun.keeper;
  begun.stay();
  await links.create({ name: link, mtu, endpointId: shared });
  await links.configure(link, { privateKey: customerKey, peers });
  await gateways.open(keeper, gateway);
}

before(async () => {
  if (skip !== undefined) {
    return;
  }
  sh(
    `ip netns add provider
     ip link add hop type veth peer name eth0 netns provider
     ip address add 10.99.0.1/24 dev hop; ip link set hop up
     ip -n provider link set lo up
     ip -n provider address add 10.99.0.2/24 dev eth0; ip -n provider link set eth0 up
     ip netns exec provider sh -euc "$1" sh wgp
     umask 077; printf %s "$2" >/run/key
     ip netns exec provider wg set wgp private-key /run/key listen-port 51820 peer "$3" allowed-ips 10.64.0.7/32,fd64::7/128
     ip -n provider address add 10.64.0.1/24 dev wgp; ip -n provider address add fd64::1/64 dev wgp nodad
     for address in 203.0.113.9 203.0.113.53; do ip -n provider address add $address dev lo; done
     ip -n provider link set wgp up
     # What leaks would be seen to arrive: the host has a way to all of it, past the tunnel.
     ip route add default via 10.99.0.2; sysctl -qw net.ipv4.ip_forward=1`,
    ...[makeLink, providerKey.toBase64(), publicKeyOf(customerKey)],
  );
  await gateways.probe();
  await openTunnel();
  for (const container of containers) {
    await startContainer(keeper, container);
  }
});
after(async () => {
  if (skip === undefined) {
    await gateways.end(keeper, link);
  }
});

test('containers send by the tunnel, in both families, as one peer', { skip }, async () => {
  for (const { name } of containers) {
    await pinged(name, '203.0.113.9');
    await pinged(name, 'fd64::1');
  }
  const status = await links.read(place(keeper));
  assert.equal(status?.peers.length, 1);
  assert(status.peers[0]?.lastHandshake);
  assert.equal(status.mtu, 1400);
});

test('containers reach one another, by either family, and the gateway', { skip }, async () => {
  await pinged('app2', '10.7.0.3');
  await pinged('app2', 'fd77::a07:3');
  await pinged('app3', '10.7.0.1');
  await pinged('app3', 'fd77::a07:1');
});

test('packets of the link’s whole MTU arrive', { skip }, async () => {
  await pinged('app2', '203.0.113.9', '-s', '1372', '-M', 'do');
  assert(!pings('app2', '203.0.113.9', '-s', '1373', '-M', 'do'));
});

/** A name server behind the tunnel that says who has asked it what. */
async function startServer(at: string) {
  const server = `const s = require('node:dgram').createSocket('udp4');
    s.on('message', (m, { port, address }) => s.send(\`\${m} of ${at} by \${address}\`, port, address));
    s.bind(53, '${at}', () => console.log('ready'));`;
  const daemon = spawn('ip', ['netns', 'exec', 'provider', process.execPath, '-e', server], {
    stdio: 'pipe',
  });
  let output = '';
  daemon.stdout.on('data', (part) => {
    output += part;
  });
  await until('the server is there', () => output.includes('ready'));
  return daemon;
}

/** Captures by tcpdump, until it is stopped. */
async function startCapture(file: string, ...args: string[]): Promise<Daemon> {
  const capture = startDaemon(file, [...args, '-nn', '-l', '-U']);
  await untilReady(capture, 'tcpdump listens', () => capture.output().includes('listening on'));
  return capture;
}

/** Asks the gateway as the engine’s resolver does, each time from another port. @returns the first answer */
function ask(): string {
  const client = `const ask = () => {
      const s = require('node:dgram').createSocket('udp4');
      s.on('message', (m) => { console.log(String(m)); process.exit(); });
      s.send('query ' + ++count, 53, '10.7.0.1');
    };
    let count = 0; ask(); setInterval(ask, 1500);`;
  return enter('app2', process.execPath, '-e', client).stdout.trim();
}

test('what is asked of the gateway on port 53 is asked of the file’s servers, of the first that answers', {
  skip,
}, async () => {
  const answerOf = (server: string, query = 1) => `query ${query} of ${server} by 10.64.0.7`;
  const [first, second] = await Promise.all(['203.0.113.53', '203.0.113.9'].map(startServer));
  try {
    assert.equal(ask(), answerOf('203.0.113.53'));
    assert.equal(ask(), answerOf('203.0.113.53'));
    // Silent, and not refusing: that would be an answer of sorts.
    sh(`ip netns exec provider iptables -I INPUT -d 203.0.113.53 -j DROP`);
    assert.match(ask(), /^query [2-9] of 203\.0\.113\.9 by /);
    assert.equal(ask(), answerOf('203.0.113.9'));
    sh(`ip netns exec provider iptables -D INPUT -d 203.0.113.53 -j DROP`);
    // Half a minute after it fell silent it is tried again, and an answer makes it the one that is asked.
    sh(`nsenter --net=${namespaceOf(keeper)} nft delete element inet wgdriver asked_ipv4_0 '{ 53 }'`);
    assert.equal(ask(), answerOf('203.0.113.53'));
    assert.equal(ask(), answerOf('203.0.113.53'));
  } finally {
    sh(`ip netns exec provider iptables -F INPUT`);
    first?.kill();
    second?.kill();
  }
});

test('no container takes another’s address, or an address of the subnet that nobody has', {
  skip,
}, async () => {
  sh(`ip -n app3 address add 10.7.0.2/32 dev wg0; ip -n app3 address add fd77::a07:2/128 dev wg0 nodad`);
  assert(!pings('app3', '203.0.113.9', '-I', '10.7.0.2'));
  assert(!pings('app3', 'fd64::1', '-I', 'fd77::a07:2'));
  sh(`ip -n app3 address delete 10.7.0.2/32 dev wg0; ip -n app3 address delete fd77::a07:2/128 dev wg0`);
  assert(!pings('app2', '10.7.0.77'));
  assert(!pings('app2', 'fd77::a07:77'));
  // Nothing of it has gone to the provider.
  const routed = sh(`nsenter --net=${namespaceOf(keeper)} ip route get 10.7.0.77 2>&1 || true`);
  assert.match(routed, /unreachable|No route to host/);
});

test('no broadcast or multicast of one container reaches another, and so no ARP or router advertisement', {
  skip,
}, async () => {
  const capture = await startCapture('ip', 'netns', 'exec', 'app2', 'tcpdump', '--interface=wg0', '-e');
  try {
    const mac = /link\/ether (\S+)/.exec(sh('ip -n app3 link show wg0'))?.[1] ?? assert.fail();
    sh('ip -n app3 neigh flush dev wg0');
    pings('app3', 'ff02::1%wg0');
    pings('app3', '10.7.0.255', '-b');
    pings('app3', '10.7.0.88');
    // What is for it arrives, by the gateway.
    await pinged('app3', '10.7.0.2');
    await until('it is seen', () => capture.output().includes('10.7.0.3 > 10.7.0.2'));
    const seen = capture.output();
    assert(!seen.includes(mac), seen);
    assert.doesNotMatch(seen, /ff02::1:|router advertisement|10\.7\.0\.88|10\.7\.0\.255/);
  } finally {
    await capture.stop();
  }
});

const macOf = (netns: string) =>
  /link\/ether (\S+)/.exec(sh(`ip -n ${netns} link show wg0`))?.[1] ?? assert.fail();

test('what a container forges takes nothing of another’s: ARP, NA, router advertisements, redirects', {
  skip,
}, async () => {
  // As Docker leaves them.
  sh(`for file in accept_ra accept_redirects; do
        ip netns exec app2 sh -c "echo 1 >/proc/sys/net/ipv6/conf/wg0/$file"
      done
      ip netns exec app2 sh -c 'for f in all wg0; do echo 1 >/proc/sys/net/ipv4/conf/$f/accept_redirects; done'`);
  await until('both have link-local addresses', () =>
    ['app2', 'app3'].every(
      (app) => !/tentative|^$/.test(sh(`ip -n ${app} -6 address show dev wg0 scope link`)),
    ),
  );
  const shown = () => ({
    routes: sh(
      `ip -n app2 route show; ip -n app2 -6 route show
       ip -n app2 route get 203.0.113.9; ip -n app2 route get fd64::1`,
    ).replaceAll(/ expires \d+sec/g, ''),
    addresses: sh('ip -n app2 -brief address show dev wg0'),
  });
  await pinged('app2', '10.7.0.1');
  await pinged('app2', 'fd77::a07:1');
  const before = shown();
  const capture = await startCapture('ip', 'netns', 'exec', 'app2', 'tcpdump', '--interface=wg0', '-e');
  const neighbour = startDaemon('ip', [
    ...['netns', 'exec', 'app3', 'perl', 'test/scenarios/neighbour.pl', 'wg0', '10.7.0.1', 'fd77::a07:1'],
  ]);
  try {
    await until('it forges', () => (neighbour.output().match(/^taken:/gm)?.length ?? 0) >= 3);
    const forge = (program: string, ...args: string[]) => {
      const { status, stderr } = enter('app3', 'perl', `test/killswitch/${program}`, ...args);
      assert.equal(status, 0, stderr);
    };
    forge('advertise.pl', 'wg0', '2001:db8:bad::', '64');
    forge('redirect.pl', 'wg0', '10.7.0.3', '10.7.0.2', '203.0.113.9');
    forge('redirect.pl', 'wg0', 'fd77::a07:3', 'fd77::a07:2', 'fd64::1');
    // What is asked for there would be answered by the neighbour, and be seen to arrive.
    for (const beyond of ['198.18.0.1', '2001:db8::1']) {
      pings('app2', beyond);
    }
    await pinged('app2', '203.0.113.9');
    await pinged('app2', 'fd64::1');
    await pinged('app2', '10.7.0.3');
    assert.deepEqual(shown(), before);
    assert.doesNotMatch(neighbour.output(), /^taken: \S/m);
    assert(!sh('ip -n app2 neigh show').includes(macOf('app3')));
    const seen = capture.output();
    assert(!seen.includes(macOf('app3')), seen);
    assert.doesNotMatch(seen, /redirect|router advertisement|2001:db8:bad::/);
  } finally {
    await neighbour.stop();
    await capture.stop();
  }
});

/** Sends a megabyte to the provider, which sends one back. @returns what arrived there and here */
function exchange(to: string): string {
  const client = `let count = 0;
    const s = require('node:net').connect(7000, '${to}', () => s.end(Buffer.alloc(1e6)));
    s.on('data', (part) => { count += part.length; }).on('end', () => console.log(count));`;
  return enter('app2', process.execPath, '-e', client).stdout.trim();
}

test('a megabyte each way through a tunnel whose MTU is less than the containers’ links’', {
  skip,
}, async () => {
  const server = `require('node:net').createServer({ allowHalfOpen: true }, (s) => {
      let count = 0;
      s.on('data', (part) => { count += part.length; }).on('end', () => s.end(Buffer.alloc(count)));
    }).listen(7000, '::', () => console.log('ready'));`;
  const daemon = startDaemon('ip', ['netns', 'exec', 'provider', process.execPath, '-e', server]);
  const capture = await startCapture('ip', 'netns', 'exec', 'provider', 'tcpdump', '--interface=wgp', 'tcp');
  const setMtu = (bytes: number) =>
    sh(`nsenter --net=${namespaceOf(keeper)} ip link set $1 mtu $2`, link, String(bytes));
  try {
    await untilReady(daemon, 'the server is there', () => daemon.output().includes('ready'));
    setMtu(1280);
    for (const [to, mss] of [
      ['203.0.113.9', 1240],
      ['fd64::1', 1220],
    ] as const) {
      assert.equal(exchange(to), '1000000', to);
      await until('its segments are as long as the tunnel carries', () =>
        new RegExp(`Flags \\[S\\].*\\bmss ${mss},`).test(capture.output()),
      );
    }
  } finally {
    setMtu(mtu);
    await capture.stop();
    await daemon.stop();
  }
});

test('without the tunnel nothing leaves, though the host has a way', { skip }, async () => {
  assert.equal(sh('ping -c 1 -W 5 203.0.113.9 >/dev/null && echo reached').trim(), 'reached');
  const capture = await startCapture('tcpdump', '--interface=hop');
  try {
    for (const state of ['down', 'up'] as const) {
      sh(`nsenter --net=${namespaceOf(keeper)} ip link set $1 $2`, link, state);
      for (const { name } of containers) {
        assert.equal(pings(name, '203.0.113.9'), false, state);
        pings(name, 'fd64::1');
      }
      if (state === 'down') {
        // Up again, it has no routes: nothing goes by itself.
        assert.doesNotMatch(capture.output(), /10\.7\.0\.|10\.64\.0\.|fd77|203\.0\.113\.9/);
      }
    }
    assert.doesNotMatch(capture.output(), /10\.7\.0\.|10\.64\.0\.|fd77|203\.0\.113\.9/);
  } finally {
    await capture.stop();
  }
  await gateways.renew(keeper, gateway);
  await pinged('app2', '203.0.113.9');
});

test('new addresses of the file come in the place of the old, and icc=off parts containers', {
  skip,
}, async () => {
  sh(`ip netns exec provider wg set wgp peer "$1" allowed-ips 10.64.0.8/32`, publicKeyOf(customerKey));
  await gateways.renew(keeper, { ...gateway, addresses: [prefixOf('10.64.0.8/32')], hasIcc: false });
  await pinged('app2', '203.0.113.9');
  const shown = sh(`nsenter --net=${namespaceOf(keeper)} ip -brief address show dev $1 scope global`, link);
  assert.doesNotMatch(shown, /10\.64\.0\.7|fd64::7/);
  assert(!pings('app2', '10.7.0.3'));
  assert(!pings('app2', 'fd77::a07:3'));
});

test('without an IPv6 address of the file IPv6 is closed, though a container has one', { skip }, async () => {
  const capture = await startCapture('ip', 'netns', 'exec', 'provider', 'tcpdump', '--interface=any', 'ip6');
  try {
    // The file before had an IPv6 address, and the containers that run still have theirs.
    assert(!pings('app2', 'fd64::1'));
    assert(!pings('app2', '2001:db8::9'));
    await pinged('app2', '203.0.113.9');
    assert.doesNotMatch(capture.output(), /fd77|fd64::1|2001:db8::9/);
  } finally {
    await capture.stop();
  }
});

test('a container’s link is deleted by its other end, whatever has become of its mark', {
  skip,
}, async () => {
  sh('ip -n app3 link set wg0 alias mine');
  await gateways.detach(keeper, linkName(two.endpointId));
  assert.doesNotMatch(sh('ip -n app3 link show'), /wg0/);
  await gateways.detach(keeper, linkName(two.endpointId));
  await pinged('app2', '203.0.113.9');
  sh(
    `ip netns exec provider wg set wgp peer "$1" allowed-ips 10.64.0.7/32,fd64::7/128`,
    publicKeyOf(customerKey),
  );
});

test('what the tunnel is for may change, and what it is for no more has no way there', { skip }, async () => {
  await gateways.renew(keeper, { ...gateway, prefixes: ['203.0.113.9/32', 'fd64::/64'].map(prefixOf) });
  await pinged('app2', '203.0.113.9');
  await pinged('app2', 'fd64::1');
  assert(!pings('app2', '203.0.113.53'));
  await gateways.renew(keeper, gateway);
  await pinged('app2', '203.0.113.53');
});

test('a running container gets a link again by a new namespace, and its address and routes with it', {
  skip,
}, async () => {
  process.kill(keeper.pid, 'SIGKILL');
  await until('its links are gone', () => !/wg0/.test(sh('ip -n app2 link show')));
  assert(!pings('app2', '203.0.113.9'));
  await openTunnel();
  const [{ name, endpointId, addresses }] = [one];
  const port = { name: linkName(endpointId), mtu, addresses, gateways: gateway.gateways };
  const inside = {
    linkPrefix: 'wg',
    addresses: ['10.7.0.2/24', 'fd77::a07:2/128'].map(prefixOf),
    routes: [
      { destination: prefixOf('fd77::a07:1/128') },
      ...['10.7.0.1', 'fd77::a07:1'].map((text, index) => ({
        destination: gateway.prefixes[index] ?? assert.fail(),
        gateway: address(text),
      })),
    ],
  };
  const sandbox = `/run/netns/${name}`;
  // What cannot be done leaves nothing: this address is there twice.
  const wrong = { ...inside, addresses: [...inside.addresses, ...inside.addresses] };
  await assert.rejects(gateways.reattach(keeper, port, endpointId, sandbox, wrong), /attach link .* again/);
  assert.deepEqual([...(await gateways.ports(keeper))].sort(), ['lo', link].sort());
  assert.equal(await gateways.reattach(keeper, port, endpointId, '/run/netns', inside), false);
  assert.equal(await gateways.reattach(keeper, port, endpointId, sandbox, inside), true);
  assert.match(sh('ip -n app2 link show wg0'), new RegExp(`alias \\S+${endpointId}`));
  await pinged('app2', '203.0.113.9');
  await pinged('app2', 'fd64::1');
  await gateways.detach(keeper, port.name);
  assert.doesNotMatch(sh('ip -n app2 link show'), /wg0/);
});

test('a keeper that is not told to stay ends with who began it; the end of a namespace ends all in it', {
  skip,
}, async () => {
  const { keeper: other } = await gateways.begin('other');
  assert(await gateways.isKept(other));
  process.kill(other.pid, 'SIGKILL');
  await until('it has ended', async () => !(await gateways.isKept(other)));
  await gateways.attach(keeper, { name: 'wgdlate', mtu: 1400, addresses: [], gateways: [] }, 'late');
  await assert.rejects(
    gateways.attach(keeper, { name: 'wgdlate', mtu: 1400, addresses: [], gateways: [] }, 'late'),
    { code: 'EEXIST' },
  );
  await gateways.end(keeper, link);
  await until('it has ended', async () => !(await gateways.isKept(keeper)));
  await until('its links are gone', () => !/wgd/.test(sh('ip link show')));
  assert.doesNotMatch(sh('ip -n app2 link show'), /wg0/);
  await gateways.end(keeper, link);
  await gateways.detach(keeper, linkName(one.endpointId));
});

test('a driver that takes what it starts along is refused', async () => {
  await assert.rejects(
    programGateways(mark, async () => true).probe(),
    /this driver runs in a container or as a managed plugin/,
  );
});
