/** TCP streams to the hub: from containers, and from a plain WireGuard link that is made by hand in the same way. */
import { attempt, run, sh, until } from '../host/commands.ts';
import { wgdriver } from '../host/driver.ts';
import { testImage } from '../host/engine.ts';
import type { Host } from '../host/host.ts';
import { article } from '../host/hub.ts';

const plainAddress = '192.168.5.19';
const seconds = 3;

/** Runs a container up to the first answered ping, without the pauses of ping(8) between an answer and the next question. */
export async function pingFromContainer({ engine, hub }: Host, network: string): Promise<void> {
  const script = 'until ping -c 1 -W 1 "$1" >/dev/null; do :; done';
  const command = ['sh', '-c', script, 'sh', hub.address];
  await engine.docker('run', '--rm', '--dns=192.168.5.1', `--network=${network}`, testImage, ...command);
}

/** Runs what comes behind it where the plain link is. */
export const onPlainLink = ['ip', 'netns', 'exec', 'plain'] as const;

/** A link as the driver makes it, moved into the namespace `plain` by hand; the hub knows the address's key. */
export async function startPlainLink(host: Host): Promise<void> {
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
      (await attempt('ip', [...onPlainLink.slice(1), 'ping', '-c1', '-W1', host.hub.address])).status === 0,
  );
}

/** @param where a command that runs what comes behind it. @returns Mbit/s that the receiver saw */
export async function throughput(
  { hub }: Host,
  [file, ...args]: readonly [string, ...string[]],
  streams = 1,
): Promise<number> {
  const client = [
    'iperf3',
    '--client',
    hub.address,
    '--time',
    String(seconds),
    '--parallel',
    String(streams),
  ];
  const { end } = JSON.parse(await run(file, [...args, ...client, '--json'])) as {
    end: { sum_received: { bits_per_second: number } };
  };
  return end.sum_received.bits_per_second / 1e6;
}
