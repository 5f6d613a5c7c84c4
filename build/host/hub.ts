import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, sh } from './commands.ts';
import { wgdriver } from './driver.ts';
import type { Tunnel } from './tunnel.ts';

/** What IPv6 addresses are made of, where a network has them, and the hub's. */
export const tunnelIpv6 = { prefix: 'fd12:3456::/64', hub: 'fd12:3456::c0a8:501' } as const;

/** The article's worked example. */
export const article = {
  seed: 'dGVzdHNlZWQK',
  additional: 'dGVzdGFkZGl0aW9uYWwK',
  subnet: '192.168.5.0/24',
  firstAddress: '192.168.5.2',
  firstPublicKey: '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=',
} as const;

/** The other end of the tunnels, in a network namespace of its own, one hop from the host. */
export interface Hub {
  /** What `io.bestov.wg.peer` needs. */
  readonly endpoint: string;
  readonly publicKey: string;
  /** Its address inside the tunnel. */
  readonly address: string;
  /** Runs a program in its namespace. */
  exec(file: string, ...args: readonly string[]): Promise<string>;
  /** Configures its peers by `wgdriver endpoint-config`, whose further arguments these are. */
  configure(...args: readonly string[]): Promise<void>;
  /** The same by `wg syncconf`, which leaves the peers alone that stay as they are. */
  sync(...args: readonly string[]): Promise<void>;
  /** Its peers are afterwards what they were: files that run in one process have one hub. */
  keepingPeers(use: () => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

export interface HubSettings {
  readonly tunnel: Tunnel;
  /** Names the namespace and its links, so that there can be several hubs. */
  readonly name?: string;
  /** Third octet of the hop between host and hub, 10.99.N.0/24. */
  readonly hop?: number;
  /** The hub's address in the tunnel, with the subnet's length. */
  readonly address?: string;
}

const listenPort = 51820;

export async function startHub({
  tunnel,
  name = 'hub',
  hop = 0,
  address = '192.168.5.1/24',
}: HubSettings): Promise<Hub> {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-hub-'));
  const exec = (file: string, ...args: readonly string[]) =>
    run('ip', ['netns', 'exec', name, file, ...args]);
  const device = `wg-${name}`;
  await sh(
    `name=$1 hop=$2
     ip netns add "$name"
     ip link add "$name-host" type veth peer name eth0 netns "$name"
     ip address add "10.99.$hop.1/24" dev "$name-host"
     ip link set "$name-host" up
     ip -n "$name" link set lo up
     ip -n "$name" address add "10.99.$hop.2/24" dev eth0
     ip -n "$name" link set eth0 up
     ip netns exec "$name" sysctl -qw net.ipv4.ip_forward=1`,
    name,
    String(hop),
  );
  await exec('sh', '-euc', tunnel.create, 'sh', device);
  await sh(
    `umask 077
     wg genkey >"$1/key"
     ip -n "$2" address add "$4" dev "$3"
     ip -n "$2" link set "$3" up`,
    folder,
    name,
    device,
    address,
  );
  const publicKey = await sh('wg pubkey <"$1/key"', folder);
  const applyConfig = async (verb: 'setconf' | 'syncconf', args: readonly string[]) => {
    const config = await run(wgdriver, [
      'endpoint-config',
      '--format=setconf',
      `--private-key-file=${folder}/key`,
      `--listen-port=${listenPort}`,
      ...args,
    ]);
    await writeFile(join(folder, 'conf'), config, { mode: 0o600 });
    await exec('wg', verb, device, join(folder, 'conf'));
  };
  return {
    endpoint: `10.99.${hop}.2:${listenPort}`,
    publicKey,
    address: address.replace(/\/.*/, ''),
    exec,
    configure: (...args) => applyConfig('setconf', args),
    sync: (...args) => applyConfig('syncconf', args),
    async keepingPeers(use) {
      const kept = join(folder, 'kept');
      await exec('sh', '-euc', 'umask 077; wg showconf "$1" >"$2"', 'sh', device, kept);
      try {
        await use();
      } finally {
        await exec('wg', 'syncconf', device, kept);
      }
    },
    async close() {
      await exec('ip', 'link', 'delete', 'dev', device);
      await run('ip', ['netns', 'delete', name]);
      await run('ip', ['link', 'delete', 'dev', `${name}-host`]).catch(() => {});
      await rm(folder, { recursive: true });
    },
  };
}

/** The article's hub: the first of its peers, with keys by its seed and additional. */
export async function startArticleHub(settings: HubSettings): Promise<Hub> {
  const hub = await startHub(settings);
  await hub.configure(
    `--seed=${article.seed}`,
    `--additional=${article.additional}`,
    '--peers=20',
    article.subnet,
  );
  return hub;
}

/** A hub for one test, closed whatever comes of it. */
export async function withHub(settings: HubSettings, use: (hub: Hub) => Promise<void>): Promise<void> {
  const hub = await startHub(settings);
  try {
    await use(hub);
  } finally {
    await hub.close();
  }
}
