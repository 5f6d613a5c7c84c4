import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import type { Address, Prefix } from '../../src/wireguard/address.ts';

export const anyIpv4: fc.Arbitrary<ipaddr.IPv4> = fc
  .uint8Array({ minLength: 4, maxLength: 4 })
  .map((bytes) => new ipaddr.IPv4([...bytes]));

export const anyIpv6: fc.Arbitrary<ipaddr.IPv6> = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => new ipaddr.IPv6([...bytes]));

export const anyAddress: fc.Arbitrary<Address> = fc.oneof(anyIpv4, anyIpv6);

export const anyPrefix: fc.Arbitrary<Prefix> = fc.oneof(
  fc.record({ address: anyIpv4, length: fc.integer({ min: 0, max: 32 }) }),
  fc.record({ address: anyIpv6, length: fc.integer({ min: 0, max: 128 }) }),
);
