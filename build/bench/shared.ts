/**
 * `npm run bench -- shared [ROUNDS [CONTAINERS]]`: what a tunnel that containers share costs. One TCP stream beside those of a
 * link of the container's own and of a plain WireGuard link, in turns and to the same hub; `docker run` beside Docker's own
 * networks; many containers that start and go, with what is left of them; and how long a tunnel that is lost takes to
 * come back.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { attempt, run, sh, until } from '../host/commands.ts';
import { startDaemon } from '../host/daemon.ts';
import { wgdriver } from '../host/driver.ts';
import { importTestImage, testImage } from '../host/engine.ts';
import { driverName, startHost } from '../host/host.ts';
import { article } from '../host/hub.ts';
import { spreadOf, table } from './figures.ts';
import { onPlainLink, startPlainLink, throughput } from './streams.ts';

const rounds = Number(process.argv[2] ?? 10);
const containers = Number(process.argv[3] ?? 50);

const host = await startHost();
const { hub } = host;
const { docker } = host.engine;
await importTestImage(host.engine, ['iperf3', 'ping']);
const server = startDaemon('ip', ['netns', 'exec', 'hub', 'iperf3', '--server']);

await startPlainLink(host);
await createNetwork('own', '192.168.5.8', '--ipam-driver=null');
await createNetwork('shared', '192.168.5.9', '--subnet=10.77.0.0/24');
await docker('network', 'create', 'bridged');
for (const network of ['own', 'shared']) {
  await host.startContainer(network, `--network=${network}`);
  await host.ping(network, hub.address);
}

const streams = {
  plain: onPlainLink,
  own: ['docker', 'exec', 'own'],
  shared: ['docker', 'exec', 'shared'],
} as const;
const rates: Record<keyof typeof streams, number[]> = { plain: [], own: [], shared: [] };
for (let round = 0; round < rounds; round++) {
  for (const name of ['plain', 'own', 'shared'] as const) {
    rates[name].push(await throughput(host, streams[name]));
  }
}
await docker('rm', '-f', 'own');

/** From the end of the process that holds the tunnel to a container’s first answered ping, in seconds. */
const lost: number[] = [];
const id = await docker('network', 'inspect', '--format={{.Id}}', 'shared');
const pid = await docker('inspect', '--format={{.State.Pid}}', 'shared');
/** The process that holds the tunnel’s namespace. */
const keeper = () =>
  sh('basename -a $(dirname $(grep -lsz "=shared tunnel of network $1" /proc/[0-9]*/environ))', id);
for (let round = 0; round < rounds; round++) {
  process.kill(Number(await keeper()), 'SIGKILL');
  const since = performance.now();
  const ping = [`--net=/proc/${pid}/ns/net`, 'ping', '-c', '1', '-W', '1', hub.address];
  await until('it has lost its link', async () => (await attempt('nsenter', ping)).status !== 0);
  await until('it pings again', async () => (await attempt('nsenter', ping)).status === 0);
  lost.push((performance.now() - since) / 1000);
}

const starts = new Map<string, number[]>();
for (let round = 0; round < rounds; round++) {
  for (const network of ['none', 'bridged', 'own', 'shared']) {
    const since = performance.now();
    await docker('run', '--rm', `--network=${network}`, testImage, 'true');
    starts.set(network, [...(starts.get(network) ?? []), performance.now() - since]);
  }
}

const countLines = (text: string) => text.split('\n').length;
const links = async () => countLines(await run('ip', ['-brief', 'link', 'show']));
const linksInside = async () =>
  countLines(await run('nsenter', [`--net=/proc/${await keeper()}/ns/net`, 'ip', '-brief', 'link', 'show']));
const look = async () => ({ memory: await memory(), links: await links(), inside: await linksInside() });
const memory = async () =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${host.driver.pid}/status`, 'utf8'))?.[1]) / 1024;
const before = await look();
const names = Array.from({ length: containers }, (_, index) => `many${index}`);
const upSince = performance.now();
for (const name of names) {
  await host.startContainer(name, '--network=shared');
}
const upMs = performance.now() - upSince;
await host.ping(names.at(-1) ?? 'shared', hub.address);
const most = await look();
const downSince = performance.now();
await docker('rm', '-f', ...names);
const downMs = performance.now() - downSince;
const afterwards = await look();
const { version } = host.engine;

await server.stop();
await run('ip', ['netns', 'delete', 'plain']);
await host.clear();
const left = await links();
await host.close();

const row = (what: string, figures: readonly number[], digits: number) => {
  const { median, low, high } = spreadOf(figures);
  return [what, median.toFixed(digits), `${low.toFixed(digits)} to ${high.toFixed(digits)}`];
};
const ratios = (some: readonly number[], others: readonly number[]) =>
  some.map((figure, index) => figure / (others[index] ?? Number.NaN));
console.log(
  `Kernel ${release()}, ${cpus().length} cores, engine ${version}, backend ${host.tunnel.backend}, ${rounds} rounds\n`,
);
console.log(
  table(
    ['one TCP stream', 'median', 'middle half'],
    [
      row('a plain WireGuard link, Mbit/s', rates.plain, 0),
      row('a link of the container’s own, Mbit/s', rates.own, 0),
      row('a shared tunnel, Mbit/s', rates.shared, 0),
      row('own / plain, round by round', ratios(rates.own, rates.plain), 2),
      row('shared / plain, round by round', ratios(rates.shared, rates.plain), 2),
    ],
  ),
);
console.log(
  `\n${table(['lost', 'median', 'middle half'], [row('s from the keeper’s end to the next answered ping', lost, 1)])}`,
);
console.log(
  `\n${table(
    ['docker run --rm', 'median, ms', 'middle half, ms'],
    [...starts].map(([network, all]) => row(`network ${network}`, all, 0)),
  )}\n`,
);
console.log(
  table(
    [`${containers} containers on a shared tunnel`, 'before', 'all running', 'all removed'],
    [
      ['s, one after the other', '', (upMs / 1000).toFixed(1), (downMs / 1000).toFixed(1)],
      ['memory of the driver, MB', ...[before, most, afterwards].map((each) => each.memory.toFixed(0))],
      ['links of the host', ...[before, most, afterwards].map((each) => String(each.links))],
      ['links in the tunnel’s namespace', ...[before, most, afterwards].map((each) => String(each.inside))],
    ],
  ),
);
console.log(`\nLinks of the host when all networks are removed: ${left}`);
process.exitCode = afterwards.links === before.links && afterwards.inside === before.inside ? 0 : 1;

/** With a file that a provider would give the hub’s peer of that address. */
async function createNetwork(name: string, address: string, ...args: readonly string[]): Promise<void> {
  const scheme = ['--private', `--seed=${article.seed}`, `--additional=${article.additional}`];
  const path = `/run/bench-${name}.conf`;
  const text = `[Interface]\nPrivateKey = ${await run(wgdriver, ['keys', ...scheme, address])}\nAddress = ${address}/32\nMTU = 1420
[Peer]\nPublicKey = ${hub.publicKey}\nAllowedIPs = 0.0.0.0/0\nEndpoint = ${hub.endpoint}\n`;
  await writeFile(path, text, { mode: 0o600 });
  await docker(
    ...['network', 'create', '-d', driverName, '-o', `io.bestov.wg.conffile=${path}`],
    ...args,
    name,
  );
}
