// A hub in a network namespace of its own, and ends of tunnels in others.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decodeHubConfig } from '../../src/hub/config.ts';
import { dockerUserFirewall } from '../../src/hub/docker-user.ts';
import { makePrivateKey, securePrivateKey } from '../../src/hub/files.ts';
import { hostByNetlink } from '../../src/hub/host-by-netlink.ts';
import { hostByPrograms } from '../../src/hub/host-by-programs.ts';
import { createHub, type Hub, hubOwner, placeOf } from '../../src/hub/hub.ts';
import { obstaclesOf } from '../../src/hub/obstacles.ts';
import { readFirewalls } from '../../src/hub/other-firewalls.ts';
import { openHubState } from '../../src/hub/state.ts';
import { derivePrivateKey } from '../../src/keys/derivation.ts';
import { netlinkLinks } from '../../src/links/netlink/links.ts';
import { netlinkObstacle } from '../../src/links/netlink/probe.ts';
import { userspaceLinks } from '../../src/links/userspace/links.ts';
import { createMarker } from '../../src/state/marker.ts';
import { parseAddress } from '../../src/wireguard/address.ts';
import { type PrivateKey, type PublicKey, publicKeyOf } from '../../src/wireguard/key.ts';
import { markOf } from '../../src/wireguard/link-alias.ts';
import { Secret } from '../../src/wireguard/secret.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import {
  backend,
  type FarEnd,
  hubPrograms,
  makeLink,
  sh,
  startFarEnd,
  until,
} from '../support/hub-namespaces.ts';
import { recordedLog } from '../support/recorded-log.ts';

const { skip } = await enterFreshNamespace(...hubPrograms);

const folder = mkdtempSync(join(tmpdir(), 'wgdriver-hub-'));
after(() => rmSync(folder, { recursive: true }));
const seeds = { old: 'b2xkb2xkb2xkb2xkb2xkb2xk', new: 'bmV3bmV3bmV3bmV3bmV3bmV3' };
const additional = new TextEncoder().encode('bestov.io');
const base = `
networks:
  app: { subnet: 192.168.5.0/24, ipv6: 'fd12::/64', seedfile: old.seed, peers: 20 }`;
const rotating = base.replace('seedfile: old.seed', 'seedfiles: [new.seed, old.seed]');

function keyOf(epoch: keyof typeof seeds, address: string): PrivateKey {
  const seed = new Secret(Buffer.from(seeds[epoch], 'base64'));
  return derivePrivateKey(
    { seed, additional, derivation: 'sha3-256' },
    parseAddress(address) ?? assert.fail(),
  );
}

const dump = () =>
  execFileSync('wg', ['show', 'wg0', 'dump'], { encoding: 'utf8' })
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'));
const allowedOf = (key: PublicKey) => dump().find(([publicKey]) => publicKey === key)?.[3];
const configOf = (text: string) => decodeHubConfig(text, join(folder, 'hub.yaml'));
const log = recordedLog();
/** Each second hub goes by the other way, and finds what the one before has left. */
const hosts = netlinkObstacle() === undefined ? [hostByNetlink, hostByPrograms] : [hostByPrograms];
let turn = 0;

async function newHub(): Promise<Hub> {
  const mark = markOf(hubOwner);
  return createHub({
    links: backend === 'netlink' ? netlinkLinks(mark) : userspaceLinks(mark, 'wireguard-go'),
    mark,
    host: hosts[turn++ % hosts.length]?.() ?? assert.fail(),
    firewall: dockerUserFirewall(),
    state: await openHubState(join(folder, 'state')),
    making: createMarker(join(folder, 'making')),
    log,
    readPrivateKey: securePrivateKey,
    makePrivateKey,
  });
}

let hub: Hub;
const ends: FarEnd[] = [];
let hubKey: PublicKey;

if (skip === undefined) {
  for (const [name, seed] of Object.entries(seeds)) {
    writeFileSync(join(folder, `${name}.seed`), seed);
  }
  hub = await newHub();
  hubKey = publicKeyOf(await makePrivateKey(join(folder, 'wg0.key')));
}
const startEnd = (host: number, keepalive?: number) => {
  const end = startFarEnd({
    addresses: [`192.168.5.${host}/24`, `fd12::c0a8:50${host}/64`],
    key: keyOf('old', `192.168.5.${host}`),
    hubKey,
    ...(keepalive === undefined ? {} : { keepalive }),
  });
  ends.push(end);
  return end;
};
after(() => {
  for (const end of ends) {
    end.close();
  }
});

test('a link of somebody else is not touched', { skip }, async () => {
  sh('ip tuntap add dev wg0 mode tun');
  await assert.rejects(hub.load(configOf(base)), /link wg0 exists and is not this hub’s: .*hub adopt wg0/);
  // One of wg-quick, which keeps its key in a file of its own: it can be adopted, and no other key is made for it.
  sh('ip link delete wg0');
  sh(makeLink, 'wg0');
  sh('wg set wg0 private-key $1', join(folder, 'wg0.key'));
  await assert.rejects(
    hub.load(configOf(`${base}\nprivatekeyfile: none.key`)),
    /link wg0 exists and is not this hub’s: .*hub adopt wg0/,
  );
  assert(!existsSync(join(folder, 'none.key')));
  sh('ip link delete wg0');
});

test('one that a kill has left without mark and key is this hub’s own, and made again', {
  skip,
}, async () => {
  sh(makeLink, 'wg0');
  await assert.rejects(hub.load(configOf(base)), /link wg0 exists and is not this hub’s/);
  await createMarker(join(folder, 'making')).begin(['wg0']);
  // Somebody else has set it up since.
  sh('wg set wg0 private-key $1', join(folder, 'wg0.key'));
  await assert.rejects(hub.load(configOf(base)), /link wg0 exists and is not this hub’s/);
  sh('ip link delete wg0');
  sh(makeLink, 'wg0');
  await hub.load(configOf(base));
  sh('ip link delete wg0');
  hub = await newHub();
});

test('a hub that serves a network: reached, and from one container to the other, by both families', {
  skip,
}, async () => {
  await hub.load(configOf(base));
  assert.equal(dump().length, 20);
  assert.match(sh('ip address show dev wg0'), /inet 192\.168\.5\.1\/24[\s\S]*inet6 fd12::c0a8:501\/64/);
  assert.equal(readFileSync(join(folder, 'wg0.key'), 'utf8').length, 45);
  const [one, two] = [startEnd(2), startEnd(3)];
  assert(one.pings('192.168.5.1'));
  assert(two.pings('fd12::c0a8:501'));
  assert(one.pings('192.168.5.3'));
  assert(two.pings('fd12::c0a8:502'));
});

test('loading the same again changes nothing, and one client more is one change', { skip }, async () => {
  const shaken = () => execFileSync('wg', ['show', 'wg0', 'latest-handshakes'], { encoding: 'utf8' });
  const before = shaken();
  const { length } = log.lines;
  await hub.load(configOf(base));
  await hub.load(configOf(`${base}\nclients:\n  pc: { address: 192.168.5.99 }`));
  assert.deepEqual(
    log.lines
      .slice(length)
      .filter(({ message }) => message === 'hub loaded')
      .map(({ fields }) => fields.changes),
    [0, 1],
  );
  assert.equal(
    shaken()
      .split('\n')
      .filter((line) => before.includes(line)).length,
    before.split('\n').length,
  );
  await hub.load(configOf(base));
  assert.equal(dump().length, 20);
});

test('another port, MTU or key in the file is the link’s at once', { skip }, async () => {
  const shown = () =>
    sh('wg show wg0 listen-port; wg show wg0 public-key; ip link show dev wg0 | grep -o "mtu [0-9]*"')
      .trim()
      .split('\n');
  const other = publicKeyOf(await makePrivateKey(join(folder, 'other.key')));
  await hub.load(configOf(`${base}\nport: 4500\nmtu: 1300\nprivatekeyfile: other.key`));
  assert.deepEqual(shown(), ['4500', other, 'mtu 1300']);
  await hub.load(configOf(base));
  assert.deepEqual(shown(), ['51820', hubKey, 'mtu 1420']);
});

test('a link that works keeps its key when the file is missing: a new one is for a link without any', {
  skip,
}, async () => {
  const shown = () => sh('wg show wg0 public-key').trim();
  const key = join(folder, 'wg0.key');
  const [none, moved] = [join(folder, 'none.key'), join(folder, 'moved.key')];
  const missing = (file: string) =>
    new RegExp(`private key file ${file} does not exist.*wg show wg0 private-key >${file}\\)`);
  renameSync(key, moved);
  for (const each of [hub, await newHub()]) {
    await assert.rejects(each.load(configOf(base)), missing(key));
    await assert.rejects(each.load(configOf(`${base}\nprivatekeyfile: none.key`)), missing(none));
  }
  assert(!existsSync(key) && !existsSync(none));
  assert.equal(shown(), hubKey);
  // As the message says.
  sh('(umask 077; wg show wg0 private-key >$1)', key);
  await (await newHub()).load(configOf(base));
  assert.equal(readFileSync(key, 'utf8'), readFileSync(moved, 'utf8'));
  assert.equal(shown(), hubKey);

  // Nobody knows the key of a link that has none.
  sh('wg set wg0 private-key /dev/null');
  await (await newHub()).load(configOf(`${base}\nprivatekeyfile: none.key`));
  assert.equal(shown(), publicKeyOf((await securePrivateKey(none)) ?? assert.fail()));
  await hub.repair('peers');
  assert.equal(shown(), hubKey);
});

test('what somebody takes away, by hand or with a kill in the middle, comes back', { skip }, async () => {
  const [key = ''] = dump().find(([, , , ips]) => ips?.startsWith('192.168.5.9/')) ?? [];
  sh(
    'wg set wg0 peer $1 remove; ip address delete 192.168.5.1/24 dev wg0; nft delete table inet wgdriver-hub-wg0',
    key,
  );
  await hub.repair('everything');
  assert.equal(dump().length, 20);
  sh('wg set wg0 peer $1 remove', key);
  await (await newHub()).load(configOf(base));
  assert.equal(dump().length, 20);
  assert(ends[0]?.pings('192.168.5.1'));
});

test('containers kept apart reach the hub, and not one another', { skip }, async () => {
  await hub.load(configOf(`${base}\nallow: { containers: false }`));
  assert(ends[0]?.pings('192.168.5.1'));
  assert(!ends[0]?.pings('192.168.5.3', 1));
  assert(!ends[1]?.pings('fd12::c0a8:502', 1));
  await hub.load(configOf(base));
  assert(ends[0]?.pings('192.168.5.3'));
});

test('masquerading to what is behind the uplink, and nobody comes in from there unasked', {
  skip,
}, async () => {
  sh(`ip netns add out; ip link add up0 type veth peer name eth0 netns out
      ip address add 10.77.0.1/24 dev up0; ip link set up0 up
      ip -n out address add 10.77.0.2/24 dev eth0; ip -n out link set eth0 up; ip -n out link set lo up`);
  assert(!ends[0]?.pings('10.77.0.2', 1));
  await hub.load(configOf(`${base}\nmasquerade: true\nuplinks: [up0]`));
  assert(ends[0]?.pings('10.77.0.2'));
  sh('ip -n out route add 192.168.5.0/24 via 10.77.0.1');
  const comesIn = () => {
    try {
      sh('ip netns exec out ping -c 1 -w 1 192.168.5.2');
      return true;
    } catch {
      return false;
    }
  };
  assert(!comesIn());
  await hub.load(configOf(`${base}\nmasquerade: true\nuplinks: [up0]\nallow: { outside: [10.77.0.0/24] }`));
  assert(comesIn());
  await hub.load(configOf(base));
});

test('Docker’s drop policy: told of with the rules that mend it, or kept open by the hub itself', {
  skip,
}, async (t) => {
  if (!existsSync('/usr/sbin/iptables')) {
    t.skip('needs iptables');
    return;
  }
  const [one] = ends as [FarEnd];
  sh(`iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -A DOCKER-USER -i eth9 -j DROP
      iptables -A FORWARD -j DOCKER-USER`);
  try {
    await hub.load(configOf(base));
    assert(!one.pings('192.168.5.3', 1));
    const own = sh('iptables -S');
    const found = obstaclesOf(configOf(base), await readFirewalls('wg0', []));
    assert.match(found[0]?.what ?? '', /^Docker /);
    for (const { commands } of found) {
      sh(commands.join('\n'));
    }
    assert(one.pings('192.168.5.3'));
    assert.deepEqual(obstaclesOf(configOf(base), await readFirewalls('wg0', [])), []);
    // The same rules, and the hub adds none twice.
    await hub.load(configOf(`${base}\nfirewall: docker-user`));
    await hub.repair('everything');
    assert.equal(sh('iptables -S DOCKER-USER').match(/wgdriver-hub-wg0/g)?.length, 2);
    await hub.load(configOf(base));
    assert.equal(sh('iptables -S'), own);
    await hub.load(configOf(`${base}\nfirewall: docker-user`));
    assert(one.pings('192.168.5.3'));
    // From everybody, whom a list leaves out: the rules are known again, and stay behind what came later.
    sh('ip6tables -N DOCKER-USER');
    await hub.load(configOf(`${base}\nfirewall: docker-user\nallow: { outside: [0.0.0.0/0, '::/0'] }`));
    sh('for each in iptables ip6tables; do $each -I DOCKER-USER -i eth8 -j DROP; done');
    const listed = () => sh('iptables -S DOCKER-USER; ip6tables -S DOCKER-USER');
    const before = listed();
    assert.equal(before.match(/-A DOCKER-USER -o wg0 -m comment/g)?.length, 2);
    await hub.repair('everything');
    assert.equal(listed(), before);
    sh('iptables -D DOCKER-USER -i eth8 -j DROP');
    await hub.load(configOf(base));
    assert.equal(sh('iptables -S'), own);
  } finally {
    sh('iptables -P FORWARD ACCEPT; iptables -F; iptables -X; ip6tables -F; ip6tables -X');
  }
});

test('a link that is made anew opens the handshakes itself, towards the endpoints of before', {
  skip,
}, async () => {
  // This one sends keepalives alone, and would not find out for two minutes.
  const quiet = startEnd(4, 1);
  await until(
    'a handshake',
    () => Number(dump().find(([, , , ips]) => ips?.startsWith('192.168.5.4/'))?.[4]) > 0,
  );
  await hub.repair('everything');
  sh('ip link delete wg0');
  const again = await newHub();
  await again.load(configOf(base));
  hub = again;
  const tookMs = await until(
    'a handshake with it',
    () => Number(dump().find(([, , , ips]) => ips?.startsWith('192.168.5.4/'))?.[4]) > 0,
    15_000,
  );
  console.log(`shaken hands again after ${Math.round(tookMs)} ms`);
  assert(dump().every(([, , , , , , , keepalive]) => keepalive === 'off'));
  assert(quiet.pings('192.168.5.1'));
});

test('peers that another program sets up again, as systemd-networkd does, are mended and woken', {
  skip,
}, async () => {
  const quiet = ends[2] ?? assert.fail();
  const ofQuiet = () => dump().find(([, , , ips]) => ips?.startsWith('192.168.5.4/')) ?? [];
  const hasShaken = () => Number(ofQuiet()[4]) > 0;
  sh(`cd $1; wg genpsk >quiet.psk; wg genpsk >stale.psk`, folder);
  quiet.exec('wg', 'set', `wg${quiet.name}`, 'peer', hubKey, 'preshared-key', join(folder, 'quiet.psk'));
  const withClient = `${base}\nclients:\n  quiet: { address: 192.168.5.4, presharedkeyfile: quiet.psk }`;
  await hub.load(configOf(withClient));
  sh('wg set wg0 peer $1 remove', ofQuiet()[0] ?? '');
  await hub.repair('peers');
  await until('a handshake by the preshared key', hasShaken);
  await hub.repair('peers');
  const before = ofQuiet();
  // Its file has one of the peers, and an older preshared key.
  writeFileSync(
    join(folder, 'networkd.conf'),
    `[Interface]\nListenPort = 51820\nPrivateKey = ${readFileSync(join(folder, 'wg0.key'), 'utf8')}\n` +
      `[Peer]\nPublicKey = ${before[0]}\nAllowedIPs = ${before[3]}\n` +
      `PresharedKey = ${readFileSync(join(folder, 'stale.psk'), 'utf8')}`,
  );
  sh('wg setconf wg0 $1', join(folder, 'networkd.conf'));
  assert.equal(dump().length, 1);
  await hub.repair('peers');
  assert.equal(dump().length, 20);
  await until('a handshake with it', hasShaken, 15_000);
  assert.deepEqual(ofQuiet().slice(0, 4), before.slice(0, 4));
  assert(dump().every(([, , , , , , , keepalive]) => keepalive === 'off'));
  await hub.load(configOf(base));
});

test('two epochs: an address goes to its new key at the handshake, and never back', { skip }, async () => {
  const [old, fresh] = (['old', 'new'] as const).map((epoch) => publicKeyOf(keyOf(epoch, '192.168.5.2'))) as [
    PublicKey,
    PublicKey,
  ];
  const [one, two] = ends as [FarEnd, FarEnd];
  await hub.load(configOf(rotating));
  assert.equal(dump().length, 40);
  assert.equal(allowedOf(fresh), '(none)');
  assert(one.pings('192.168.5.1'));
  assert.deepEqual(await hub.advanceRotation(), { moved: 0, left: 20 });
  one.setKey(keyOf('new', '192.168.5.2'));
  await until('the address to move', async () => {
    one.pings('192.168.5.1', 1);
    await hub.advanceRotation();
    return allowedOf(fresh) === '192.168.5.2/32,fd12::c0a8:502/128';
  }).catch(async (error) => {
    throw new Error(`${error.message}\n${sh('wg show wg0')}`);
  });
  assert.equal(allowedOf(old), undefined);
  assert(one.pings('192.168.5.1'));
  assert(two.pings('192.168.5.2'));

  // Never back: not in this run, and not after a boot.
  one.setKey(keyOf('old', '192.168.5.2'));
  assert(!one.pings('192.168.5.1', 2));
  sh('ip link delete wg0');
  hub = await newHub();
  await hub.load(configOf(rotating));
  assert.equal(allowedOf(old), undefined);
  assert.equal(allowedOf(fresh), '192.168.5.2/32,fd12::c0a8:502/128');
  one.setKey(keyOf('new', '192.168.5.2'));

  // The old line goes: so do its peers.
  await hub.load(configOf(base.replace('old.seed', 'new.seed')));
  assert.equal(dump().length, 20);
  assert.deepEqual(await hub.advanceRotation(), { moved: 0, left: 0 });
  assert(one.pings('192.168.5.1'));
  assert(!two.pings('192.168.5.1', 2));
});

test('forwarding is on for the families that only clients have, too', { skip }, async () => {
  sh('sysctl -qw net.ipv4.conf.wg0.forwarding=0 net.ipv6.conf.all.forwarding=0');
  const publickey = publicKeyOf(keyOf('new', '10.8.0.2'));
  await hub.load(configOf(`clients: { pc: { address: [10.8.0.2, 'fd99::2'], publickey: ${publickey} } }`));
  assert.equal(sh('sysctl -n net.ipv4.conf.wg0.forwarding'), '1\n');
  // From Linux 6.17 on, one link can forward IPv6 without the others.
  assert.match(
    sh('cd /proc/sys/net/ipv6/conf; cat all/forwarding; cat wg0/force_forwarding 2>/dev/null || true'),
    /1/,
  );
  await hub.load(configOf(base));
});

test('a route of the host is not replaced, neither by a file that wants it nor by a repair', {
  skip,
}, async () => {
  sh(`ip link add d0 type veth peer name d1; ip link set d0 up; ip link set d1 up; ip address add 10.66.0.1/24 dev d0
      ip address add fd66::1/64 dev d0 nodad`);
  const shown = () => sh('ip route; ip -6 route; ip address show dev wg0; nft list ruleset');
  const wanting = (prefix: string) =>
    configOf(
      `${base}\nclients: { office: { address: 192.168.5.99, allowedips: [10.67.0.0/16, 'fd68::/64', '${prefix}'] } }`,
    );
  for (const [prefix, route, text] of [
    ['10.0.0.0/8', '10.0.0.0/8 via 10.66.0.2', '10.0.0.0/8 via 10.66.0.2 dev d0'],
    ['10.0.0.0/8', 'unreachable 10.0.0.0/8', '10.0.0.0/8'],
    ['fd00::/16', 'fd00::/16 via fd66::2', 'fd00::/16 via fd66::2 dev d0 metric 1024'],
    // It would be used, and not the hub's.
    ['fd00::/16', 'fd00::/16 via fd66::2 metric 9', 'fd00::/16 via fd66::2 dev d0 metric 9'],
  ] as const) {
    sh(`ip route add ${route}`);
    const before = shown();
    const refused = new RegExp(
      `route to ${prefix} cannot lead to link wg0: .* \\(${text}\\), .*\`ip route delete ${text}\``,
    );
    for (const each of [await newHub(), await newHub()]) {
      await assert.rejects(each.load(wanting(prefix)), refused);
    }
    assert.equal(shown(), before);
    // As the message says.
    sh(`ip route delete ${text}`);
    // By another host and after a kill: its own routes are in nobody's way.
    for (const each of [await newHub(), await newHub()]) {
      await each.load(wanting(prefix));
      assert.match(sh('ip route show dev wg0; ip -6 route show dev wg0'), new RegExp(`^${prefix} `, 'm'));
    }
    const own = await newHub();
    await own.load(wanting(prefix));
    sh(`ip route flush root 10.67.0.0/16; ip route replace ${route}`);
    sh(`ip route delete ${prefix} dev wg0 2>/dev/null || true`);
    await assert.rejects(own.repair('everything'), refused);
    assert.match(sh('ip route show dev wg0'), /^10\.67\.0\.0\/16 /m);
    sh(`ip route delete ${text}`);
    await own.repair('everything');
    assert.match(sh('ip route show dev wg0; ip -6 route show dev wg0'), new RegExp(`^${prefix} `, 'm'));
    await hub.load(configOf(base));
  }
  sh('ip link delete d0');
});

test('a wrong file changes nothing', { skip }, async () => {
  // wireguard-go lists its peers in any order.
  const shown = () => sh('wg show wg0 peers | sort; ip address show dev wg0');
  const before = shown();
  await assert.rejects(
    hub.load(configOf(base.replace('old.seed', 'none.seed'))),
    /none\.seed: there is no such file \(ENOENT\)/,
  );
  await assert.rejects(
    hub.load(configOf(`interface: wg9\n${base}`)),
    /interface cannot change from wg0 to wg9/,
  );
  await assert.rejects(
    hub.load(configOf(`${base}\nclients: { pc: { address: 192.168.5.99, publickey: ${hubKey} } }`)),
    /client pc has the hub’s own public key/,
  );
  assert.equal(shown(), before);
  assert.equal(placeOf(configOf(base)).name, 'wg0');
});
