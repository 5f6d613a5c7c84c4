import type { Family } from '../netlink/family.ts';
import type { NetworkNamespace } from '../netlink/namespace.ts';
import type { RoutingDifference } from './difference.ts';
import type { ContainerNetwork, News, Protection } from './rules.ts';

/** How containers' network namespaces are read and protected. */
export interface Namespaces {
  /** @param isEnough of links and rules alone; then what it says of addresses and routes is nothing */
  read(
    netns: NetworkNamespace,
    isEnough?: (network: Pick<ContainerNetwork, 'links' | 'rules'>) => boolean,
  ): Promise<ContainerNetwork>;
  /** The families that the kernel has. */
  readonly families: readonly Family[];
  /**
   * Puts a protection's tables in the place of those before, unless there is nothing new in them, and changes routes and
   * rules. The filter comes first and in one step, so that there is no moment in between. @throws Error; what was
   * done by then stays
   */
  apply(
    netns: NetworkNamespace,
    tables: Pick<Protection, 'filter' | 'frameFilter'> | undefined,
    routing: RoutingDifference,
  ): Promise<Applied>;
  /** Takes the tables away, and what is said of routes and rules. @throws Error */
  remove(netns: NetworkNamespace, routing: RoutingDifference): Promise<void>;
  /**
   * Takes away the tables that this driver made when those of all drivers had one name. They may as well be another
   * driver's: not to be called where there is a link of one. @throws Error
   */
  removeOldTables(netns: NetworkNamespace): Promise<void>;
  /** @throws Error if `watch` cannot work here */
  probeWatch(): Promise<void>;
  watch(watcher: Watcher): Watch;
  /** The number by which `watch` names a namespace; undefined as long as it has none. @throws Error */
  nsidOf(netns: NetworkNamespace): Promise<number | undefined>;
}

/** What this kernel does not have of a protection. */
export interface Applied {
  /** Why frames are not filtered: kernels before 5.16 have no egress hook. */
  readonly unfilteredFrames?: string;
}

/** By the numbers of network namespaces (nsid), what is new there; `anywhere` where it is not known which. */
export type Changed = ReadonlyMap<number, readonly News[]> | 'anywhere';

export interface Watcher {
  /** Links or routes of containers have changed, or that may have gone unnoticed. */
  onChange(where: Changed): void;
  /** Changes cannot be watched for now; it is tried again. Said once for each cause. */
  onFailure(cause: string): void;
}

export interface Watch {
  close(): void;
}

/** How long after its end a watch begins anew. */
export const watchPauseMs = 5000;
