import { genericFamily } from '../../netlink/generic-family.ts';
import { openLibc } from '../../netlink/libc/open.ts';
import {
  createLink,
  deleteLink,
  getLink,
  listLinks,
  setLinkAlias,
  setLinkMtu,
} from '../../netlink/route/client.ts';
import type { Link } from '../../netlink/route/link.ts';
import { NETLINK_GENERIC, NETLINK_ROUTE, withNetlinkSocket } from '../../netlink/socket.ts';
import { configureDevice, getDevice } from '../../netlink/wireguard/client.ts';
import { WG_GENL_NAME } from '../../netlink/wireguard/constants.ts';
import type { Mark } from '../../wireguard/link-alias.ts';
import type { LinkStatus } from '../../wireguard/status.ts';
import { LinkError, type Links, nowhere, type Place } from '../links.ts';
import { asLinkError, type LocatedLink, locate, unlessGone } from './locate.ts';

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

  const isMarked = ({ alias }: Link) => mark.read(alias) !== undefined;
  const isUnfinished = (link: Link) => isMarked(link) || (!link.alias && link.kind === kind);

  async function read(place: Place): Promise<LinkStatus | undefined> {
    const read = async ({ link, netns }: LocatedLink) => {
      const device = await unlessGone(
        withNetlinkSocket({ ...generic, netns }, (socket) => getDevice(socket, link.index, family)),
      );
      if (device === undefined) {
        return undefined;
      }
      const { publicKey, listenPort, fwmark, peers } = device;
      return { name: link.name, mtu: link.mtu, publicKey, listenPort, fwmark, peers };
    };
    const readLocated = async () => {
      const located = await locate(place, kind);
      return located && read(located);
    };
    return readLocated().catch(asLinkError('read', place.name));
  }

  return {
    backend: 'netlink',
    create: ({ name, mtu, endpointId }) =>
      withNetlinkSocket(route, async (socket) => {
        await createLink(socket, { name, kind, mtu });
        try {
          return await setLinkAlias(socket, name, mark.write(endpointId));
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

    read,
    readDevice: read,

    async change(place, { mtu, ...change }) {
      const changeLocated = async () => {
        const located = await locate(place, kind);
        if (located === undefined) {
          throw nowhere(place);
        }
        const { link, netns } = located;
        if (mtu !== undefined) {
          await withNetlinkSocket({ ...route, netns }, (socket) => setLinkMtu(socket, link, mtu));
        }
        if (Object.keys(change).length > 0) {
          await withNetlinkSocket({ ...generic, netns }, (socket) =>
            configureDevice(socket, link.index, change, family),
          );
        }
      };
      await changeLocated().catch(asLinkError('change', place.name));
    },

    delete: (name) =>
      deleteIf(name, (link) => {
        if (!isMarked(link)) {
          throw new LinkError('delete', name, 'it is not this driver’s: its alias says otherwise');
        }
        return true;
      }),

    deleteUnfinished: (name) => deleteIf(name, isUnfinished),

    deleteRecorded: (name) =>
      deleteIf(name, (link) => {
        if (link.kind !== kind && !isMarked(link)) {
          throw new LinkError('delete', name, `it is not this driver’s: its kind is ${link.kind ?? 'none'}`);
        }
        return true;
      }),

    list: () =>
      withNetlinkSocket(route, async (socket) =>
        (await listLinks(socket)).flatMap(({ name, alias }) => {
          const endpointId = mark.read(alias);
          return endpointId === undefined ? [] : [{ name, endpointId }];
        }),
      ).catch(asLinkError('list', 'all')),
  };
}
