import { NetlinkError } from './error.ts';
import { decodeFamilyId, encodeGetFamily } from './generic.ts';
import { execute } from './request.ts';
import type { NetlinkSocket } from './socket.ts';

// linux/genetlink.h
const GENL_ID_CTRL = 0x10;

/**
 * The message type that a family of generic netlink has on this kernel at the moment; loads its module.
 * @throws NetlinkError, with errno ENOENT if there is no such family
 */
export async function resolveFamily(socket: NetlinkSocket, name: string): Promise<number> {
  const operation = 'resolve';
  const subject = `netlink family ${name}`;
  const [answer] = await execute(socket, {
    type: GENL_ID_CTRL,
    payload: encodeGetFamily(name),
    operation,
    subject,
  });
  const id = answer && decodeFamilyId(answer.payload);
  if (id === undefined) {
    throw new NetlinkError(operation, subject, { text: 'the kernel’s answer has no CTRL_ATTR_FAMILY_ID' });
  }
  return id;
}

/**
 * Calls `use` with a family's message type, which is asked for the first time alone.
 * @throws what resolveFamily and `use` do
 */
export type GenericFamily = <Result>(
  socket: NetlinkSocket,
  use: (type: number) => Promise<Result>,
) => Promise<Result>;

export function genericFamily(name: string): GenericFamily {
  let known: number | undefined;
  return async (socket, use) => {
    if (known !== undefined) {
      try {
        return await use(known);
      } catch (error) {
        // Its module was loaded anew. The kernel gives types in a circle (idr_alloc_cyclic), so the old one is nobody's.
        if (!(error instanceof NetlinkError && error.errno === 'ENOENT')) {
          throw error;
        }
      }
    }
    known = await resolveFamily(socket, name);
    return use(known);
  };
}
