import { existsSync } from 'node:fs';
import type { Family } from '../netlink/family.ts';

/** Those that this kernel has. With `ipv6.disable=1` nothing of IPv6 can leave, and calls that are for it fail. */
export const families: readonly Family[] = existsSync('/proc/self/net/if_inet6')
  ? ['ipv4', 'ipv6']
  : ['ipv4'];
