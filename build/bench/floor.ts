/**
 * What Join and DeleteEndpoint ask of the kernel and no more: the same netlink messages, prebuilt and sent one after another.
 */
import { writeSync } from 'node:fs';
import { decodeAcknowledgement } from '../../src/netlink/acknowledgement.ts';
import { resolveFamily } from '../../src/netlink/generic-family.ts';
import { openLibc } from '../../src/netlink/libc/open.ts';
import {
  decodeMessages,
  encodeMessage,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  NLMSG_ERROR,
} from '../../src/netlink/message.ts';
import {
  decodeLink,
  encodeDeleteLink,
  encodeGetLink,
  encodeNewLink,
  encodeSetAlias,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
} from '../../src/netlink/route/link.ts';
import { NETLINK_GENERIC, NETLINK_ROUTE, withNetlinkSocket } from '../../src/netlink/socket.ts';
import { encodeSetDevice } from '../../src/netlink/wireguard/configure.ts';
import { WG_GENL_NAME } from '../../src/netlink/wireguard/constants.ts';
import { parseAddress, parsePrefix } from '../../src/wireguard/address.ts';
import { PrivateKey } from '../../src/wireguard/key.ts';
import { markOf } from '../../src/wireguard/link-alias.ts';
import { peer } from './served.ts';

export interface Floor {
  readonly route: number;
  readonly generic: number;
  readonly join: readonly (readonly [socket: number, bytes: Uint8Array])[];
}

/** The messages of a Join, and sockets for them. */
export async function openFloor(): Promise<Floor> {
  const libc = openLibc();
  // bits/socket.h: AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC
  const open = (protocol: number) => libc.socket(16, 3 | 0o2000000, protocol);
  const [route, generic] = [open(NETLINK_ROUTE), open(NETLINK_GENERIC)];
  const family = await withNetlinkSocket({ protocol: NETLINK_GENERIC }, (socket) =>
    resolveFamily(socket, WG_GENL_NAME),
  );
  const name = 'wgfloor';
  const device = {
    privateKey: new PrivateKey(new Uint8Array(32).fill(64)),
    replacePeers: true,
    peers: [
      {
        publicKey: peer,
        endpoint: { address: parseAddress('127.0.0.1') ?? fail(), port: 51820 },
        persistentKeepaliveInterval: 25,
        allowedIps: [parsePrefix('0.0.0.0/0') ?? fail(), parsePrefix('::/0') ?? fail()],
      },
    ],
  };
  const alias = markOf('floor').write('f'.repeat(64));
  const create = NLM_F_CREATE | NLM_F_EXCL;
  return {
    route,
    generic,
    join: [
      [route, message(RTM_NEWLINK, encodeNewLink({ name, kind: 'wireguard', mtu: 1420 }), create)],
      [route, message(RTM_NEWLINK, encodeSetAlias(name, alias))],
      ...encodeSetDevice(name, device).map((payload) => [generic, message(family, payload)] as const),
    ],
  };
}

function message(type: number, payload: Uint8Array, flags = 0): Uint8Array {
  return encodeMessage({
    type,
    flags: NLM_F_REQUEST | NLM_F_ACK | flags,
    sequence: 1,
    portId: 0,
    payload,
  });
}

/** Makes the link and deletes it. @returns how many milliseconds each took */
export function floorCycle(floor: Floor): { readonly join: number; readonly deletion: number } {
  const started = performance.now();
  const answers = floor.join.map(([socket, bytes]) => exchange(socket, bytes));
  const join = performance.now() - started;
  answers.forEach(refuseErrors);

  const begun = performance.now();
  const answer = exchange(floor.route, message(RTM_GETLINK, encodeGetLink('wgfloor')));
  const link = decodeLink(answer.find(({ type }) => type === RTM_NEWLINK)?.payload ?? fail());
  const deleted = exchange(floor.route, message(RTM_DELLINK, encodeDeleteLink(link.index)));
  const deletion = performance.now() - begun;
  refuseErrors(deleted);
  return { join, deletion };
}

/** Sends, which is when the kernel acts, and reads up to the acknowledgement. */
function exchange(socket: number, bytes: Uint8Array): NetlinkMessage[] {
  writeSync(socket, bytes);
  const answer: NetlinkMessage[] = [];
  const buffer = new Uint8Array(0x1_0000);
  while (answer.at(-1)?.type !== NLMSG_ERROR) {
    answer.push(...decodeMessages(buffer.slice(0, openLibc().recv(socket, buffer) ?? 0)));
  }
  return answer;
}

function refuseErrors(answer: readonly NetlinkMessage[]): void {
  const last = answer.at(-1) ?? fail();
  const cause = decodeAcknowledgement(last);
  if (cause !== undefined) {
    throw new Error(`floor: ${cause.errno} ${cause.text ?? ''}`);
  }
}

function fail(): never {
  throw new Error('not so');
}
