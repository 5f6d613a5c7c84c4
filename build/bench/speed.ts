/**
 * What the driver costs a user, on whatever machine this runs: the time from `docker run` to the first
 * answered ping, and the throughput of one TCP stream to the hub beside that of a plain WireGuard link, made
 * by hand in the same way. The two are measured in turns, with the kill switch and without.
 */

import { run } from '../host/commands.ts';
import { startDaemon } from '../host/daemon.ts';
import { importTestImage } from '../host/engine.ts';
import { startHost } from '../host/host.ts';
import { spreadOf, table } from './figures.ts';
import { onPlainLink, pingFromContainer, startPlainLink, throughput } from './streams.ts';

const pairs = Number(process.argv[2] ?? 10);

const host = await startHost();
await importTestImage(host.engine, ['iperf3', 'ping']);
await host.createNetwork('wgnet');
const server = startDaemon('ip', ['netns', 'exec', 'hub', 'iperf3', '--server']);
await startPlainLink(host);

const firstPing: number[] = [];
for (let i = 0; i < pairs; i += 1) {
  const started = performance.now();
  await pingFromContainer(host, 'wgnet');
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

async function comparePairs() {
  await host.startContainer('one', '--network=wgnet');
  await host.ping('one', host.hub.address);
  const plain: number[] = [];
  const ours: number[] = [];
  for (let i = 0; i < pairs; i += 1) {
    plain.push(await throughput(host, onPlainLink));
    ours.push(await throughput(host, ['docker', 'exec', 'one']));
  }
  return { plain, ours, ratios: ours.map((figure, index) => figure / (plain[index] ?? Number.NaN)) };
}
