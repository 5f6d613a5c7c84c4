import { netlinkObstacle } from '../links/netlink/probe.ts';
import type { Log } from '../log.ts';
import type { NetworkNamespace } from '../netlink/namespace.ts';
import { netlinkNamespaces } from './by-netlink.ts';
import { programNamespaces } from './by-programs.ts';
import type { Protection, Seen } from './protection.ts';

/** How containers' network namespaces are looked into and protected. */
export interface Namespaces {
  look(netns: NetworkNamespace): Promise<Seen>;
  /**
   * Puts a protection in the place of the one before. The filter comes first and in one step, so that there
   * is no moment in between. @throws Error; what was done by then stays
   */
  enforce(netns: NetworkNamespace, protection: Protection): Promise<void>;
  /** Takes the protection away. @throws Error */
  lift(netns: NetworkNamespace): Promise<void>;
  /** @throws Error if `watch` cannot work here */
  expectWatch(): Promise<void>;
  /** Calls back when links or routes of containers have changed, and when that may have gone unnoticed. */
  watch(onChange: (where: Changed) => void, isUrgent: () => boolean): Watch;
  /** The number by which `watch` names a namespace; undefined as long as it has none. @throws Error */
  numberOf(netns: NetworkNamespace): Promise<number | undefined>;
}

/** The numbers of network namespaces (nsid); `anywhere` where it is not known which. */
export type Changed = ReadonlySet<number> | 'anywhere';

export interface Watch {
  close(): void;
}

/** By netlink where this runtime can, else by the programs `nsenter`, `ip` and `nft`. */
export function selectNamespaces(log: Log): Namespaces {
  return netlinkObstacle() === undefined ? netlinkNamespaces(log) : programNamespaces(log);
}

/** How long after its end a watch begins anew. */
export const watchPauseMs = 5000;

export function logWatchEnd(log: Log, cause: string): void {
  log.error('changes in containers’ networks cannot be watched; trying again', { cause });
}

let said = false;

/** Kernels before 5.16 have no such hook. Said once. */
export function warnOfFrames(log: Log, cause: string): void {
  if (!said) {
    said = true;
    log.warn('frames that a process with CAP_NET_RAW writes to another network’s link are not stopped', {
      cause,
    });
  }
}
