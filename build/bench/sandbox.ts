/**
 * A container as the engine makes one, without an engine: a network namespace, into which a link is moved from this
 * one, renamed, addressed and set up, and from which it comes back.
 */
import { symlinkSync, unlinkSync } from 'node:fs';
import { encodeAttributes } from '../../src/netlink/attribute.ts';
import { concat, cString, u32 } from '../../src/netlink/bytes.ts';
import { openLibc } from '../../src/netlink/libc/open.ts';
import { inNamespace } from '../../src/netlink/namespace.ts';
import { execute } from '../../src/netlink/request.ts';
import { addAddress, changeRouting, getLink, setLinkUp } from '../../src/netlink/route/client.ts';
import { type Link, RTM_NEWLINK } from '../../src/netlink/route/link.ts';
import { RT_TABLE_MAIN } from '../../src/netlink/route/route.ts';
import {
  NETLINK_ROUTE,
  type NetlinkSocket,
  openNetlinkSocket,
  withNetlinkSocket,
} from '../../src/netlink/socket.ts';
import { type Address, type Prefix, prefixOf } from '../../src/wireguard/address.ts';

// linux/if_link.h
const IFLA_IFNAME = 3;
const IFLA_NET_NS_FD = 28;

const libc = openLibc();
const own = libc.open('/proc/self/ns/net');
/** Sockets of its own for each: an answer would be lost with the one who waits for another. */
const onHost = <Result>(use: (socket: NetlinkSocket) => Promise<Result>) =>
  withNetlinkSocket({ protocol: NETLINK_ROUTE }, use);

export interface Sandbox {
  /** What the engine calls SandboxKey. */
  readonly path: `/${string}`;
  /** The namespace arrives at the path. */
  arrive(): void;
  /** The link of a name comes in, is called wg0, has the address and the default route. */
  takeLink(name: string, address: Prefix, gateway: Address): Promise<void>;
  /** It goes back where it came from, with the name it had. */
  giveLinkBack(name: string): Promise<void>;
  /** The namespace ends. */
  end(): Promise<void>;
}

let count = 0;

export function makeSandbox(): Sandbox {
  const file = inNamespace(libc, 'new', () => libc.open('/proc/thread-self/ns/net'));
  const inside = `/proc/${process.pid}/fd/${file}` as const;
  const route = openNetlinkSocket({ protocol: NETLINK_ROUTE, netns: inside });
  count += 1;
  const path = `/run/bench-netns-${count}` as const;
  let hasArrived = false;
  return {
    path,
    arrive() {
      symlinkSync(inside, path);
      hasArrived = true;
    },
    async takeLink(name, address, gateway) {
      await onHost(async (socket) => moveLink(socket, await getLink(socket, name), file, name));
      await moveLink(route, await getLink(route, name), undefined, 'wg0');
      const link = await getLink(route, 'wg0');
      await addAddress(route, link, address);
      await setLinkUp(route, link);
      await changeRouting(route, {
        newRoutes: [
          {
            table: RT_TABLE_MAIN,
            destination: prefixOf('0.0.0.0/0'),
            oif: link.index,
            gateway,
            metric: 0,
          },
        ],
        oldRules: [],
        newRules: [],
        oldRoutes: [],
      });
    },
    async giveLinkBack(name) {
      const link = await getLink(route, 'wg0');
      await moveLink(route, link, undefined, name);
      await moveLink(route, link, own, name);
    },
    async end() {
      await route.close();
      if (hasArrived) {
        unlinkSync(path);
      }
      libc.close(file);
    },
  };
}

/** Down, to another namespace, under another name. */
async function moveLink(
  socket: NetlinkSocket,
  { index, name }: Link,
  namespace: number | undefined,
  newName: string,
): Promise<void> {
  const header = concat([u32(0), u32(index), u32(0), u32(1)]);
  const attributes = encodeAttributes([
    { type: IFLA_IFNAME, value: cString(newName) },
    ...(namespace === undefined ? [] : [{ type: IFLA_NET_NS_FD, value: u32(namespace) }]),
  ]);
  await execute(socket, {
    type: RTM_NEWLINK,
    payload: concat([header, attributes]),
    operation: 'move',
    subject: `link ${name}`,
  });
}
