import { type Attribute, AttributeTable, encodeAttributes } from './attribute.ts';
import { concat, cString, readU16, u8, u16 } from './bytes.ts';
import { malformed, NetlinkError } from './error.ts';
import { execute } from './request.ts';
import type { NetlinkSocket } from './socket.ts';

// linux/genetlink.h
const GENL_ID_CTRL = 0x10;
const GENL_HDRLEN = 4;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;

/** `struct genlmsghdr` and what comes behind it. */
export interface GenericMessage {
  /** A WG_CMD_… or another family's. */
  readonly command: number;
  /** Of the family's interface. */
  readonly version: number;
  /** Attributes, encoded. */
  readonly attributes: Uint8Array;
}

export function encodeGeneric({ command, version, attributes }: GenericMessage): Uint8Array {
  return concat([u8(command), u8(version), u16(0), attributes]);
}

/** @throws NetlinkError if it is cut off */
export function decodeGeneric(payload: Uint8Array): GenericMessage {
  const [command, version] = payload;
  if (command === undefined || version === undefined || payload.length < GENL_HDRLEN) {
    throw malformed('genlmsghdr', `expected ${GENL_HDRLEN} bytes, got ${payload.length}`);
  }
  return { command, version, attributes: payload.subarray(GENL_HDRLEN) };
}

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
export type Family = <Result>(
  socket: NetlinkSocket,
  use: (type: number) => Promise<Result>,
) => Promise<Result>;

export function genericFamily(name: string): Family {
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

export function encodeGetFamily(name: string): Uint8Array {
  const attributes: Attribute[] = [{ type: CTRL_ATTR_FAMILY_NAME, value: cString(name) }];
  return encodeGeneric({
    command: CTRL_CMD_GETFAMILY,
    version: 1,
    attributes: encodeAttributes(attributes),
  });
}

/** The id in the answer to a CTRL_CMD_GETFAMILY, if it has one. @throws NetlinkError if it is malformed */
export function decodeFamilyId(payload: Uint8Array): number | undefined {
  const table = new AttributeTable(decodeGeneric(payload).attributes);
  return table.get({ CTRL_ATTR_FAMILY_ID }, readU16, 2);
}
