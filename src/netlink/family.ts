// bits/socket.h
export const AF_INET = 2;
export const AF_INET6 = 10;

/** As an address's `kind()` says it. */
export type Family = 'ipv4' | 'ipv6';

export function familyNumber(family: Family): typeof AF_INET | typeof AF_INET6 {
  return family === 'ipv4' ? AF_INET : AF_INET6;
}
