import { execFileSync } from 'node:child_process';

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
    execFileSync('ip', ['link', 'delete', 'dev', ifname]);
  }
}
