// The real kernel, with sockets in namespaces that nothing else is in.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { netlinkObstacle } from '../../src/links/netlink/probe.ts';
import { u32 } from '../../src/netlink/bytes.ts';
import type { Libc } from '../../src/netlink/libc/libc.ts';
import { openLibc } from '../../src/netlink/libc/open.ts';
import type { NetworkNamespace } from '../../src/netlink/namespace.ts';
import { deleteTables, replaceTables } from '../../src/netlink/nftables/client.ts';
import { giveVerdict } from '../../src/netlink/nftables/expression.ts';
import { createLink, deleteLink, getLink, listLinks, setLinkAlias } from '../../src/netlink/route/client.ts';
import {
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  openEventSocket,
  openNetlinkSocket,
  withNetlinkSocket,
} from '../../src/netlink/socket.ts';
import { openDurableFolder } from '../../src/state/durable-folder.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';

const obstacle = netlinkObstacle();
const { skip = obstacle } = await enterFreshNamespace('ip', 'perl');
const options = skip === undefined ? {} : { skip };

const inNew = { protocol: NETLINK_ROUTE, netns: 'new' } as const;
const ownNamespace = () => readlinkSync('/proc/thread-self/ns/net');
const namesOf = (links: readonly { name: string }[]) => links.map(({ name }) => name);

test('a socket in a new namespace: links are made, read, marked and deleted there', options, async () => {
  const before = ownNamespace();
  await withNetlinkSocket(inNew, async (socket) => {
    assert.equal(ownNamespace(), before);
    await createLink(socket, { name: 'br0', kind: 'bridge', mtu: 1400 });
    await setLinkAlias(socket, 'br0', 'an alias, ünd more');
    const link = await getLink(socket, 'br0');
    assert.deepEqual(
      { ...link, index: 0 },
      { index: 0, name: 'br0', isUp: false, mtu: 1400, kind: 'bridge', alias: 'an alias, ünd more' },
    );
    assert.deepEqual(namesOf(await listLinks(socket)), ['lo', 'br0']);
    await deleteLink(socket, link);
    assert.deepEqual(namesOf(await listLinks(socket)), ['lo']);
    await assert.rejects(deleteLink(socket, link), { message: 'delete link br0: ENODEV', errno: 'ENODEV' });
    await assert.rejects(getLink(socket, 'br0'), { message: 'get link br0: ENODEV', errno: 'ENODEV' });
    await assert.rejects(setLinkAlias(socket, 'br0', 'x'), { message: 'set alias of link br0: ENODEV' });
  });
});

test('a socket in another process’s namespace', options, async () => {
  const child = spawn(
    'unshare',
    ['--net', 'sh', '-c', 'ip link add br7 type bridge && echo made; exec cat'],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  try {
    await once(child.stdout, 'data');
    const before = ownNamespace();
    const netns: NetworkNamespace = `/proc/${child.pid}/ns/net`;
    const links = await withNetlinkSocket({ protocol: NETLINK_ROUTE, netns }, listLinks);
    assert.deepEqual(namesOf(links), ['lo', 'br7']);
    assert.equal(ownNamespace(), before);
    const own = await withNetlinkSocket({ protocol: NETLINK_ROUTE }, listLinks);
    assert(!namesOf(own).includes('br7'));
  } finally {
    child.stdin.end();
    await once(child, 'close');
  }
});

test('state is written while the kernel tells of events: what is being written stays', options, async (t) => {
  const path = await mkdtemp(join(tmpdir(), 'beside-events-'));
  t.after(() => rm(path, { recursive: true }));
  const folder = await openDurableFolder(path);
  const events = await openEventSocket();
  t.after(() => events.close());
  let told = 0;
  events.onReadable(() => {
    told++;
    while (events.receive() !== undefined) {}
  });
  // Long enough for an event to come while it is being written.
  const writing = folder.write('record', { text: 'x'.repeat(30_000_000) });
  while ((await readdir(path)).length === 0) {}
  await withNetlinkSocket({ protocol: NETLINK_ROUTE }, async (socket) => {
    await createLink(socket, { name: 'br1', kind: 'bridge' });
    await deleteLink(socket, await getLink(socket, 'br1'));
  });
  await writing;
  assert.deepEqual(await readdir(path), ['record.json']);
  assert(told > 0);
});

test('a namespace that others are root of may have any number of routes: only so many are read', async () => {
  const libc: Libc = {
    ...(Object.fromEntries(
      ['connect', 'setsockopt', 'setns', 'close'].map((name) => [name, () => {}]),
    ) as unknown as Libc),
    socket: () => 3,
    open: () => 4,
    recvAsync: async (_socket, buffer) => buffer.length / 2,
  };
  const inside = openNetlinkSocket({ protocol: NETLINK_ROUTE, netns: '/proc/4711/ns/net' }, libc);
  const own = openNetlinkSocket({ protocol: NETLINK_ROUTE }, libc);
  for (let read = 0; read < 4 * 1024 * 1024; read += 0x8000) {
    await inside.receivePart();
    await own.receivePart();
  }
  await assert.rejects(inside.receivePart(), {
    errno: 'EMSGSIZE',
    message: 'receive netlink message: EMSGSIZE: more than 4194304 bytes of another network namespace',
  });
  await own.receivePart();
});

test('a namespace that is none: an error, and this process stays where it is', options, () => {
  const before = ownNamespace();
  const open = (netns: NetworkNamespace) => () => openNetlinkSocket({ protocol: NETLINK_ROUTE, netns });
  assert.throws(open('/proc/self/ns/nothing'), {
    name: 'NetlinkError',
    message: 'open /proc/self/ns/nothing: ENOENT',
    errno: 'ENOENT',
  });
  assert.throws(open('/proc/self/ns/pid'), { message: 'enter network namespace: EINVAL' });
  assert.throws(open('/proc/self/stat'), { errno: 'EINVAL' });
  assert.equal(ownNamespace(), before);
});

test('errno comes from libc as well: no such family of addresses, message too long', options, async () => {
  const libc = openLibc();
  assert.throws(() => libc.socket(9999, 3, 0), {
    message: 'open netlink socket: EAFNOSUPPORT',
    errno: 'EAFNOSUPPORT',
  });
  assert.throws(() => libc.setsockopt(-1, 270, 11, new Uint8Array(4)), { errno: 'EBADF' });
  await withNetlinkSocket({ protocol: NETLINK_ROUTE }, async (socket) => {
    await assert.rejects(socket.send(new Uint8Array(1_000_000)), {
      message: 'send netlink message: EMSGSIZE',
      errno: 'EMSGSIZE',
    });
    assert.equal(socket.receive(), undefined);
  });
});

test('nobody but the kernel sends to a socket', options, async () => {
  // Ports, of which the first is this process's id (netlink(7)), are in the third column.
  const program = `
    open my $file, '<', '/proc/net/netlink';
    my @ports = map { (split)[2] } grep { (split)[1] eq 0 } <$file>;
    socket my $socket, 16, 3, 0;
    for my $port (@ports) { $sent .= $port . ($port && send($socket, 'x' x 16, 0, pack 'SSLL', 16, 0, $port, 0) ? ' sent ' : ' no ') }
    print $sent;`;
  await withNetlinkSocket({ protocol: NETLINK_ROUTE }, async (socket) => {
    const sent = execFileSync('perl', ['-e', program], { encoding: 'utf8' });
    assert.match(sent, new RegExp(`\\b${process.pid} no `));
    assert.equal(socket.receive(), undefined);
    assert.deepEqual(namesOf(await listLinks(socket)), ['lo']);
  });
});

test('thousands of rules are one batch, and what is refused of it says what was asked', options, async () => {
  const table = { family: 'inet', name: 'many' } as const;
  const chain = { name: 'out', type: 'filter', hook: 'postrouting', priority: 0, policy: 'accept' } as const;
  const rules = Array.from({ length: 3000 }, () => [giveVerdict('drop')]);
  await withNetlinkSocket({ protocol: NETLINK_NETFILTER, netns: 'new' }, async (socket) => {
    await replaceTables(socket, [{ ...table, chains: [{ ...chain, rules }] }]);
    await deleteTables(socket, [table]);
    await assert.rejects(replaceTables(socket, [{ ...table, chains: [{ ...chain, rules: [[u32(1)]] }] }]), {
      message: /^replace tables of nftables: /,
    });
  });
});

test(
  'what the kernel has to destroy when a socket is closed does not hold up the event loop',
  options,
  async () => {
    // It took 19 ms at times and mostly less than one: no time to go by, but a thread can be told from another.
    const requests = () => process.getActiveResourcesInfo().filter((kind) => kind.startsWith('FSReq')).length;
    const socket = openNetlinkSocket({ protocol: NETLINK_NETFILTER, netns: 'new' });
    const before = requests();
    const closed = socket.close();
    assert.equal(requests(), before + 1);
    await closed;
  },
);

test('whoever could not come back from a namespace does not go', options, () => {
  const program = `
    import { openLibc } from '${new URL('../../src/netlink/libc/open.ts', import.meta.url)}';
    import { inNamespace } from '${new URL('../../src/netlink/namespace.ts', import.meta.url)}';
    try { inNamespace(openLibc(), 'new', () => {}); } catch ({ message }) { console.log(message); }`;
  const args = [
    '--user',
    '--map-root-user',
    process.execPath,
    '--input-type=module-typescript',
    '--eval',
    program,
  ];
  assert.match(execFileSync('unshare', args, { encoding: 'utf8' }), /^enter network namespace: EPERM/);
});

test('no file stays open, whatever fails', options, async () => {
  const opened = () => readdirSync('/proc/self/fd').length;
  const cycle = async () => {
    await withNetlinkSocket(inNew, async () => {});
    await assert.rejects(withNetlinkSocket(inNew, (socket) => getLink(socket, 'none')));
    assert.throws(() => openNetlinkSocket({ protocol: NETLINK_ROUTE, netns: '/proc/self/ns/pid' }));
    assert.throws(() => openNetlinkSocket({ protocol: 99 as typeof NETLINK_ROUTE }), /EPROTONOSUPPORT/);
  };
  await cycle();
  const before = opened();
  for (let n = 0; n < 20; n++) {
    await cycle();
  }
  assert.equal(opened(), before);
});

test('the experimental warning of node:ffi is kept from users, and no other', options, () => {
  const program = `
    import { openLibc } from '${new URL('../../src/netlink/libc/open.ts', import.meta.url)}';
    openLibc();
    process.emitWarning('something else', 'ExperimentalWarning');`;
  const script = `"$0" --input-type=module-typescript --eval "$1" 2>&1`;
  const printed = execFileSync('sh', ['-c', script, process.execPath, program], { encoding: 'utf8' });
  assert.match(printed, /ExperimentalWarning: something else/);
  assert.doesNotMatch(printed, /FFI/);
});
