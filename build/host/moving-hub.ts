/**
 * A host with two uplinks into one network, and behind a router a hub that can move: by namespaces, for what takes many
 * containers, which namespaces stand in for.
 */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, sh, until } from './commands.ts';
import { startDaemon, untilReady } from './daemon.ts';
import { wgdriver } from './driver.ts';
import { call } from './namespaces.ts';
import { findTunnel } from './tunnel.ts';

export interface MovingHub {
  /** Its addresses, of which it has the first. */
  readonly addresses: readonly [string, string, string];
  /** Makes the network `n` of its containers. */
  createNetwork(host: string, options?: Readonly<Record<string, string>>): Promise<void>;
  /** Goes to another of its addresses. */
  move(address: string): Promise<void>;
  /** What the hub has received from each container, by its address, in bytes. */
  heard(): Promise<ReadonlyMap<string, number>>;
  /** Waits until it has heard more of all these containers. @returns the seconds that took */
  untilHeard(
    addresses: readonly string[],
    before: ReadonlyMap<string, number>,
    timeoutMs: number,
  ): Promise<number>;
  /** Ends its program. */
  close(): Promise<void>;
}

/**
 * @param folder for its files
 * @param peers how many containers it knows
 */
export async function startMovingHub(folder: string, peers: number): Promise<MovingHub> {
  const { backend } = await findTunnel();
  const addresses = ['10.98.0.2', '10.98.0.3', '10.98.0.4'] as const;
  const seedFile = join(folder, 'app.seed');
  const file = join(folder, 'hub.yaml');
  await writeFile(seedFile, randomBytes(32).toString('base64'), { mode: 0o600 });
  await writeFile(
    file,
    `networks:\n  app: { subnet: 192.168.0.0/16, seedfiles: [app.seed], peers: ${peers} }\n`,
  );
  await sh(
    `ip netns add router; ip netns add hub; ip -n hub link set lo up
     ip -n router link add lan type bridge; ip -n router link set lan up
     ip -n router address add 10.97.0.2/24 dev lan
     for link in up0 up1; do
       ip link add $link type veth peer name $link netns router
       ip -n router link set $link master lan up; ip link set $link up
     done
     ip -n router link add eth1 type veth peer name eth0 netns hub
     ip -n router address add 10.98.0.1/24 dev eth1; ip -n router link set eth1 up
     ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
     ip -n hub address add ${addresses[0]}/24 dev eth0; ip -n hub link set eth0 up
     ip -n hub route add default via 10.98.0.1
     ip address add 10.97.0.1/24 dev up0; ip route add default via 10.97.0.2 dev up0`,
  );
  const options = ['--config', file, '--state-dir', join(folder, 'hub'), '--backend', backend];
  const hub = startDaemon('ip', ['netns', 'exec', 'hub', wgdriver, 'hub', 'serve', ...options]);
  await untilReady(hub, 'the hub serves', () => hub.output().includes(' serving '));
  const show = (what: string) => run('ip', ['netns', 'exec', 'hub', 'wg', 'show', 'wg0', what]);

  async function heard(): Promise<ReadonlyMap<string, number>> {
    // wg(8): public key, preshared key, endpoint, allowed IPs, latest handshake, received, sent, keepalive.
    const [, ...lines] = (await show('dump')).split('\n');
    return new Map(
      lines
        .map((line) => line.split('\t'))
        .map(([, , , allowed = '', , received]) => [allowed.replace('/32', ''), Number(received)]),
    );
  }

  return {
    addresses,
    heard,

    async createNetwork(host, more = {}) {
      const asked = { peer: `${host}:51820`, peerkey: await show('public-key'), seedfile: seedFile, ...more };
      await call('CreateNetwork', {
        NetworkID: 'n',
        Options: {
          'com.docker.network.generic': Object.fromEntries(
            Object.entries(asked).map(([name, value]) => [`io.bestov.wg.${name}`, value]),
          ),
        },
        IPv4Data: [{ AddressSpace: '', Pool: '192.168.0.0/16', Gateway: '192.168.0.1/16' }],
        IPv6Data: [],
      });
    },

    async move(address) {
      // The last address takes the route with it.
      await sh(
        `ip -n hub address flush dev eth0; ip -n hub address add "$1/24" dev eth0
         ip -n hub route replace default via 10.98.0.1`,
        address,
      );
    },

    async untilHeard(wanted, before, timeoutMs) {
      const started = performance.now();
      let silent: readonly string[] = wanted;
      const isHeard = async () => {
        const now = await heard();
        silent = wanted.filter((address) => (now.get(address) ?? 0) <= (before.get(address) ?? 0));
        // To look costs programs, which a guest of one processor has to share.
        await sleep(silent.length === 0 ? 0 : 500);
        return silent.length === 0;
      };
      await until('the hub to hear every container', isHeard, timeoutMs).catch((error: Error) => {
        throw new Error(`${error.message}; not ${silent.length} of ${wanted.length}: ${silent.slice(0, 5)}`);
      });
      return (performance.now() - started) / 1000;
    },

    async close() {
      await hub.stop();
    },
  };
}
