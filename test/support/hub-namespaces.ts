// A hub in this network namespace and containers' ends of tunnels in namespaces of their own: by the kernel's WireGuard
// where it has one, as in a guest, and else by wireguard-go.
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PrivateKey, PublicKey } from '../../src/wireguard/key.ts';

export function sh(script: string, ...args: readonly string[]): string {
  return execFileSync('sh', ['-euc', script, 'sh', ...args], {
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/** The implementation of links that works here. */
export const backend: 'netlink' | 'userspace' =
  spawnSync('unshare', ['--net', 'ip', 'link', 'add', 'dev', 'wgprobe', 'type', 'wireguard']).status === 0
    ? 'netlink'
    : 'userspace';

/** What makes a link: a script whose argument is its name. */
export const makeLink =
  backend === 'netlink' ? 'ip link add "$1" type wireguard' : 'wireguard-go "$1" >/dev/null 2>&1';

/** The programs that the tests of a hub need. */
export const hubPrograms = [...(backend === 'netlink' ? [] : ['wireguard-go']), 'wg', 'ip', 'nft', 'ping'];

/** The end of a tunnel that a container has: a namespace with a link, one hop from the hub. */
export interface FarEnd {
  readonly name: string;
  exec(...command: readonly string[]): string;
  /** Does a ping arrive? */
  pings(address: string, seconds?: number): boolean;
  setKey(key: PrivateKey): void;
  close(): void;
}

let hops = 0;

export function startFarEnd(settings: {
  readonly addresses: readonly string[];
  readonly key: PrivateKey;
  readonly hubKey: PublicKey;
  readonly keepalive?: number;
}): FarEnd {
  const hop = ++hops;
  const name = `far${hop}`;
  const exec = (...command: readonly string[]) =>
    execFileSync('ip', ['netns', 'exec', name, ...command], { encoding: 'utf8' });
  const setKey = (key: PrivateKey) => {
    writeFileSync(`/run/${name}.key`, key.toBase64(), { mode: 0o600 });
    exec('wg', 'set', `wgfar${hop}`, 'private-key', `/run/${name}.key`);
  };
  sh(
    `ip netns add $1
     ip link add h$2 type veth peer name eth0 netns $1
     ip address add 10.99.$2.1/24 dev h$2; ip link set h$2 up
     ip -n $1 link set lo up
     ip -n $1 address add 10.99.$2.2/24 dev eth0; ip -n $1 link set eth0 up
     ip netns exec $1 sh -euc "$5" sh wgfar$2
     ip netns exec $1 wg set wgfar$2 peer $3 endpoint 10.99.$2.1:51820 allowed-ips 0.0.0.0/0,::/0 persistent-keepalive $4`,
    name,
    String(hop),
    settings.hubKey,
    String(settings.keepalive ?? 0),
    makeLink,
  );
  setKey(settings.key);
  for (const address of settings.addresses) {
    exec('ip', 'address', 'add', address, 'dev', `wgfar${hop}`);
  }
  sh(
    'ip -n $1 link set wgfar$2 up; ip -n $1 route add default dev wgfar$2; ip -n $1 -6 route add default dev wgfar$2',
    name,
    String(hop),
  );
  return {
    name,
    exec,
    pings: (address, seconds = 5) => {
      try {
        exec('ping', '-c', '1', '-W', String(seconds), '-w', String(seconds), address);
        return true;
      } catch {
        return false;
      }
    },
    setKey,
    close: () => {
      sh(
        'ip -n $1 link delete wgfar$2; ip netns delete $1; ip link delete h$2 2>/dev/null || true',
        name,
        String(hop),
      );
    },
  };
}

export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<number> {
  const started = performance.now();
  while (!(await isSo())) {
    if (performance.now() - started > timeoutMs) {
      throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    }
    await sleep(50);
  }
  return performance.now() - started;
}
