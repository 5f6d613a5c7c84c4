import { constants } from 'node:os';

/** One number has two names on Linux for these; errno(3) and the kernel's sources use the other one. */
const secondNames = ['ENOTSUP', 'EWOULDBLOCK'];

const names = new Map(
  Object.entries(constants.errno)
    .filter(([name]) => !secondNames.includes(name))
    .map(([name, number]) => [number, name]),
);

/** `EEXIST` for 17; `errno 999` for one without a name. The sign does not matter: the kernel's are negative. */
export function errnoName(errno: number): string {
  return names.get(Math.abs(errno)) ?? `errno ${Math.abs(errno)}`;
}
