import { findTunnel } from '../../build/host/tunnel.ts';
import { iprouteLinks } from '../../src/links/iproute/links.ts';
import type { Links } from '../../src/links/links.ts';
import { netlinkLinks } from '../../src/links/netlink/links.ts';
import { userspaceLinks } from '../../src/links/userspace/links.ts';
import { markOf } from '../../src/wireguard/link-alias.ts';

const { backend, create } = await findTunnel();

export const isKernels = backend !== 'userspace';

/** The programs that links need: the kernel's WireGuard where there is one, as in a guest, else wireguard-go. */
export const wireguardPrograms = backend === 'userspace' ? ['wireguard-go', 'wg'] : ['wg'];

/** Shell commands that make the link of a name, where whatever stands before `sh` runs them. */
export function createLink(name: string, where = ''): string {
  return `${where} sh -c '${create}' sh ${name}`;
}

/** The driver's own way to make its links. */
export function driverLinks(): Links {
  const mark = markOf('wireguard-plugin');
  switch (backend) {
    case 'netlink':
      return netlinkLinks(mark);
    case 'iproute':
      return iprouteLinks(mark);
    case 'userspace':
      return userspaceLinks(mark, 'wireguard-go');
  }
}
