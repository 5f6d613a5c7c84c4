import type { Family } from '../wireguard/address.ts';

// bits/socket.h
export const AF_INET = 2;
export const AF_INET6 = 10;

export type { Family };

export function familyNumber(family: Family): typeof AF_INET | typeof AF_INET6 {
  return family === 'ipv4' ? AF_INET : AF_INET6;
}
