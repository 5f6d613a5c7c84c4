import type { Links, OwnedLink } from '../links/links.ts';
import type { Network } from '../networks/network.ts';
import type { Store } from '../state/store.ts';
import { linkName } from '../wireguard/link-name.ts';
import type { EndpointState, EndpointStates } from './endpoint-states.ts';
import type { Protections } from './protected-endpoints.ts';
import type { Queue } from './queue.ts';
import type { Removal } from './removal.ts';
import { networkOfSharedId, type SharedTunnels } from './shared-tunnels.ts';

export interface LeftoversDependencies {
  readonly store: Store;
  readonly links: Links;
  readonly shared: Pick<SharedTunnels, 'place'>;
  readonly states: EndpointStates;
  readonly protections: Pick<Protections, 'release'>;
  readonly removal: Removal;
  readonly inNetwork: Queue;
  readonly inEndpoint: Queue;
}

/**
 * What kills and faults leave behind, as reconcile finds it: each is deleted in its turn, and only if it still is what was
 * seen, as a call of the engine’s may have come meanwhile.
 */
export interface Leftovers {
  /** Deletes a link with our mark, unless it is the one of an endpoint. @returns whether it did */
  deleteOrphan(link: OwnedLink): Promise<boolean>;
  /** Joins of endpoints that are no more, or that were cut short before their links had a mark. */
  brokenJoins(): readonly string[];
  /**
   * Deletes what is there of a link whose Join was cut short.
   * @param isOver whether nothing can be making it any more, so that its record goes too
   * @returns whether there still is something to look after
   */
  deleteBrokenJoin(endpointId: string, isOver: boolean): Promise<boolean>;
  /** Deletes an endpoint, unless a call for it came after it was seen so. @returns whether it did */
  deleteStaleEndpoint(seen: EndpointState): Promise<boolean>;
  /** Networks whose deletion was begun, and failed. */
  undeletedNetworks(): readonly string[];
  /** Deletes a network whose deletion had failed. @returns whether it did */
  deleteNetworkAgain(networkId: string): Promise<boolean>;
  /** Deletes a network that the engine does not have, unless it came anew since, or is in use. @returns whether it did */
  deleteLostNetwork(seen: Network): Promise<boolean>;
}

export function createLeftovers({
  store,
  links,
  shared,
  states,
  protections,
  removal,
  inNetwork,
  inEndpoint,
}: LeftoversDependencies): Leftovers {
  return {
    deleteOrphan: ({ name, endpointId }) =>
      inEndpoint(endpointId, async () => {
        if (store.endpoint(endpointId) !== undefined && name === linkName(endpointId)) {
          return false;
        }
        // Seen on its way into its namespace.
        if (name === shared.place(networkOfSharedId(endpointId) ?? '')?.name) {
          return false;
        }
        await links.delete(name);
        return true;
      }),

    brokenJoins: () =>
      store
        .allJoined()
        .map(({ endpointId }) => endpointId)
        .filter(states.isBrokenJoin),

    deleteBrokenJoin: (endpointId, isOver) =>
      inEndpoint(endpointId, async () => {
        // A call for it may have been in the queue.
        if (!states.isBrokenJoin(endpointId)) {
          return false;
        }
        if (store.joined(endpointId)?.stage !== 'begun') {
          protections.release(endpointId);
          return false;
        }
        await removal.removeLink(endpointId);
        if (isOver) {
          await store.removeJoined(endpointId);
        }
        return !isOver;
      }),

    deleteStaleEndpoint: ({ endpoint: { endpointId }, revision }) =>
      inEndpoint(endpointId, async () => {
        if (store.endpoint(endpointId) === undefined || states.revisionOf(endpointId) !== revision) {
          return false;
        }
        await removal.removeEndpoint(endpointId);
        return true;
      }),

    undeletedNetworks: removal.undeletedNetworks,

    deleteNetworkAgain: (networkId) =>
      inNetwork(networkId, async () => {
        // A call for it may have been in the queue.
        if (!removal.undeletedNetworks().includes(networkId)) {
          return false;
        }
        await removal.removeNetwork(networkId);
        return true;
      }),

    deleteLostNetwork: (seen) =>
      inNetwork(seen.networkId, async () => {
        const { networkId } = seen;
        if (store.network(networkId) !== seen || store.endpointsOf(networkId).length > 0) {
          return false;
        }
        await removal.removeNetwork(networkId);
        return true;
      }),
  };
}
