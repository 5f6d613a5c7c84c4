/**
 * `npm run bench -- reading [LINKS…]`, and `npm run bench -- --vm reading`: how long the driver takes to read all its links for
 * `status`, by each backend that this kernel and this runtime can. Each link is in a network namespace of its own.
 */
import { readFile } from 'node:fs/promises';
import { createStatus } from '../../src/driver/status.ts';
import { iprouteLinks } from '../../src/links/iproute/links.ts';
import type { Links } from '../../src/links/links.ts';
import { netlinkLinks } from '../../src/links/netlink/links.ts';
import { netlinkObstacle } from '../../src/links/netlink/probe.ts';
import { findByNetlink, findByProgram } from '../../src/links/userspace/find.ts';
import { userspaceLinks } from '../../src/links/userspace/links.ts';
import { prefixOf } from '../../src/wireguard/address.ts';
import { PrivateKey, publicKeyOf } from '../../src/wireguard/key.ts';
import { markOf } from '../../src/wireguard/link-alias.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import { sh } from '../host/commands.ts';
import { allowInotify } from '../host/inotify.ts';
import { findTunnel } from '../host/tunnel.ts';
import { spreadOf, table } from './figures.ts';

const asked = process.argv.slice(2).map(Number);
const counts = asked.length > 0 ? asked : [100, 300];
const rounds = 5;

const mark = markOf('wireguard-plugin');
const { backend } = await findTunnel();
const userspace = () => userspaceLinks(mark, 'wireguard-go', findByNetlink);
const readers: readonly (readonly [how: string, links: Links])[] =
  backend === 'userspace'
    ? [
        ...byNetlink('userspace, netlink', userspace),
        ['userspace, programs', userspaceLinks(mark, 'wireguard-go', findByProgram)],
        // `wg` cannot tell these from the kernel's.
        ['iproute', iprouteLinks(mark, 'tun')],
      ]
    : [...byNetlink('netlink', () => netlinkLinks(mark)), ['iproute', iprouteLinks(mark)]];
const [[, maker]] = readers as [(typeof readers)[number]];

const hub = publicKeyOf(new PrivateKey(new Uint8Array(32).fill(8)));
const restoreInotify = await allowInotify(Math.max(...counts) + 256);
const rows: string[][] = [];
let made = 0;
for (const count of counts) {
  for (; made < count; made += 1) {
    await makeContainer(made);
  }
  for (const [how, links] of readers) {
    const status = statusOf(links, count);
    const seconds: number[] = [];
    const before = await processorSeconds();
    for (let round = 0; round < rounds; round += 1) {
      const started = performance.now();
      const read = await status();
      seconds.push((performance.now() - started) / 1000);
      const missing = read.filter(({ status: { mtu, hubs } }) => mtu !== 1420 || hubs.length !== 1);
      if (read.length !== count || missing.length > 0) {
        throw new Error(`${missing.length} of ${read.length} links were not read: ${how}`);
      }
    }
    const used = (await processorSeconds()) - before;
    const { median, least, most } = spreadOf(seconds);
    rows.push(
      [String(count), how].concat([median, least, most, used / rounds].map((figure) => figure.toFixed(2))),
    );
  }
}
await restoreInotify();
console.log(`Node ${process.version}, ${rounds} rounds\n`);
console.log(table(['links', 'by', 'median, s', 'least', 'most', 'processor time of a round, s'], rows));
process.exit(0);

function byNetlink(how: string, make: () => Links): [string, Links][] {
  return netlinkObstacle() === undefined ? [[how, make()]] : [];
}

function endpointIdOf(number: number): string {
  // The names of links are made from the first digits.
  return number.toString(16).padStart(64, '0').split('').reverse().join('');
}

async function makeContainer(number: number): Promise<void> {
  const endpointId = endpointIdOf(number);
  const name = linkName(endpointId);
  await maker.create({ name, endpointId, mtu: 1420 });
  await maker.configure(name, {
    privateKey: new PrivateKey(new Uint8Array(32).fill(9)),
    peers: [{ publicKey: hub, allowedIps: [prefixOf('0.0.0.0/0')], persistentKeepaliveInterval: 25 }],
  });
  await sh(
    `ip netns add "$1"; ip link set "$2" netns "$1" name "wg$1"; ip -n "$1" link set "wg$1" up
     cd /var/run/wireguard 2>/dev/null && ln -s "$2.sock" "wg$1.sock" || true`,
    `c${number}`,
    name,
  );
}

/** As the driver reads them, and as many at once. */
function statusOf(links: Links, count: number) {
  const states = Array.from({ length: count }, (_, number) => {
    const endpointId = endpointIdOf(number);
    const sandbox = `/run/netns/c${number}`;
    return {
      endpoint: { endpointId, networkId: 'n', addresses: [] },
      joined: { endpointId, sandbox, stage: 'marked' },
      isUndeleted: false,
      revision: 1,
      touchedMs: undefined,
      sinceMs: undefined,
      place: { name: linkName(endpointId), endpointId, sandbox },
    } as const;
  });
  return createStatus({
    lifecycle: {
      endpoints: () => states,
      network() {
        throw new Error('there is none');
      },
      peers: () => [],
    },
    links,
    follow: { seen: () => undefined },
    hubNames: { isFailing: () => false },
    guard: { stateOf: () => 'up' },
    now: () => performance.now(),
    unixNow: Date.now,
  });
}

/** Of this process, and of the programs that it has run. proc_pid_stat(5); USER_HZ is 100. */
async function processorSeconds(): Promise<number> {
  const stat = await readFile('/proc/self/stat', 'utf8');
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  return fields.slice(11, 15).reduce((sum, ticks) => sum + ticks, 0) / 100;
}
