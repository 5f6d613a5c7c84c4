import { attempt } from './commands.ts';

/** How this machine makes WireGuard links, for the hub and for what is expected of the driver. */
export interface Tunnel {
  readonly backend: 'netlink' | 'iproute' | 'userspace';
  /** Script of sh(1) that makes the link named $1. */
  readonly create: string;
}

/** The kernel's WireGuard where there is one, else wireguard-go; WGDRIVER_TEST_BACKEND overrides. */
export async function findTunnel(): Promise<Tunnel> {
  const kernel = await attempt('unshare', ['--net', 'ip', 'link', 'add', 'wgprobe', 'type', 'wireguard']);
  const backend = process.env.WGDRIVER_TEST_BACKEND ?? (kernel.status === 0 ? 'iproute' : 'userspace');
  return backend === 'userspace'
    ? { backend, create: 'wireguard-go "$1" >/dev/null 2>&1' }
    : {
        backend: backend === 'netlink' ? 'netlink' : 'iproute',
        create: 'ip link add "$1" type wireguard',
      };
}
