import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { bits } from '../../../src/wireguard/address.ts';
import { PresharedKey, type PublicKey } from '../../../src/wireguard/key.ts';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const plain = { noNullPrototype: true };

export const anyAddress = fc.oneof(bytes(4), bytes(16)).map((value) => ipaddr.fromByteArray([...value]));

export const anyEndpoint = fc.record({ address: anyAddress, port: fc.nat(0xffff) }, plain);

export const anyPrefix = anyAddress.chain((address) =>
  fc.record({ address: fc.constant(address), length: fc.nat(bits(address)) }, plain),
);

/** But not all zero, which is none. */
export const anyPresharedKey = bytes(32).map((value) => new PresharedKey(Uint8Array.from(value).fill(1, 31)));

export const anyPublicKey = bytes(32).map((value) => Buffer.from(value).toString('base64') as PublicKey);
