import ipaddr from 'ipaddr.js';
import { addressBytes, bits, type Prefix } from '../../wireguard/address.ts';
import { type Attribute, AttributeTable, nested } from '../attribute.ts';
import { readU16, u8, u16 } from '../bytes.ts';
import { malformed } from '../error.ts';
import { AF_INET, AF_INET6, familyNumber } from '../family.ts';
import { WGALLOWEDIP_A_CIDR_MASK, WGALLOWEDIP_A_FAMILY, WGALLOWEDIP_A_IPADDR } from './constants.ts';

/** One of the list of a WGPEER_A_ALLOWEDIPS, whose types mean nothing. */
export function encodeAllowedIp({ address, length }: Prefix): Attribute {
  return nested(0, [
    { type: WGALLOWEDIP_A_FAMILY, value: u16(familyNumber(address.kind())) },
    { type: WGALLOWEDIP_A_IPADDR, value: addressBytes(address) },
    { type: WGALLOWEDIP_A_CIDR_MASK, value: u8(length) },
  ]);
}

/** @throws NetlinkError if it is none */
export function decodeAllowedIp(value: Uint8Array): Prefix {
  const table = new AttributeTable(value);
  const family = table.get({ WGALLOWEDIP_A_FAMILY }, readU16, 2);
  const size = family === AF_INET ? 4 : family === AF_INET6 ? 16 : undefined;
  if (size === undefined) {
    throw malformed('WGALLOWEDIP_A_FAMILY', `expected AF_INET or AF_INET6, got ${family}`);
  }
  const address = table.get({ WGALLOWEDIP_A_IPADDR }, (bytes) => ipaddr.fromByteArray([...bytes]), size);
  const length = table.get({ WGALLOWEDIP_A_CIDR_MASK }, ([mask]) => mask, 1);
  if (address === undefined || length === undefined || length > bits(address)) {
    throw malformed('WGPEER_A_ALLOWEDIPS', `expected an address and its prefix length, got length ${length}`);
  }
  return { address, length };
}
