/** In a guest, as root: netlink with the kernel's WireGuard, and what `ip` and `wg` say of it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { afterEach, test } from 'node:test';
import type { LinkError, NewLink } from '../../../src/links/links.ts';
import { netlinkLinks } from '../../../src/links/netlink/links.ts';
import { netlinkObstacle, probeWireGuardByNetlink } from '../../../src/links/netlink/probe.ts';
import { selectLinks } from '../../../src/links/select.ts';
import type { NetworkNamespace } from '../../../src/netlink/namespace.ts';
import { NETLINK_GENERIC, withNetlinkSocket } from '../../../src/netlink/socket.ts';
import { configureDevice, getDevice } from '../../../src/netlink/wireguard/client.ts';
import type { KernelDevice } from '../../../src/netlink/wireguard/parse.ts';
import { formatPrefix } from '../../../src/wireguard/address.ts';
import type { DeviceConfiguration } from '../../../src/wireguard/change.ts';
import { formatEndpoint } from '../../../src/wireguard/device.ts';
import { PrivateKey, publicKeyOf } from '../../../src/wireguard/key.ts';
import { markOf } from '../../../src/wireguard/link-alias.ts';
import {
  address,
  configuration,
  firstKeyText,
  prefix,
  prefixes,
  publicKey,
  secondKeyText,
} from '../../support/netlink/devices.ts';

const mark = markOf('own');
const links = netlinkLinks(mark);
const link: NewLink = { name: 'wgt0', mtu: 1380, endpointId: 'e'.repeat(64) };

function run(command: string): string {
  return execFileSync('sh', ['-euc', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

function configure(name: string, change: DeviceConfiguration): Promise<void> {
  return withNetlinkSocket({ protocol: NETLINK_GENERIC }, (socket) => configureDevice(socket, name, change));
}

function get(name: string, netns?: NetworkNamespace): Promise<KernelDevice> {
  return withNetlinkSocket({ protocol: NETLINK_GENERIC, netns }, (socket) => getDevice(socket, name));
}

/** A device as `wg show NAME dump` writes it, without the secrets. */
function dumpOf({ publicKey, listenPort, fwmark, peers }: KernelDevice): string {
  const device = [publicKey ?? '(none)', listenPort, fwmark === 0 ? 'off' : `0x${fwmark.toString(16)}`];
  const lines = peers.map((peer) => [
    peer.publicKey,
    peer.hasPresharedKey ? '(hidden)' : '(none)',
    peer.endpoint === undefined ? '(none)' : formatEndpoint(peer.endpoint),
    peer.allowedIps.map(formatPrefix).join(',') || '(none)',
    Math.floor((peer.lastHandshake?.getTime() ?? 0) / 1000),
    peer.receivedBytes,
    peer.sentBytes,
    peer.persistentKeepaliveInterval || 'off',
  ]);
  return `${[device, ...lines].map((fields) => fields.join('\t')).join('\n')}\n`;
}

async function assertSameAsWg(name: string): Promise<void> {
  assert.equal(dumpOf(await get(name)), withoutSecrets(run(`wg show ${name} dump`)));
}

/** The private key is the first field of the first line, a preshared key the second of a peer's. */
function withoutSecrets(dump: string): string {
  return dump.replace(/^\S+\t/, '').replaceAll(/(\n\S+\t)[^\s(]+/g, '$1(hidden)');
}

function wireGuardLinks(): { ifname: string; ifalias?: string; mtu: number; flags: string[] }[] {
  return JSON.parse(run('ip -json link show type wireguard')).filter(
    ({ ifname }: { ifname?: string }) => ifname !== undefined,
  );
}

afterEach(() => {
  for (const { ifname } of wireGuardLinks()) {
    run(`ip link delete ${ifname}`);
  }
});

test('this runtime and this kernel can, and the probe leaves nothing', async () => {
  assert.equal(netlinkObstacle(), undefined);
  assert.equal(await probeWireGuardByNetlink(), undefined);
  assert.deepEqual(wireGuardLinks(), []);
});

test('auto takes netlink, and says why', async () => {
  const lines: unknown[] = [];
  const log = { error() {}, warn() {}, debug() {}, info: (...line: unknown[]) => lines.push(line) };
  await selectLinks('auto', 'own', log);
  assert.deepEqual(lines, [['backend netlink', { reason: 'the kernel makes WireGuard links' }]]);
});

test('a link is made marked, down, with its MTU; is listed, and deleted twice', async () => {
  await links.create(link);
  const [shown] = wireGuardLinks();
  assert.deepEqual([shown?.ifname, shown?.mtu], ['wgt0', 1380]);
  assert.equal(shown?.ifalias, `wgdriver:own:${link.endpointId}`);
  assert(!shown?.flags.includes('UP'));
  run('ip link add wgt1 type wireguard');
  assert.deepEqual(await links.list(), [{ name: 'wgt0', endpointId: link.endpointId }]);
  await links.delete('wgt0');
  await links.delete('wgt0');
  assert.deepEqual(
    wireGuardLinks().map(({ ifname }) => ifname),
    ['wgt1'],
  );
});

test('EEXIST: somebody else’s link of that name is neither marked, changed nor deleted', async () => {
  run('ip link add wgt0 mtu 1400 type wireguard');
  await assert.rejects(links.create(link), {
    name: 'LinkError',
    code: 'EEXIST',
  } satisfies Partial<LinkError>);
  await assert.rejects(links.delete('wgt0'), /it is not this driver’s/);
  const [shown] = wireGuardLinks();
  assert.deepEqual([shown?.mtu, shown?.ifalias], [1400, undefined]);
});

test('a device with everything is configured, and read as `wg` reads it', async () => {
  await links.create(link);
  await configure('wgt0', configuration);
  await assertSameAsWg('wgt0');
  const { fwmark, listenPort, peers } = await get('wgt0');
  assert.deepEqual([fwmark, listenPort, peers.length], [0x1234, 51820, 2]);
});

test('a device is configured as the driver does it, and a second time in place of the first', async () => {
  await links.create(link);
  const { replacePeers: _, ...device } = configuration;
  await links.configure('wgt0', device);
  await links.configure('wgt0', { ...device, peers: device.peers.slice(1) });
  const { peers: left } = await get('wgt0');
  assert.deepEqual(
    left.map(({ publicKey }) => publicKey),
    [secondKeyText],
  );
  await assertSameAsWg('wgt0');
});

test('one change at a time leaves the rest: allowed IPs, update, removal, keys off', async () => {
  await links.create(link);
  await configure('wgt0', configuration);
  const first = publicKey(firstKeyText);
  await configure('wgt0', { peers: [{ publicKey: first, allowedIps: [prefix('10.9.0.0/16')] }] });
  await assertSameAsWg('wgt0');
  assert.deepEqual((await get('wgt0')).peers[0]?.allowedIps.map(formatPrefix), ['10.9.0.0/16']);
  assert.equal((await get('wgt0')).peers[0]?.hasPresharedKey, true);
  await configure('wgt0', { fwmark: 0, peers: [{ publicKey: first, presharedKey: 'none' }] });
  assert.equal((await get('wgt0')).peers[0]?.hasPresharedKey, false);
  assert.deepEqual((await get('wgt0')).peers[0]?.allowedIps.map(formatPrefix), ['10.9.0.0/16']);
  const stranger = publicKeyOf(new PrivateKey(new Uint8Array(32).fill(64)));
  await configure('wgt0', { peers: [{ publicKey: stranger, updateOnly: true, allowedIps: prefixes(600) }] });
  await configure('wgt0', { peers: [{ publicKey: first, remove: true }] });
  const { peers, fwmark } = await get('wgt0');
  assert.deepEqual([fwmark, ...peers.map(({ publicKey }) => publicKey)], [0, secondKeyText]);
  await assertSameAsWg('wgt0');
});

test('1,000 and 5,000 allowed IPs, in several messages there and back', async () => {
  await links.create(link);
  for (const count of [1000, 5000]) {
    const peer = { publicKey: publicKey(firstKeyText), allowedIps: prefixes(count) };
    const another = { publicKey: publicKey(secondKeyText), allowedIps: [prefix('10.200.0.0/16')] };
    await configure('wgt0', { replacePeers: true, peers: [peer, another] });
    const { peers } = await get('wgt0');
    assert.deepEqual(
      peers.map(({ allowedIps }) => allowedIps.length),
      [count, 1],
    );
    await assertSameAsWg('wgt0');
  }
});

test('500 peers, in several messages there and back', async () => {
  await links.create(link);
  const peers = Array.from({ length: 500 }, (_, n) => ({
    publicKey: publicKeyOf(
      new PrivateKey(
        new Uint8Array(32)
          .fill(8)
          .fill(n, 20)
          .fill(n >> 8, 25),
      ),
    ),
    persistentKeepaliveInterval: n,
    allowedIps: [prefix(`10.3.${n >> 8}.${n & 255}/32`)],
  }));
  await configure('wgt0', { replacePeers: true, peers });
  assert.equal((await get('wgt0')).peers.length, 500);
  await assertSameAsWg('wgt0');
});

test('errors say what was done to what, and the errno; and no key', async () => {
  await assert.rejects(configure('nope', configuration), { message: 'configure link nope: ENODEV' });
  await assert.rejects(get('nope'), { message: 'get link nope: ENODEV', errno: 'ENODEV' });
  await assert.rejects(get('lo'), { message: 'get link lo: EOPNOTSUPP', errno: 'EOPNOTSUPP' });
  await assert.rejects(
    links.configure('nope', { privateKey: new PrivateKey(new Uint8Array(32)), peers: [] }),
    {
      name: 'LinkError',
      message: 'configure link nope: ENODEV',
      code: 'ENODEV',
    },
  );
  process.seteuid?.(65534);
  try {
    await assert.rejects(links.create(link), {
      message: 'create link wgt0: EPERM: needs CAP_NET_ADMIN',
      code: 'EPERM',
    });
    await assert.rejects(get('lo'), { errno: 'EPERM' });
  } finally {
    process.seteuid?.(0);
  }
});

test('links in other namespaces: their devices, and when their last handshake was', async () => {
  run('ip netns add one; ip netns add two; ip link set lo up');
  try {
    const keys = [1, 2].map((n) => new PrivateKey(new Uint8Array(32).fill(n * 8, 0, 31).fill(64, 31)));
    for (const [n, name] of ['one', 'two'].entries()) {
      const [privateKey = assert.fail(), other = assert.fail()] = n === 0 ? keys : keys.toReversed();
      // The socket of the tunnel stays here, where the link was made.
      await links.create({ ...link, name: `wgt${n}` });
      await configure(`wgt${n}`, {
        privateKey,
        listenPort: 5000 + n,
        peers: [
          {
            publicKey: publicKeyOf(other),
            endpoint: { address: address('127.0.0.1'), port: 5001 - n },
            allowedIps: [prefix('10.0.0.0/24')],
          },
        ],
      });
      run(`ip link set wgt${n} netns ${name} name wg0`);
      run(`ip -n ${name} address add 10.0.0.${n + 1}/24 dev wg0; ip -n ${name} link set wg0 up`);
    }
    assert.equal((await get('wg0', '/run/netns/one')).peers[0]?.lastHandshake, undefined);
    const before = Date.now();
    run('ip netns exec one ping -c 1 -W 10 10.0.0.2');
    const [one, two] = await Promise.all([get('wg0', '/run/netns/one'), get('wg0', '/run/netns/two')]);
    assert.deepEqual([one.listenPort, two.listenPort], [5000, 5001]);
    for (const { peers } of [one, two]) {
      const shaken = peers[0]?.lastHandshake?.getTime() ?? 0;
      assert(
        shaken > before - 1000 && shaken < Date.now() + 1000,
        `handshake at ${shaken}, ping at ${before}`,
      );
      assert((peers[0]?.receivedBytes ?? 0) > 0 && (peers[0]?.sentBytes ?? 0) > 0);
    }
    assert.equal(dumpOf(one), withoutSecrets(run('ip netns exec one wg show wg0 dump')));
    // This process never left.
    await assert.rejects(get('wg0'), { errno: 'ENODEV' });
  } finally {
    run('ip netns delete one; ip netns delete two');
  }
});

test('the event loop goes on during deletions', async () => {
  const count = 100;
  const names = Array.from({ length: count }, (_, n) => `wgt${n}`);
  const makeAll = async () => {
    for (const name of names) {
      await links.create({ ...link, name });
    }
  };
  await makeAll();
  let started = performance.now();
  for (const name of names) {
    await links.delete(name);
  }
  const oneByOne = performance.now() - started;

  await makeAll();
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  started = performance.now();
  await Promise.all(names.map((name) => links.delete(name)));
  const together = performance.now() - started;
  clearInterval(timer);
  // Figures and no limit: emulated processors are shared with whatever else the machine does.
  console.log(
    `deleting ${count} links: ${oneByOne.toFixed(0)} ms one by one, ${together.toFixed(0)} ms together`,
  );
  assert.deepEqual(wireGuardLinks(), []);
  // One processor has them all to do; a loop that is held up ticks at the end alone.
  assert(ticks > 1, `${ticks} ticks of 1 ms in ${together} ms`);
});
