import type { NetworkNamespace } from '../netlink/namespace.ts';
import type { ContainerNetwork, Protection } from './protection.ts';

/** How containers' network namespaces are read and protected. */
export interface Namespaces {
  read(netns: NetworkNamespace): Promise<ContainerNetwork>;
  /**
   * Puts a protection in the place of the one before. The filter comes first and in one step, so that there
   * is no moment in between. @throws Error; what was done by then stays
   */
  apply(netns: NetworkNamespace, protection: Protection, present: Routing): Promise<Applied>;
  /** Takes the protection away. @throws Error */
  remove(netns: NetworkNamespace, present: Routing): Promise<void>;
  /** @throws Error if `watch` cannot work here */
  probeWatch(): Promise<void>;
  watch(watcher: Watcher): Watch;
  /** The number by which `watch` names a namespace; undefined as long as it has none. @throws Error */
  nsidOf(netns: NetworkNamespace): Promise<number | undefined>;
}

/** What `read` has found of a protection's routes and rules. */
export type Routing = Pick<ContainerNetwork, 'routes' | 'rules'>;

/** What this kernel does not have of a protection. */
export interface Applied {
  /** Why frames are not filtered: kernels before 5.16 have no egress hook. */
  readonly unfilteredFrames?: string;
}

/** The numbers of network namespaces (nsid); `anywhere` where it is not known which. */
export type Changed = ReadonlySet<number> | 'anywhere';

export interface Watcher {
  /** Links or routes of containers have changed, or that may have gone unnoticed. */
  onChange(where: Changed): void;
  /** Changes cannot be watched for now; it is tried again. Said once for each cause. */
  onFailure(cause: string): void;
  /** Does a container wait for its link? */
  isUrgent(): boolean;
}

export interface Watch {
  close(): void;
}

/** How long after its end a watch begins anew. */
export const watchPauseMs = 5000;
