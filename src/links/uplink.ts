import * as v from 'valibot';
import { NetlinkError } from '../netlink/error.ts';
import { openLibc } from '../netlink/libc/open.ts';
import { getLink, getRouteTo } from '../netlink/route/client.ts';
import { RTN_LOCAL } from '../netlink/route/route.ts';
import { NETLINK_ROUTE, withNetlinkSocket } from '../netlink/socket.ts';
import { askIp, askIpBatch } from '../programs/ip.ts';
import type { Address } from '../wireguard/address.ts';
import type { Uplink } from '../wireguard/mtu.ts';

/**
 * Finds the ways of this host's packets to addresses, of which a configuration file may name thousands.
 * @param mark of the packets; 0 is none
 * @returns one for each address, in their order; undefined if there is no route
 * @throws Error if the kernel could not be asked
 */
export type UplinksTo = (
  addresses: readonly Address[],
  mark: number,
) => Promise<readonly (Uplink | undefined)[]>;

/** By netlink where this runtime can call libc, else by the program `ip`. */
export function selectUplinksTo(): UplinksTo {
  try {
    openLibc();
  } catch {
    return uplinksByProgram;
  }
  return uplinksByNetlink;
}

export const uplinksByNetlink: UplinksTo = (addresses, mark) =>
  withNetlinkSocket({ protocol: NETLINK_ROUTE }, async (socket) => {
    const mtus = new Map<number, number | undefined>();
    const mtuOfLink = async (index: number) => {
      if (!mtus.has(index)) {
        mtus.set(index, (await getLink(socket, index)).mtu);
      }
      return mtus.get(index);
    };
    const uplinks: (Uplink | undefined)[] = [];
    for (const address of addresses) {
      try {
        const { type, oif, gateway, destination, mtu } = await getRouteTo(socket, address, mark);
        const bytes = mtu ?? (oif === undefined ? undefined : await mtuOfLink(oif));
        uplinks.push(
          bytes === undefined
            ? undefined
            : {
                mtu: bytes,
                isLocal: type === RTN_LOCAL,
                isOnLink: isOnLink(gateway !== undefined, destination.length),
              },
        );
      } catch (error) {
        uplinks.push(unlessRefused(error));
      }
    }
    return uplinks;
  }).catch((error: unknown) => addresses.map(() => unlessRefused(error)));

/** The kernel has no such route, or no socket to spare. */
function unlessRefused(error: unknown): undefined {
  if (!(error instanceof NetlinkError)) {
    throw error;
  }
}

const routesShown = v.array(
  v.object({
    type: v.optional(v.string()),
    dst: v.optional(v.string(), 'default'),
    gateway: v.optional(v.string()),
    dev: v.optional(v.string()),
    metrics: v.optional(v.array(v.object({ mtu: v.optional(v.number()) }))),
  }),
);
type ShownRoute = v.InferOutput<typeof routesShown>[number];
const purpose = 'look up the way to a hub';
const linksShown = v.array(v.object({ mtu: v.optional(v.number()) }));

export const uplinksByProgram: UplinksTo = async (addresses, mark) => {
  const marked = mark === 0 ? '' : ` mark ${mark}`;
  const ask = async (match: string, wanted: readonly Address[]) => {
    const lines = wanted.map((address) => `route get ${match}${address.toString()}${marked}`);
    return (await askIpBatch(routesShown, lines, purpose)).map((routes) => routes?.[0]);
  };
  const matched = await ask('fibmatch ', addresses);
  // A route that has several links shows none.
  const others = addresses.filter((_, index) => matched[index]?.dev === undefined);
  const chosen = others.length === 0 ? [] : await ask('', others);
  const routes: (ShownRoute | undefined)[] = matched.map((route) =>
    route?.dev === undefined ? chosen.shift() : route,
  );
  const links = new Set(routes.flatMap((route) => (mtuOf(route) === undefined ? (route?.dev ?? []) : [])));
  const mtus = new Map(
    await Promise.all(
      [...links].map(async (name) => {
        const [link] = await askIp(linksShown, ['link', 'show', 'dev', name], purpose);
        return [name, link?.mtu] as const;
      }),
    ),
  );
  return routes.map((route) => {
    const mtu = mtuOf(route) ?? mtus.get(route?.dev ?? '');
    if (route === undefined || mtu === undefined) {
      return undefined;
    }
    const { type, dst, gateway } = route;
    const length = dst === 'default' ? 0 : Number(dst.split('/')[1] ?? Number.POSITIVE_INFINITY);
    return { mtu, isLocal: type === 'local', isOnLink: isOnLink(gateway !== undefined, length) };
  });
};

function mtuOf(route: ShownRoute | undefined): number | undefined {
  return route?.metrics?.find(({ mtu }) => mtu !== undefined)?.mtu;
}

/** A default route without a gateway, as into somebody's VPN, has all the world behind it. */
function isOnLink(hasGateway: boolean, prefixLength: number): boolean {
  return !hasGateway && prefixLength > 0;
}
