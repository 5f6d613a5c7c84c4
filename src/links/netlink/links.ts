import { NetlinkError } from '../../netlink/error.ts';
import { genericFamily } from '../../netlink/generic-family.ts';
import { openLibc } from '../../netlink/libc/open.ts';
import { createLink, deleteLink, getLink, listLinks, setLinkAlias } from '../../netlink/route/client.ts';
import type { Link } from '../../netlink/route/link.ts';
import { NETLINK_GENERIC, NETLINK_ROUTE, withNetlinkSocket } from '../../netlink/socket.ts';
import { configureDevice } from '../../netlink/wireguard/client.ts';
import { WG_GENL_NAME } from '../../netlink/wireguard/constants.ts';
import { LinkError, type Links } from '../links.ts';
import type { Mark } from '../mark.ts';

const route = { protocol: NETLINK_ROUTE } as const;
const generic = { protocol: NETLINK_GENERIC } as const;

/**
 * Links of the kernel's WireGuard, by messages to the kernel and without programs of the host. Of another
 * kind than `wireguard` for tests on kernels without it.
 * @throws Error if this runtime cannot (openLibc)
 */
export function netlinkLinks(mark: Mark, kind = 'wireguard'): Links {
  openLibc();
  const family = genericFamily(WG_GENL_NAME);

  /** Deletes a link that is there and that `isWanted` says yes to. */
  const deleteIf = (name: string, isWanted: (link: Link) => boolean) =>
    withNetlinkSocket(route, async (socket) => {
      const link = await unlessGone(getLink(socket, name));
      if (link !== undefined && isWanted(link)) {
        await unlessGone(deleteLink(socket, link));
      }
    }).catch(asLinkError('delete', name));

  const isUnfinished = (link: Link) =>
    mark.read(link.alias) !== undefined || (!link.alias && link.kind === kind);

  return {
    create: ({ name, mtu, endpointId }) =>
      withNetlinkSocket(route, async (socket) => {
        await createLink(socket, { name, kind, mtu });
        try {
          await setLinkAlias(socket, name, mark.write(endpointId));
        } catch (error) {
          // Without its mark nobody would ever delete it. If it is gone, the name may be somebody else's.
          await deleteIf(name, isUnfinished).catch(() => {});
          throw error;
        }
      }).catch(asLinkError('create', name)),

    configure: (name, device) =>
      withNetlinkSocket(generic, (socket) =>
        configureDevice(socket, name, { ...device, replacePeers: true }, family),
      ).catch(asLinkError('configure', name)),

    delete: (name) =>
      deleteIf(name, (link) => {
        refuseUnmarked(link, mark);
        return true;
      }),

    deleteUnfinished: (name) => deleteIf(name, isUnfinished),

    list: () =>
      withNetlinkSocket(route, async (socket) =>
        (await listLinks(socket)).flatMap(({ name, alias }) => {
          const endpointId = mark.read(alias);
          return endpointId === undefined ? [] : [{ name, endpointId }];
        }),
      ).catch(asLinkError('list', 'all')),
  };
}

function refuseUnmarked({ name, alias }: Link, mark: Mark): void {
  if (mark.read(alias) === undefined) {
    throw new LinkError('delete', name, 'it is not this driver’s: its alias says otherwise');
  }
}

/** Gone before, or in between: with its namespace, or by another call. */
async function unlessGone<Result>(result: Promise<Result>): Promise<Result | undefined> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === 'ENODEV') {
      return undefined;
    }
    throw error;
  }
}

function asLinkError(operation: string, link: string) {
  return (error: unknown): never => {
    if (!(error instanceof NetlinkError)) {
      throw error;
    }
    const { reason, errno } = error.during(operation, `link ${link}`);
    throw new LinkError(operation, link, reason, errno);
  };
}
