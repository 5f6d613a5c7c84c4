import { openLibc } from '../netlink/libc/open.ts';
import { usualOwner } from '../wireguard/link-alias.ts';
import { netlinkNamespaces } from './by-netlink.ts';
import { programNamespaces } from './by-programs.ts';
import type { Namespaces } from './namespaces.ts';
import { tableOf } from './rules.ts';

/** By netlink where this runtime can call libc, else by the programs `nsenter`, `ip` and `nft`. */
export function selectNamespaces(owner: string = usualOwner): Namespaces {
  try {
    openLibc();
  } catch {
    return programNamespaces(tableOf(owner));
  }
  return netlinkNamespaces(tableOf(owner));
}
