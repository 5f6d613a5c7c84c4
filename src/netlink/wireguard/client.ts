import type { DeviceChange } from '../../wireguard/change.ts';
import { encodeAttributes } from '../attribute.ts';
import { cString } from '../bytes.ts';
import { encodeGeneric } from '../generic.ts';
import { genericFamily, resolveFamily } from '../generic-family.ts';
import { decodedFor, dump, execute } from '../request.ts';
import type { NetlinkSocket } from '../socket.ts';
import { encodeSetDevice } from './configure.ts';
import { WG_CMD_GET_DEVICE, WG_GENL_NAME, WG_GENL_VERSION, WGDEVICE_A_IFNAME } from './constants.ts';
import { type KernelDevice, parseDevice } from './parse.ts';

/**
 * Changes a device of the namespace that the socket, of NETLINK_GENERIC, is in. What does not fit into one
 * message is not changed in one step.
 * @param family of the name `wireguard`; whoever calls more than once keeps one
 * @throws NetlinkError: ENODEV (no such link), EOPNOTSUPP (not of kind wireguard), EPERM …
 */
export async function configureDevice(
  socket: NetlinkSocket,
  ifname: string,
  change: DeviceChange,
  family = genericFamily(WG_GENL_NAME),
): Promise<void> {
  const payloads = encodeSetDevice(ifname, change);
  await family(socket, async (type) => {
    for (const payload of payloads) {
      await execute(socket, { type, payload, operation: 'configure', subject: `link ${ifname}` });
    }
  });
}

/**
 * A device and its peers, of the namespace that the socket, of NETLINK_GENERIC, is in.
 * @throws NetlinkError: ENODEV (no such link), EOPNOTSUPP (not of kind wireguard), EPERM …
 */
export async function getDevice(socket: NetlinkSocket, ifname: string): Promise<KernelDevice> {
  const type = await resolveFamily(socket, WG_GENL_NAME);
  const request = { type, payload: encodeGetDevice(ifname), operation: 'get', subject: `link ${ifname}` };
  const answer = await dump(socket, request);
  return decodedFor(request, () => parseDevice(answer.map(({ payload }) => payload)));
}

export function encodeGetDevice(ifname: string): Uint8Array {
  return encodeGeneric({
    command: WG_CMD_GET_DEVICE,
    version: WG_GENL_VERSION,
    attributes: encodeAttributes([{ type: WGDEVICE_A_IFNAME, value: cString(ifname) }]),
  });
}
