import { setLinkMtu } from '../../netlink/route/client.ts';
import { NETLINK_ROUTE, withNetlinkSocket } from '../../netlink/socket.ts';
import { locate as locateByProgram, setMtu } from '../iproute/ip.ts';
import type { Place } from '../links.ts';
import { asLinkError, locate as locateByNetlink } from '../netlink/locate.ts';
import { netlinkObstacle } from '../netlink/probe.ts';

/** What is not told by the program of a link. */
export interface FoundLink {
  readonly name: string;
  readonly mtu: number | undefined;
  setMtu(mtu: number): Promise<void>;
}

/** Looks for an endpoint's link in its container, and then on the host. @throws LinkError */
export type FindLink = (place: Place) => Promise<FoundLink | undefined>;

/** By netlink where this runtime can call libc, which takes no program; else by `ip`. */
export function selectFindLink(): FindLink {
  return netlinkObstacle() === undefined ? findByNetlink : findByProgram;
}

export const findByNetlink: FindLink = async (place) => {
  const found = await locateByNetlink(place, 'tun').catch(asLinkError('read', place.name));
  if (found === undefined) {
    return undefined;
  }
  const { link, netns } = found;
  return {
    name: link.name,
    mtu: link.mtu,
    setMtu: (mtu) =>
      withNetlinkSocket({ protocol: NETLINK_ROUTE, netns }, (socket) => setLinkMtu(socket, link, mtu)).catch(
        asLinkError('change', place.name),
      ),
  };
};

export const findByProgram: FindLink = async (place) => {
  const link = await locateByProgram(place, 'tun');
  return link && { name: link.name, mtu: link.mtu, setMtu: (mtu) => setMtu(link, mtu) };
};
