import ipaddr from 'ipaddr.js';
import { addressBytes, masked, type Prefix } from '../../wireguard/address.ts';
import { AttributeTable, encodeAttributes } from '../attribute.ts';
import { concat, readU32, u8, u32 } from '../bytes.ts';
import { malformed } from '../error.ts';
import { AF_INET, AF_INET6, familyNumber } from '../family.ts';

// linux/rtnetlink.h
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
// linux/if_addr.h
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFA_PROTO = 11;
/** Of IPv6; IPv4 has IFA_F_SECONDARY in the same place, of an address in a network that the link has already. */
const IFA_F_TEMPORARY = 0x01;
const IFA_F_PERMANENT = 0x80;
const IFA_F_MANAGETEMPADDR = 0x100;
const IFA_F_MCAUTOJOIN = 0x400;
const IFA_F_STABLE_PRIVACY = 0x800;
/** Of the loopback, from a router advertisement, link-local: from Linux 5.18 on the kernel says what it made itself. */
const madeByKernel: readonly number[] = [1, 2, 3];

// linux/rtnetlink.h
const RT_SCOPE_UNIVERSE = 0;

/** sizeof(struct ifaddrmsg) */
const headerLength = 8;

/** An address that a link has. */
export interface LinkAddress {
  /** Of the link: ifa_index. */
  readonly index: number;
  /** The network that is connected by it, or the other end of a point-to-point link. */
  readonly network: Prefix;
  /** Somebody gave it to stay: no lifetime, and not made by the kernel itself, as SLAAC and temporary ones are. */
  readonly isPermanent: boolean;
  /** Of scope global, as the engine gives them: neither of the link alone nor of a site. */
  readonly isGlobal: boolean;
}

/** The same, with what it is on the link itself. */
export interface OwnAddress extends LinkAddress {
  readonly address: Prefix;
  /** RT_SCOPE_… */
  readonly scope: number;
}

/** Of an RTM_NEWADDR that gives a link an address, and of an RTM_DELADDR. */
export function encodeAddress(index: number, { address, length }: Prefix): Uint8Array {
  const value = addressBytes(address);
  return concat([
    ...[familyNumber(address.kind()), length, 0, 0].map(u8),
    u32(index),
    encodeAttributes([
      { type: IFA_LOCAL, value },
      { type: IFA_ADDRESS, value },
    ]),
  ]);
}

/** Of an RTM_GETADDR for a dump of all addresses, of every family (AF_UNSPEC). */
export function encodeGetAddresses(): Uint8Array {
  return new Uint8Array(headerLength);
}

/** The payload of an RTM_NEWADDR that the kernel sent. @throws NetlinkError if it is malformed */
export function decodeAddress(payload: Uint8Array): OwnAddress {
  const [family = 0, length = 0, headerFlags = 0, scope = 0] = payload;
  if (payload.length < headerLength) {
    throw malformed('ifaddrmsg', `expected ${headerLength} bytes, got ${payload.length}`);
  }
  if (family !== AF_INET && family !== AF_INET6) {
    throw malformed('ifaddrmsg', `expected an address of IPv4 or IPv6, got one of family ${family}`);
  }
  const bytes = family === AF_INET ? 4 : 16;
  if (length > 8 * bytes) {
    throw malformed('ifaddrmsg', `expected a prefix of at most ${8 * bytes} bits, got ${length}`);
  }
  const attributes = new AttributeTable(payload.subarray(headerLength));
  const read = (value: Uint8Array) => ipaddr.fromByteArray([...value]);
  const address = attributes.get({ IFA_ADDRESS }, read, bytes);
  if (address === undefined) {
    throw malformed('ifaddrmsg', 'expected an IFA_ADDRESS, got none');
  }
  const flags = attributes.get({ IFA_FLAGS }, readU32, 4) ?? headerFlags;
  const unwanted = IFA_F_TEMPORARY | IFA_F_MANAGETEMPADDR | IFA_F_MCAUTOJOIN | IFA_F_STABLE_PRIVACY;
  return {
    index: readU32(payload, 4),
    address: { address: attributes.get({ IFA_LOCAL }, read, bytes) ?? address, length },
    scope,
    isGlobal: scope === RT_SCOPE_UNIVERSE,
    network: masked({ address, length }),
    isPermanent:
      (flags & IFA_F_PERMANENT) !== 0 &&
      (flags & unwanted) === 0 &&
      !madeByKernel.includes(attributes.get({ IFA_PROTO }, ([protocol = 0]) => protocol, 1) ?? 0),
  };
}
