import { openLibc } from '../../netlink/libc/open.ts';
import { createLink } from '../../netlink/route/client.ts';
import { NETLINK_ROUTE, withNetlinkSocket } from '../../netlink/socket.ts';

/** Why this runtime cannot do it, or undefined. */
export function netlinkObstacle(): string | undefined {
  try {
    openLibc();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * Why this kernel makes no WireGuard links for this process, or undefined. Really makes one, in a namespace
 * that ends with the probe.
 */
export async function probeWireGuardByNetlink(): Promise<string | undefined> {
  try {
    await withNetlinkSocket({ protocol: NETLINK_ROUTE, netns: 'new' }, (socket) =>
      createLink(socket, { name: 'wgprobe', kind: 'wireguard' }),
    );
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
