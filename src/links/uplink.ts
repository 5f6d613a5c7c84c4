import * as v from 'valibot';
import { NetlinkError } from '../netlink/error.ts';
import { openLibc } from '../netlink/libc/open.ts';
import { getLink, getRouteTo } from '../netlink/route/client.ts';
import { RTN_LOCAL } from '../netlink/route/route.ts';
import { NETLINK_ROUTE, withNetlinkSocket } from '../netlink/socket.ts';
import { askIp } from '../programs/ip.ts';
import type { Address } from '../wireguard/address.ts';
import type { Uplink } from '../wireguard/mtu.ts';

/**
 * Finds the way of this host's packets to an address.
 * @param mark of the packets; 0 is none
 * @returns undefined if there is no route
 * @throws Error if the kernel could not be asked
 */
export type UplinkTo = (address: Address, mark: number) => Promise<Uplink | undefined>;

/** By netlink where this runtime can call libc, else by the program `ip`. */
export function selectUplinkTo(): UplinkTo {
  try {
    openLibc();
  } catch {
    return uplinkByProgram;
  }
  return uplinkByNetlink;
}

export const uplinkByNetlink: UplinkTo = (address, mark) =>
  withNetlinkSocket({ protocol: NETLINK_ROUTE }, async (socket) => {
    const { type, oif, gateway, destination, mtu } = await getRouteTo(socket, address, mark);
    const ofLink = oif === undefined ? undefined : (await getLink(socket, oif)).mtu;
    const bytes = mtu ?? ofLink;
    return bytes === undefined
      ? undefined
      : {
          mtu: bytes,
          isLocal: type === RTN_LOCAL,
          isOnLink: isOnLink(gateway !== undefined, destination.length),
        };
  }).catch((error: unknown) => {
    if (error instanceof NetlinkError) {
      return undefined;
    }
    throw error;
  });

const routesShown = v.array(
  v.object({
    type: v.optional(v.string()),
    dst: v.optional(v.string(), 'default'),
    gateway: v.optional(v.string()),
    dev: v.optional(v.string()),
    metrics: v.optional(v.array(v.object({ mtu: v.optional(v.number()) }))),
  }),
);
const purpose = 'look up the way to a hub';
const linksShown = v.array(v.object({ mtu: v.optional(v.number()) }));

export const uplinkByProgram: UplinkTo = async (address, mark) => {
  const ask = async (...match: readonly string[]) => {
    const marked = mark === 0 ? [] : ['mark', String(mark)];
    const [route] = await askIp(
      routesShown,
      ['route', 'get', ...match, address.toString(), ...marked],
      purpose,
    );
    return route;
  };
  const matched = await ask('fibmatch');
  // A route that has several links shows none.
  const route = matched?.dev === undefined ? await ask() : matched;
  if (route?.dev === undefined) {
    return undefined;
  }
  const ofRoute = route.metrics?.find(({ mtu }) => mtu !== undefined)?.mtu;
  const mtu = ofRoute ?? (await askIp(linksShown, ['link', 'show', 'dev', route.dev], purpose))[0]?.mtu;
  const length = route.dst === 'default' ? 0 : Number(route.dst.split('/')[1] ?? Number.POSITIVE_INFINITY);
  return mtu === undefined
    ? undefined
    : { mtu, isLocal: route.type === 'local', isOnLink: isOnLink(route.gateway !== undefined, length) };
};

/** A default route without a gateway, as into somebody's VPN, has all the world behind it. */
function isOnLink(hasGateway: boolean, prefixLength: number): boolean {
  return !hasGateway && prefixLength > 0;
}
