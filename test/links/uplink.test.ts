// The kernel's own routes, in a namespace of its own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { netlinkObstacle } from '../../src/links/netlink/probe.ts';
import { uplinksByNetlink, uplinksByProgram } from '../../src/links/uplink.ts';
import { type Address, parseAddress } from '../../src/wireguard/address.ts';
import type { Uplink } from '../../src/wireguard/mtu.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';

const { skip } = await enterFreshNamespace('ip');

before(() => {
  if (skip === undefined) {
    const script = `
      ip link add up0 mtu 1492 type veth peer name far0
      ip link add up1 mtu 9000 type veth peer name far1 mtu 9000
      for link in up0 far0 up1 far1; do ip link set $link up; done
      ip address add 10.0.0.1/24 dev up0
      ip address add 10.0.1.1/24 dev up1
      ip address add 2001:db8::1/64 dev up1 nodad
      ip route add default via 10.0.0.2
      ip route add 10.2.0.0/16 via 10.0.1.2 mtu 1400
      ip route add 10.3.0.0/16 nexthop via 10.0.1.2 nexthop via 10.0.1.3
      ip route add unreachable 10.4.0.0/16
      ip -6 route add default via 2001:db8::2
      ip rule add fwmark 0xca6c lookup 51820
      ip route add default dev up1 table 51820`;
    execFileSync('sh', ['-euc', script]);
  }
});

const routed = (mtu: number): Uplink => ({ mtu, isLocal: false, isOnLink: false });
const cases: readonly [what: string, address: string, mark: number, uplink: Uplink | undefined][] = [
  ['the default route', '192.0.2.1', 0, routed(1492)],
  ['a neighbour', '10.0.1.7', 0, { mtu: 9000, isLocal: false, isOnLink: true }],
  ['a route with an MTU of its own', '10.2.0.1', 0, routed(1400)],
  ['a route that has two links', '10.3.0.1', 0, routed(9000)],
  ['a route that says there is none', '10.4.0.1', 0, undefined],
  ['this host', '10.0.1.1', 0, { mtu: 9000, isLocal: true, isOnLink: true }],
  ['IPv6', '2001:db8:1::1', 0, routed(9000)],
  ['a mark with a table of its own, whose default route has no gateway', '192.0.2.1', 0xca6c, routed(9000)],
];

test('by ip: without the program it is an error, and not the lack of a route', async () => {
  const path = process.env.PATH;
  process.env.PATH = `${tmpdir()}/nothing`;
  try {
    await assert.rejects(uplinksByProgram(addressesOf('192.0.2.1'), 0), {
      message: /^look up the way to a hub: ip -json .*: the program was not found; install it$/,
    });
  } finally {
    process.env.PATH = path;
  }
});

for (const [by, uplinksTo, obstacle] of [
  ['netlink', uplinksByNetlink, netlinkObstacle()],
  ['ip', uplinksByProgram, undefined],
] as const) {
  const reason = skip ?? obstacle;
  const options = reason === undefined ? {} : { skip: reason };
  for (const [what, text, mark, expected] of cases) {
    test(`by ${by}: ${what}`, options, async () => {
      const [uplink] = await uplinksTo(addressesOf(text), mark);
      assertUplink(uplink, expected);
    });
  }

  test(`by ${by}: several at once, in their order`, options, async () => {
    const unmarked = cases.filter(([, , mark]) => mark === 0);
    const uplinks = await uplinksTo(addressesOf(...unmarked.map(([, text]) => text)), 0);
    assert.equal(uplinks.length, unmarked.length);
    for (const [index, [, , , expected]] of unmarked.entries()) {
      assertUplink(uplinks[index], expected);
    }
    assert.deepEqual(await uplinksTo([], 0), []);
  });
}

test(
  'by ip: thousands of addresses take as few processes as one',
  skip === undefined ? {} : { skip },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'wgdriver-ip-'));
    const path = process.env.PATH;
    try {
      const ip = execFileSync('sh', ['-c', 'command -v ip'], { encoding: 'utf8' }).trim();
      const script = `#!/bin/sh\necho >>${folder}/runs\nexec ${ip} "$@"\n`;
      await writeFile(join(folder, 'ip'), script, { mode: 0o755 });
      process.env.PATH = `${folder}:${path}`;
      const texts = Array.from({ length: 5000 }, (_, n) => `10.${n % 2 === 0 ? 2 : 4}.${n >> 8}.${n & 255}`);
      const uplinks = await uplinksByProgram(addressesOf(...texts), 0);
      assert(uplinks.every((uplink, n) => uplink?.mtu === (n % 2 === 0 ? 1400 : undefined)));
      // By the routes that match, by what is chosen where one of them shows no link, and the links’ MTUs.
      assert((await readFile(join(folder, 'runs'), 'utf8')).length <= 3);
    } finally {
      process.env.PATH = path;
      await rm(folder, { recursive: true });
    }
  },
);

function addressesOf(...texts: readonly string[]): Address[] {
  return texts.map((text) => parseAddress(text) ?? assert.fail(text));
}

/** The link of a route that says this host is the loopback, or the one that has the address. */
function assertUplink(uplink: Uplink | undefined, expected: Uplink | undefined): void {
  const { mtu, ...rest } = uplink ?? {};
  const { mtu: expectedMtu, ...expectedRest } = expected ?? {};
  assert.deepEqual(rest, expectedRest);
  assert(expected?.isLocal || mtu === expectedMtu, String(mtu));
}
