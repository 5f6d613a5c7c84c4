import { existsSync } from 'node:fs';
import type { Family } from '../netlink/family.ts';

export const families: readonly Family[] = ['ipv4', 'ipv6'];

/** Those that this kernel has. With `ipv6.disable=1` nothing of IPv6 can leave, and calls that are for it fail. */
export function kernelFamilies(): readonly Family[] {
  return existsSync('/proc/self/net/if_inet6') ? families : ['ipv4'];
}
