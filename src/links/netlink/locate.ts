import { NetlinkError } from '../../netlink/error.ts';
import type { NetworkNamespace } from '../../netlink/namespace.ts';
import { getLink, listLinks } from '../../netlink/route/client.ts';
import type { Link } from '../../netlink/route/link.ts';
import { NETLINK_ROUTE, withNetlinkSocket } from '../../netlink/socket.ts';
import { readEndpointId } from '../../wireguard/link-alias.ts';
import { LinkError, type Place } from '../links.ts';

const route = { protocol: NETLINK_ROUTE } as const;

/** A link and the namespace it is in; without one, this process's. */
export interface LocatedLink {
  readonly link: Link;
  readonly netns?: NetworkNamespace;
}

/** Looks for an endpoint's link of a kind in its container, and then on the host. @throws NetlinkError */
export async function locate(
  { name, endpointId, sandbox }: Place,
  kind: string,
): Promise<LocatedLink | undefined> {
  const isWanted = (link: Link) =>
    link.kind === kind && (endpointId === undefined || readEndpointId(link.alias) === endpointId);
  const inContainer = async () => {
    if (endpointId === undefined || !sandbox?.startsWith('/')) {
      return undefined;
    }
    const netns = sandbox as NetworkNamespace;
    const links = await unlessNamespaceGone(withNetlinkSocket({ ...route, netns }, listLinks));
    const link = links?.find(isWanted);
    return link && { link, netns };
  };
  const onHost = async () => {
    const link = await unlessGone(withNetlinkSocket(route, (socket) => getLink(socket, name)));
    return link && isWanted(link) ? { link } : undefined;
  };
  // Once more, as it may have moved there in between.
  return (await inContainer()) ?? (await onHost()) ?? (await inContainer());
}

/** Gone before, or in between: with its namespace, or by another call. */
export function unlessGone<Result>(result: Promise<Result>): Promise<Result | undefined> {
  return unlessErrno(result, ['ENODEV']);
}

/** ENOENT without the file; EINVAL where the engine has unmounted the namespace and not yet removed the file. */
function unlessNamespaceGone<Result>(result: Promise<Result>): Promise<Result | undefined> {
  return unlessErrno(result, ['ENOENT', 'EINVAL']);
}

async function unlessErrno<Result>(
  result: Promise<Result>,
  expected: readonly string[],
): Promise<Result | undefined> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof NetlinkError && expected.includes(error.errno ?? '')) {
      return undefined;
    }
    throw error;
  }
}

export function asLinkError(operation: string, link: string) {
  return (error: unknown): never => {
    if (!(error instanceof NetlinkError)) {
      throw error;
    }
    const { reason, errno } = error.during(operation, `link ${link}`);
    throw new LinkError(operation, link, reason, errno);
  };
}
