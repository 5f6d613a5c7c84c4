/**
 * In a guest, as root: what Join and DeleteEndpoint cost at the plugin's socket, by netlink, beside the same by
 * `ip` and `wg`, beside a call that does nothing, and beside the floor: the same netlink messages, prebuilt,
 * sent one after another. All in turns in one run. Then with many endpoints, and many deletions at once.
 */

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpus, release } from 'node:os';
import { spreadOf, table } from './figures.ts';
import { floorCycle, openFloor } from './floor.ts';
import { createNetwork, residentMegabytes, type Served, serve as serveDriver } from './served.ts';

const rounds = Number(process.argv[2] ?? 30);
const fewEndpoints = 10;
const manyEndpoints = Number(process.argv[3] ?? 1000);
const deletions = Number(process.argv[4] ?? 100);

const times = new Map<string, number[]>();
let lastAddress = 1;

/** A driver of a backend, with a network. */
interface Network extends Served {
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
    const { join, deletion } = floorCycle(floor);
    note(`Join, floor${when}`, join);
    note(`DeleteEndpoint, floor${when}`, deletion);
  }
}

async function lifeCycle(served: Network, what: string): Promise<void> {
  const ids = await createEndpoint(served);
  await timed(`Join, ${what}`, () =>
    served.call('Join', { ...ids, SandboxKey: served.sandbox, Options: {} }),
  );
  await timed(`EndpointOperInfo, ${what}`, () => served.call('EndpointOperInfo', ids));
  await served.call('Leave', ids);
  await timed(`DeleteEndpoint, ${what}`, () => served.call('DeleteEndpoint', ids));
}

async function createEndpoint({ call, networkId }: Network): Promise<Ids> {
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

async function serve(backend: string): Promise<Network> {
  const served = await serveDriver(backend, backend);
  return { ...served, networkId: await createNetwork(served.call, 'off'), sandbox: '' };
}

async function elapsed(task: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await task();
  return performance.now() - started;
}

async function timed(what: string, task: () => Promise<unknown>): Promise<void> {
  note(what, await elapsed(task));
}

function note(what: string, ms: number): void {
  times.set(what, [...(times.get(what) ?? []), ms]);
}

function median(what: string): number {
  return spreadOf(times.get(what) ?? []).median;
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
