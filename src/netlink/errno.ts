import { constants } from 'node:os';

/** One number has two names on Linux for these; errno(3) and the kernel's sources use the other one. */
const secondNames = ['ENOTSUP', 'EWOULDBLOCK'];

/** Which os.constants lacks, and the kernel's code for netlink gives; asm-generic/errno.h. */
const missing = {
  /** drivers/net/wireguard/netlink.c, lookup_interface: a device neither by index nor by name, or by both */
  EBADR: 53,
  /** drivers/net/wireguard/socket.c, wg_socket_init: the namespace that the link was made in is gone */
  ENONET: 64,
  /** net/netfilter/nfnetlink.c, nfnetlink_rcv_batch: the rules are not of the generation any more that was named */
  ERESTART: 85,
  /** net/netlink/af_netlink.c, netlink_create */
  ESOCKTNOSUPPORT: 94,
  /** drivers/net/wireguard/netlink.c, set_peer: another WGPEER_A_PROTOCOL_VERSION; net/core/rtnetlink.c */
  EPFNOSUPPORT: 96,
};

const names = new Map(
  Object.entries({ ...constants.errno, ...missing })
    .filter(([name]) => !secondNames.includes(name))
    .map(([name, number]) => [number, name]),
);

/** `EEXIST` for 17; `errno 999` for one without a name. The sign does not matter: the kernel's are negative. */
export function errnoName(errno: number): string {
  return names.get(Math.abs(errno)) ?? `errno ${Math.abs(errno)}`;
}
