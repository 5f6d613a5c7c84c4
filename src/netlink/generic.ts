import { type Attribute, AttributeTable, encodeAttributes } from './attribute.ts';
import { concat, cString, readU16, u8, u16 } from './bytes.ts';
import { malformed } from './error.ts';

// linux/genetlink.h
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
