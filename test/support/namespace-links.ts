import { Buffer } from 'node:buffer';
import { execFileSync, spawnSync } from 'node:child_process';

/** What `ip -json link show` says of a link. */
export interface ShownLink {
  readonly ifname: string;
  readonly ifalias?: string;
  readonly mtu: number;
  readonly flags: readonly string[];
}

/** The links of this namespace, but for the loopback. */
export function shownLinks(): ShownLink[] {
  const links: ShownLink[] = JSON.parse(execFileSync('ip', ['-json', 'link', 'show'], { encoding: 'utf8' }));
  return links.filter(({ ifname }) => ifname !== 'lo');
}

export function shownLink(name: string): ShownLink | undefined {
  return shownLinks().find(({ ifname }) => ifname === name);
}

/** A link without the mark, as somebody else would have made it. */
export function addForeignLink(name: string): void {
  execFileSync('ip', ['tuntap', 'add', 'dev', name, 'mode', 'tun']);
}

/** Leaves the namespace as it was at first. */
export function deleteAllLinks(): void {
  for (const { ifname } of shownLinks()) {
    const { status, stderr } = spawnSync('ip', ['link', 'delete', 'dev', ifname], { encoding: 'utf8' });
    // A link that goes with its namespace or its program goes when the kernel comes round to it.
    if (status !== 0 && shownLink(ifname) !== undefined) throw new Error(stderr);
  }
}

/** Gives a link an alias of any bytes but zeros. */
export function setAlias(name: string, alias: Buffer | string): void {
  const octal = [...Buffer.from(alias)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  execFileSync('sh', ['-c', 'ip link set dev "$1" alias "$(printf "$2")"', 'sh', name, octal]);
}

/** What the root of a container can make of its link's alias: each control character, quotes, and no UTF-8. */
export const anyAliases: readonly [Buffer, ...Buffer[]] = [
  Buffer.from(Array.from({ length: 31 }, (_, n) => n + 1)),
  Buffer.from('\\ " \' \\u0000 {"ifname":"x"}] \x7f\x9b \u2028'),
  Buffer.from([0xff, 0xc0, 0x80, 0xed, 0xa0, 0x80]),
];
