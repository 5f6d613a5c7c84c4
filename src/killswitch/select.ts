import { openLibc } from '../netlink/libc/open.ts';
import { netlinkNamespaces } from './by-netlink.ts';
import { programNamespaces } from './by-programs.ts';
import type { Namespaces } from './namespaces.ts';

/** By netlink where this runtime can call libc, else by the programs `nsenter`, `ip` and `nft`. */
export function selectNamespaces(): Namespaces {
  try {
    openLibc();
  } catch {
    return programNamespaces();
  }
  return netlinkNamespaces();
}
