/**
 * In a guest, as root: what Join and DeleteEndpoint cost at the plugin's socket, by netlink, beside the same by
 * `ip` and `wg`, beside a call that does nothing, and beside the floor: the same netlink messages, prebuilt,
 * sent one after another. All in turns in one run. Then with many endpoints, and many deletions at once.
 */

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { cpus, release } from 'node:os';
import { decodeAcknowledgement } from '../../src/netlink/acknowledgement.ts';
import { resolveFamily } from '../../src/netlink/generic-family.ts';
import { openLibc } from '../../src/netlink/libc/open.ts';
import {
  decodeMessages,
  encodeMessage,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  NLMSG_ERROR,
} from '../../src/netlink/message.ts';
import {
  decodeLink,
  encodeDeleteLink,
  encodeGetLink,
  encodeNewLink,
  encodeSetAlias,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
} from '../../src/netlink/route/link.ts';
import { NETLINK_GENERIC, NETLINK_ROUTE, withNetlinkSocket } from '../../src/netlink/socket.ts';
import { encodeSetDevice } from '../../src/netlink/wireguard/configure.ts';
import { WG_GENL_NAME } from '../../src/netlink/wireguard/constants.ts';
import { parseAddress, parsePrefix } from '../../src/wireguard/address.ts';
import { PrivateKey, publicKeyOf } from '../../src/wireguard/key.ts';
import { markOf } from '../../src/wireguard/link-alias.ts';
import { type Daemon, startDaemon, untilReady } from '../host/daemon.ts';
import { wgdriver } from '../host/driver.ts';
import { spreadOf, table } from './figures.ts';

const rounds = Number(process.argv[2] ?? 30);
const fewEndpoints = 10;
const manyEndpoints = Number(process.argv[3] ?? 1000);
const deletions = Number(process.argv[4] ?? 100);

const peer = publicKeyOf(new PrivateKey(new Uint8Array(32).fill(8)));
const times = new Map<string, number[]>();
let lastAddress = 1;

/** A driver of a backend, as the engine sees it, with a network. */
interface Served {
  readonly daemon: Daemon;
  readonly call: (method: string, body: object) => Promise<void>;
  readonly networkId: string;
  /** The file of the container's namespace, if there is one. */
  readonly sandbox: string;
}

interface Ids {
  readonly NetworkID: string;
  readonly EndpointID: string;
}

const netlink = await serve('netlink');
const iproute = await serve('iproute');
execFileSync('ip', ['netns', 'add', 'bench']);
const guarded = {
  ...netlink,
  networkId: await createNetwork(netlink.call, 'on'),
  sandbox: '/run/netns/bench',
};
const idleMemory = residentMegabytes(netlink.daemon);
const floor = await openFloor();

await phase('beside others', () => measure('', { withOthers: true }));
const joined: Ids[] = [];
await phase(`join ${fewEndpoints}`, () => fill(fewEndpoints));
await phase(`with ${fewEndpoints} joined`, () => measure(`, ${fewEndpoints} joined`));
await phase(`join ${manyEndpoints}`, () => fill(manyEndpoints));
const fullMemory = residentMegabytes(netlink.daemon);
await phase(`with ${manyEndpoints} joined`, () => measure(`, ${manyEndpoints} joined`));
const serialMs = await phase(`${deletions} deletions, one by one`, async () => {
  for (const ids of joined.splice(0, deletions)) {
    await netlink.call('DeleteEndpoint', ids);
  }
});
let deleting = true;
const beside = joinWhile(() => deleting);
const togetherMs = await phase(`${deletions} deletions at once`, () =>
  Promise.all(joined.splice(0, deletions).map((ids) => netlink.call('DeleteEndpoint', ids))),
);
deleting = false;
await beside;
report();
await netlink.daemon.stop('SIGKILL');
await iproute.daemon.stop('SIGKILL');

/** An emulated machine may be slow: says how far it is. */
async function phase(what: string, task: () => Promise<unknown>): Promise<number> {
  const ms = await elapsed(task);
  console.log(`${what}: ${(ms / 1000).toFixed(1)} s`);
  return ms;
}

/** Everything in turns: an endpoint's life by netlink, perhaps with the kill switch and by iproute, and the floor. */
async function measure(when: string, { withOthers = false } = {}): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    await lifeCycle(netlink, `netlink${when}`);
    if (withOthers) {
      await lifeCycle(guarded, 'netlink, killswitch=on');
      await lifeCycle(iproute, 'iproute');
    }
    floorCycle(when);
  }
}

async function lifeCycle(served: Served, what: string): Promise<void> {
  const ids = await createEndpoint(served);
  await timed(`Join, ${what}`, () =>
    served.call('Join', { ...ids, SandboxKey: served.sandbox, Options: {} }),
  );
  await timed(`EndpointOperInfo, ${what}`, () => served.call('EndpointOperInfo', ids));
  await served.call('Leave', ids);
  await timed(`DeleteEndpoint, ${what}`, () => served.call('DeleteEndpoint', ids));
}

async function createEndpoint({ call, networkId }: Served): Promise<Ids> {
  lastAddress += 1;
  const ids = { NetworkID: networkId, EndpointID: randomBytes(32).toString('hex') };
  const Interface = {
    Address: `10.9.${lastAddress >> 8}.${lastAddress & 255}/16`,
    AddressIPv6: '',
    MacAddress: '',
  };
  await call('CreateEndpoint', { ...ids, Interface, Options: {} });
  return ids;
}

/** Joins endpoints until there are so many. */
async function fill(count: number): Promise<void> {
  while (joined.length < count) {
    const ids = await createEndpoint(netlink);
    await netlink.call('Join', { ...ids, SandboxKey: '', Options: {} });
    joined.push(ids);
  }
}

async function joinWhile(isGoingOn: () => boolean): Promise<void> {
  while (isGoingOn()) {
    const ids = await createEndpoint(netlink);
    await timed(`Join, netlink, beside ${deletions} deletions`, () =>
      netlink.call('Join', { ...ids, SandboxKey: '', Options: {} }),
    );
  }
}

async function serve(backend: string): Promise<Served> {
  const socketPath = `/run/bench-${backend}.sock`;
  const daemon = startDaemon(wgdriver, [
    'serve',
    `--backend=${backend}`,
    `--name=bench-${backend}`,
    `--socket=${socketPath}`,
    `--state-dir=/var/lib/bench-${backend}`,
  ]);
  await untilReady(daemon, 'wgdriver serves', () => daemon.output().includes(' serving '));
  // As the engine does it: connections are kept.
  const agent = new Agent({ keepAlive: true });
  const call = async (method: string, body: object) => {
    const answer = await post(agent, socketPath, `/NetworkDriver.${method}`, JSON.stringify(body));
    const { Err } = JSON.parse(answer) as { Err?: string };
    if (Err !== undefined) {
      throw new Error(`${backend}: ${method}: ${Err}`);
    }
  };
  return { daemon, call, networkId: await createNetwork(call, 'off'), sandbox: '' };
}

async function createNetwork(call: Served['call'], killswitch: 'on' | 'off'): Promise<string> {
  const networkId = randomBytes(32).toString('hex');
  await call('CreateNetwork', {
    NetworkID: networkId,
    Options: {
      'com.docker.network.generic': {
        'io.bestov.wg.peer': '127.0.0.1:51820',
        'io.bestov.wg.peerkey': peer,
        'io.bestov.wg.seed': randomBytes(32).toString('base64'),
        'io.bestov.wg.killswitch': killswitch,
      },
    },
    IPv4Data: [{ AddressSpace: 'LocalDefault', Gateway: '10.9.0.1/16', Pool: '10.9.0.0/16' }],
    IPv6Data: [],
  });
  return networkId;
}

function post(agent: Agent, socketPath: string, path: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Length': Buffer.byteLength(body) };
    const sent = request({ agent, socketPath, path, method: 'POST', headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      response.on('end', () => resolve(text));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

interface Floor {
  readonly route: number;
  readonly generic: number;
  readonly join: readonly (readonly [socket: number, bytes: Uint8Array])[];
}

/** The messages of a Join, and sockets for them. */
async function openFloor(): Promise<Floor> {
  const libc = openLibc();
  // bits/socket.h: AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC
  const open = (protocol: number) => libc.socket(16, 3 | 0o2000000, protocol);
  const [route, generic] = [open(NETLINK_ROUTE), open(NETLINK_GENERIC)];
  const family = await withNetlinkSocket({ protocol: NETLINK_GENERIC }, (socket) =>
    resolveFamily(socket, WG_GENL_NAME),
  );
  const name = 'wgfloor';
  const device = {
    privateKey: new PrivateKey(new Uint8Array(32).fill(64)),
    replacePeers: true,
    peers: [
      {
        publicKey: peer,
        endpoint: { address: parseAddress('127.0.0.1') ?? fail(), port: 51820 },
        persistentKeepaliveInterval: 25,
        allowedIps: [parsePrefix('0.0.0.0/0') ?? fail(), parsePrefix('::/0') ?? fail()],
      },
    ],
  };
  const alias = markOf('floor').write('f'.repeat(64));
  const create = NLM_F_CREATE | NLM_F_EXCL;
  return {
    route,
    generic,
    join: [
      [route, message(RTM_NEWLINK, encodeNewLink({ name, kind: 'wireguard', mtu: 1420 }), create)],
      [route, message(RTM_NEWLINK, encodeSetAlias(name, alias))],
      ...encodeSetDevice(name, device).map((payload) => [generic, message(family, payload)] as const),
    ],
  };
}

function message(type: number, payload: Uint8Array, flags = 0): Uint8Array {
  return encodeMessage({
    type,
    flags: NLM_F_REQUEST | NLM_F_ACK | flags,
    sequence: 1,
    portId: 0,
    payload,
  });
}

function floorCycle(when: string): void {
  const started = performance.now();
  const answers = floor.join.map(([socket, bytes]) => exchange(socket, bytes));
  note(`Join, floor${when}`, performance.now() - started);
  answers.forEach(refuseErrors);

  const begun = performance.now();
  const answer = exchange(floor.route, message(RTM_GETLINK, encodeGetLink('wgfloor')));
  const link = decodeLink(answer.find(({ type }) => type === RTM_NEWLINK)?.payload ?? fail());
  const deleted = exchange(floor.route, message(RTM_DELLINK, encodeDeleteLink(link.index)));
  note(`DeleteEndpoint, floor${when}`, performance.now() - begun);
  refuseErrors(deleted);
}

/** Sends, which is when the kernel acts, and reads up to the acknowledgement. */
function exchange(socket: number, bytes: Uint8Array): NetlinkMessage[] {
  writeSync(socket, bytes);
  const answer: NetlinkMessage[] = [];
  const buffer = new Uint8Array(0x1_0000);
  while (answer.at(-1)?.type !== NLMSG_ERROR) {
    answer.push(...decodeMessages(buffer.slice(0, openLibc().recv(socket, buffer))));
  }
  return answer;
}

function refuseErrors(answer: readonly NetlinkMessage[]): void {
  const last = answer.at(-1) ?? fail();
  const cause = decodeAcknowledgement(last);
  if (cause !== undefined) {
    throw new Error(`floor: ${cause.errno} ${cause.text ?? ''}`);
  }
}

function fail(): never {
  throw new Error('not so');
}

async function elapsed(task: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await task();
  return performance.now() - started;
}

async function timed(what: string, task: () => Promise<void>): Promise<void> {
  note(what, await elapsed(task));
}

function note(what: string, ms: number): void {
  times.set(what, [...(times.get(what) ?? []), ms]);
}

function median(what: string): number {
  return spreadOf(times.get(what) ?? []).median;
}

function residentMegabytes({ pid }: Daemon): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

function report(): void {
  console.log(
    `Kernel ${release()}, ${cpus().length} processors, Node ${process.version}, ${rounds} rounds\n`,
  );
  const rows = [...times].map(([what, all]) => {
    const { median, low, high } = spreadOf(all);
    return [what, String(all.length), median.toFixed(1), `${low.toFixed(1)} to ${high.toFixed(1)}`];
  });
  console.log(`${table(['call', 'times', 'median, ms', 'middle half, ms'], rows)}\n`);

  const few = `, ${fewEndpoints} joined`;
  const many = `, ${manyEndpoints} joined`;
  const targets: readonly (readonly [what: string, value: number, limit: number, unit: string])[] = [
    [
      'Join / (floor + empty call)',
      median('Join, netlink') / (median('Join, floor') + median('EndpointOperInfo, netlink')),
      1.5,
      '',
    ],
    ['Join, netlink / iproute', median('Join, netlink') / median('Join, iproute'), 0.4, ''],
    [
      `Join${many} / ${fewEndpoints} joined`,
      median(`Join, netlink${many}`) / median(`Join, netlink${few}`),
      1.2,
      '',
    ],
    [`memory of serve${many}, above idle (${idleMemory.toFixed(0)} MB)`, fullMemory - idleMemory, 40, ' MB'],
    [
      `${deletions} deletions at once (${(togetherMs / 1000).toFixed(1)} s) / one by one (${(serialMs / 1000).toFixed(1)} s)`,
      togetherMs / serialMs,
      0.5,
      '',
    ],
    [
      'Join beside them / idle',
      median(`Join, netlink, beside ${deletions} deletions`) / median(`Join, netlink${many}`),
      1.5,
      '',
    ],
  ];
  console.log(
    table(
      ['target', 'at most', 'here', ''],
      targets.map(([what, value, limit, unit]) => [
        what,
        `${limit}${unit}`,
        `${value.toFixed(2)}${unit}`,
        value <= limit ? 'met' : '**missed**',
      ]),
    ),
  );
  const floorGrowth = median(`Join, floor${many}`) / median(`Join, floor${few}`);
  console.log(
    `\nThe kernel’s own part (floor), ${manyEndpoints} joined / ${fewEndpoints}: ${floorGrowth.toFixed(2)}`,
  );
  process.exitCode = targets.every(([, value, limit]) => value <= limit) ? 0 : 1;
}
