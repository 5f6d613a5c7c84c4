import type { DeviceConfiguration } from '../../wireguard/change.ts';
import { encodeAttributes } from '../attribute.ts';
import { encodeGeneric } from '../generic.ts';
import { genericFamily } from '../generic-family.ts';
import { decodedFor, dump, execute } from '../request.ts';
import type { NetlinkSocket } from '../socket.ts';
import { encodeDeviceId, encodeSetDevice } from './configure.ts';
import { WG_CMD_GET_DEVICE, WG_GENL_NAME, WG_GENL_VERSION } from './constants.ts';
import { type KernelDevice, parseDevice } from './parse.ts';

/**
 * Changes a device of the namespace that the socket, of NETLINK_GENERIC, is in. What does not fit into one
 * message is not changed in one step.
 * @param device by its name or its index
 * @param family of the name `wireguard`; whoever calls more than once keeps one
 * @throws NetlinkError: ENODEV (no such link), EOPNOTSUPP (not of kind wireguard), EPERM …
 */
export async function configureDevice(
  socket: NetlinkSocket,
  device: string | number,
  change: DeviceConfiguration,
  family = genericFamily(WG_GENL_NAME),
): Promise<void> {
  const payloads = encodeSetDevice(device, change);
  await family(socket, async (type) => {
    for (const payload of payloads) {
      await execute(socket, { type, payload, operation: 'configure', subject: `link ${device}` });
    }
  });
}

/**
 * A device and its peers, of the namespace that the socket, of NETLINK_GENERIC, is in.
 * @throws NetlinkError: ENODEV (no such link), EOPNOTSUPP (not of kind wireguard), EPERM …
 */
export async function getDevice(
  socket: NetlinkSocket,
  device: string | number,
  family = genericFamily(WG_GENL_NAME),
): Promise<KernelDevice> {
  return family(socket, async (type) => {
    const request = { type, payload: encodeGetDevice(device), operation: 'get', subject: `link ${device}` };
    const answer = await dump(socket, request);
    return decodedFor(request, () => parseDevice(answer.map(({ payload }) => payload)));
  });
}

export function encodeGetDevice(device: string | number): Uint8Array {
  return encodeGeneric({
    command: WG_CMD_GET_DEVICE,
    version: WG_GENL_VERSION,
    attributes: encodeAttributes([encodeDeviceId(device)]),
  });
}
