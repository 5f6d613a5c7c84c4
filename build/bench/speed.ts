/**
 * What the driver costs a user, on whatever machine this runs: the time from `docker run` to the first
 * answered ping, and the throughput of one TCP stream to the hub beside that of a plain WireGuard link, made
 * by hand in the same way. The two are measured in turns, with the kill switch and without.
 */

import { attempt, run, sh, until } from '../host/commands.ts';
import { startDaemon } from '../host/daemon.ts';
import { wgdriver } from '../host/driver.ts';
import { importTestImage, testImage } from '../host/engine.ts';
import { startHost } from '../host/host.ts';
import { article } from '../host/hub.ts';
import { spreadOf, table } from './figures.ts';

const pairs = Number(process.argv[2] ?? 10);
const seconds = 3;
const plainAddress = '192.168.5.19';

/** Pings without the pauses of ping(8) between an answer and the next question. */
const pingAtOnce = 'until ping -c 1 -W 1 "$1" >/dev/null; do :; done';

const host = await startHost();
await importTestImage(host.engine, ['iperf3', 'ping']);
await host.createNetwork('wgnet');
const server = startDaemon('ip', ['netns', 'exec', 'hub', 'iperf3', '--server']);
await startPlainLink();

const firstPing: number[] = [];
for (let i = 0; i < pairs; i += 1) {
  const started = performance.now();
  await host.engine.docker(
    'run',
    '--rm',
    '--network=wgnet',
    testImage,
    'sh',
    '-c',
    pingAtOnce,
    'sh',
    host.hub.address,
  );
  firstPing.push(performance.now() - started);
}

const guarded = await comparePairs();
await host.clear();
await host.createNetwork('wgnet', { options: { killswitch: 'off' } });
const unguarded = await comparePairs();

const { version } = host.engine;
await server.stop();
await run('ip', ['netns', 'delete', 'plain']);
await host.clear();
await host.close();

console.log(
  table(
    ['what', 'median', 'range'],
    [
      row(
        `docker run to the first answered ping, and the container's end (engine ${version}), s`,
        firstPing.map((ms) => ms / 1000),
      ),
      row('one TCP stream, plain WireGuard, Mbit/s', guarded.plain),
      row('one TCP stream, container on our network, Mbit/s', guarded.ours),
      row('ours / plain, pair by pair', guarded.ratios),
      row('plain WireGuard once more, Mbit/s', unguarded.plain),
      row('container with killswitch=off, Mbit/s', unguarded.ours),
      row('ours with killswitch=off / plain, pair by pair', unguarded.ratios),
    ],
  ),
);
// Under this, the driver has cost something.
process.exitCode = spreadOf(guarded.ratios).median < 0.9 ? 1 : 0;

function row(what: string, figures: readonly number[]): string[] {
  const { median, least, most } = spreadOf(figures);
  return [what, median.toFixed(2), `${least.toFixed(2)} to ${most.toFixed(2)}`];
}

/** A link as the driver makes it, moved into a namespace by hand; the hub knows the address's key. */
async function startPlainLink(): Promise<void> {
  await sh(
    `ip netns add plain
     ${host.tunnel.create.replaceAll('$1', 'wg-plain')}
     "$6" keys --private --seed=$1 --additional=$2 $3 2>/dev/null >/run/plain.key
     wg set wg-plain private-key /run/plain.key peer $4 endpoint $5 allowed-ips 0.0.0.0/0
     rm /run/plain.key
     ip link set wg-plain netns plain
     ip -n plain address add $3/24 dev wg-plain
     ip -n plain link set wg-plain mtu 1420 up`,
    article.seed,
    article.additional,
    plainAddress,
    host.hub.publicKey,
    host.hub.endpoint,
    wgdriver,
  );
  await until(
    'the plain link answers',
    async () =>
      (await attempt('ip', ['netns', 'exec', 'plain', 'ping', '-c', '1', '-W', '1', host.hub.address]))
        .status === 0,
  );
}

async function comparePairs() {
  await host.startContainer('one', '--network=wgnet');
  await host.ping('one', host.hub.address);
  const plain: number[] = [];
  const ours: number[] = [];
  for (let i = 0; i < pairs; i += 1) {
    plain.push(await throughput('ip', ['netns', 'exec', 'plain']));
    ours.push(await throughput('docker', ['exec', 'one']));
  }
  return { plain, ours, ratios: ours.map((figure, index) => figure / (plain[index] ?? Number.NaN)) };
}

/** Mbit/s that the receiver saw. */
async function throughput(file: string, args: readonly string[]): Promise<number> {
  const json = await run(file, [
    ...args,
    'iperf3',
    '--client',
    host.hub.address,
    '--time',
    String(seconds),
    '--json',
  ]);
  const { end } = JSON.parse(json) as { end: { sum_received: { bits_per_second: number } } };
  return end.sum_received.bits_per_second / 1e6;
}
