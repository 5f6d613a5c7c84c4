import { createLimit } from '../concurrency.ts';
import type { Links } from '../links/links.ts';
import type { Log } from '../log.ts';
import type { Store } from '../state/store.ts';
import { linkName } from '../wireguard/link-name.ts';
import type { Configurations } from './configurations.ts';
import type { EndpointStates } from './endpoint-states.ts';
import type { HubLinks } from './hub-links.ts';
import type { OwnKeys } from './own-keys.ts';
import type { Protections } from './protected-endpoints.ts';
import type { Queue } from './queue.ts';
import type { SharedContainers } from './shared-containers.ts';
import type { SharedTunnels } from './shared-tunnels.ts';

export interface RemovalDependencies {
  readonly store: Store;
  readonly links: Links;
  readonly hubLinks: HubLinks;
  readonly shared: SharedTunnels;
  readonly sharedContainers: Pick<SharedContainers, 'close'>;
  readonly states: EndpointStates;
  readonly configurations: Pick<Configurations, 'forget'>;
  readonly ownKeys: Pick<OwnKeys, 'forget'>;
  readonly protections: Protections;
  readonly inEndpoint: Queue;
  readonly log: Log;
}

/**
 * Takes links, endpoints and networks away. Whoever calls sees to it that nothing else is done with the same endpoint or
 * network meanwhile. What fails is remembered, and done by the next removal of it.
 */
export interface Removal {
  /** Deletes the link of an endpoint, and no one else’s of that name. */
  removeLink(endpointId: string): Promise<void>;
  /** Takes away what a Join has made that failed. Does not reject. */
  undoJoin(endpointId: string): Promise<void>;
  /** With its link. */
  removeEndpoint(endpointId: string): Promise<void>;
  /** With its endpoints, each in its turn. */
  removeNetwork(networkId: string): Promise<void>;
  /** Networks whose removal was begun, and failed. */
  undeletedNetworks(): readonly string[];
  /** The engine has created a network anew whose removal may have failed. */
  noteNetworkCreated(networkId: string): void;
}

/**
 * Each keeps the kernel, and a thread or a program that waits for it, busy for tens of milliseconds. Containers that
 * start meanwhile come between them.
 */
export const removalsAtOnce = 3;

export function createRemoval({
  store,
  links,
  hubLinks,
  shared,
  sharedContainers,
  states,
  configurations,
  ownKeys,
  protections,
  inEndpoint,
  log,
}: RemovalDependencies): Removal {
  const limited = createLimit(removalsAtOnce);
  const undeletedNetworks = new Set<string>();

  return {
    removeLink,

    async undoJoin(endpointId) {
      try {
        await store.beginRemoval(endpointId);
        await hubLinks.remove(endpointId);
        await removeLink(endpointId);
        await forgetJoin(endpointId, protections.isGuarded(endpointId));
      } catch (cause) {
        log.warn('a half-made link could not be deleted', {
          cause: String(cause),
          link: linkName(endpointId),
        });
      }
    },

    removeEndpoint,

    async removeNetwork(networkId) {
      // The engine has forgotten it, whatever this answers.
      undeletedNetworks.add(networkId);
      // It deletes no network in use: an endpoint that is left is one it has forgotten.
      for (const { endpointId } of store.endpointsOf(networkId)) {
        await inEndpoint(endpointId, () => removeEndpoint(endpointId));
      }
      await sharedContainers.close(networkId);
      await store.removeNetwork(networkId);
      configurations.forget(networkId);
      ownKeys.forget(networkId);
      undeletedNetworks.delete(networkId);
    },

    undeletedNetworks: () => [...undeletedNetworks],

    noteNetworkCreated(networkId) {
      undeletedNetworks.delete(networkId);
    },
  };

  async function removeEndpoint(endpointId: string): Promise<void> {
    states.touch(endpointId);
    if (store.endpoint(endpointId) !== undefined) {
      states.noteDeletionBegun(endpointId);
    }
    await limited(() => removeNow(endpointId));
    states.forget(endpointId);
    protections.forget(endpointId);
  }

  async function removeNow(endpointId: string): Promise<void> {
    try {
      await store.beginRemoval(endpointId);
    } catch (cause) {
      // It only matters if this process dies before the end.
      log.warn('a removal could not be recorded', { endpoint: endpointId, cause: String(cause) });
    }
    await hubLinks.remove(endpointId);
    await removeLink(endpointId);
    const isGuarded = protections.isGuarded(endpointId);
    await store.removeEndpoint(endpointId);
    states.noteNotDeleted(endpointId);
    // An unfinished one is looked after until nobody can be making it any more.
    if (store.joined(endpointId)?.stage !== 'begun') {
      await forgetJoin(endpointId, isGuarded);
    }
  }

  async function removeLink(endpointId: string): Promise<void> {
    const link = linkName(endpointId);
    const networkId = store.endpoint(endpointId)?.networkId;
    if (networkId !== undefined && store.network(networkId)?.isShared) {
      return shared.detach(networkId, link);
    }
    switch (store.joined(endpointId)?.stage) {
      case undefined:
        return links.delete(link);
      case 'begun':
        return links.deleteUnfinished(link);
      default:
        return links.deleteRecorded(link);
    }
  }

  /** The record of a protected container stays as long as its protection: who starts meanwhile goes on with it. */
  async function forgetJoin(endpointId: string, isGuarded: boolean): Promise<void> {
    const stage = store.joined(endpointId)?.stage;
    // One that was begun has no protection yet. One that could not be recorded as leaving has.
    if (isGuarded && stage !== undefined && stage !== 'begun') {
      protections.release(endpointId);
    } else {
      await store.removeJoined(endpointId);
    }
  }
}
