/** Runs on any runtime, bundled, in a network namespace of its own: what it prints is the same on all. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { netlinkLinks } from '../../../src/links/netlink/links.ts';
import { openLibc } from '../../../src/netlink/libc/open.ts';
import { createLink, getLink, listLinks } from '../../../src/netlink/route/client.ts';
import { NETLINK_ROUTE, openEventSocket, withNetlinkSocket } from '../../../src/netlink/socket.ts';
import { markOf } from '../../../src/wireguard/link-alias.ts';

const links = netlinkLinks(markOf('own'), 'bridge');
const link = { name: 'wgd1', mtu: 1400, endpointId: 'e1' };

const outcomes: [what: string, outcome: unknown][] = [
  ['create', await outcomeOf(links.create(link).then((index) => typeof index))],
  ['create again', await outcomeOf(links.create(link))],
  ['list', await outcomeOf(links.list())],
  [
    'another namespace',
    await outcomeOf(
      withNetlinkSocket({ protocol: NETLINK_ROUTE, netns: 'new' }, async (socket) => {
        await createLink(socket, { name: 'br0', kind: 'bridge' });
        return (await listLinks(socket)).map(({ name }) => name);
      }),
    ),
  ],
  [
    'this one',
    await outcomeOf(
      withNetlinkSocket({ protocol: NETLINK_ROUTE }, async (socket) => (await getLink(socket, 'wgd1')).mtu),
    ),
  ],
  [
    'no such namespace',
    await outcomeOf(
      withNetlinkSocket({ protocol: NETLINK_ROUTE, netns: '/proc/self/ns/none' }, async () => {}),
    ),
  ],
  ['no such family', await outcomeOf((async () => openLibc().socket(9999, 3, 0))())],
  [
    'too long',
    await outcomeOf(withNetlinkSocket({ protocol: NETLINK_ROUTE }, (s) => s.send(new Uint8Array(1e6)))),
  ],
  [
    'nothing to receive',
    await outcomeOf(withNetlinkSocket({ protocol: NETLINK_ROUTE }, async (s) => s.receive() ?? 'nothing')),
  ],
];
const events = await openEventSocket();
outcomes.push(['no event', await outcomeOf((async () => events.receive() ?? 'nothing')())]);
await withNetlinkSocket({ protocol: NETLINK_ROUTE }, (socket) =>
  createLink(socket, { name: 'br1', kind: 'bridge' }),
);
outcomes.push(['an event here', events.receive()?.nsid ?? 'here']);
const neighbour = spawn('unshare', ['--net', 'sh', '-c', 'echo; exec cat']);
await once(neighbour.stdout, 'data');
execFileSync('ip', ['link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1']);
execFileSync('ip', ['link', 'set', 'v1', 'netns', `${neighbour.pid}`]);
const nsids = new Set<number | undefined>();
for (let event = events.receive(); event !== undefined; event = events.receive()) {
  nsids.add(event.nsid);
}
outcomes.push(['events here and there', [...nsids].map((nsid) => nsid ?? 'here').sort()]);
const told = new Promise<string>((resolve) => events.onReadable(() => resolve('told')));
const tooLate = setTimeout(() => process.exit(1), 20_000);
execFileSync('ip', ['link', 'set', 'v0', 'up']);
outcomes.push(['an event tells of itself', await outcomeOf(told)]);
clearTimeout(tooLate);
events.close();
neighbour.stdin.end();
let ticks = 0;
const timer = setInterval(() => ticks++, 1);
outcomes.push(['delete', await outcomeOf(links.delete('wgd1'))]);
clearInterval(timer);
outcomes.push(
  ['event loop', ticks > 2 ? 'went on' : `${ticks} ticks`],
  ['list', await outcomeOf(links.list())],
);

console.log(JSON.stringify(outcomes));

async function outcomeOf(result: Promise<unknown>): Promise<unknown> {
  try {
    return (await result) ?? 'done';
  } catch (error) {
    return (error as Error).message;
  }
}
