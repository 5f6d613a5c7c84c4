import type { Links } from '../links/links.ts';
import type { Network } from '../networks/network.ts';
import type { Endpoint, Store } from '../state/store.ts';
import { type PrivateKey, type PublicKey, publicKeyOf } from '../wireguard/key.ts';
import { type EndpointStates, placeOf } from './endpoint-states.ts';
import { createQueue } from './queue.ts';

export interface OwnKeysDependencies {
  readonly store: Pick<Store, 'network' | 'endpointsOf' | 'joined'>;
  readonly links: Pick<Links, 'read'>;
  readonly states: Pick<EndpointStates, 'tunnels' | 'isUndeleted'>;
}

/** The keys of networks whose one link has the key of a file: no two such links on this host have the same. */
export interface OwnKeys {
  /**
   * Does a task that gives the one link of a network its key; nobody else gives a link this key meanwhile. Where each
   * container has a link and a key of its own, it just does the task.
   * @throws Error if another network’s link on this host has the key: the hub would flap between the two
   */
  withOwnKey<Result>(network: Network, privateKey: PrivateKey, task: () => Promise<Result>): Promise<Result>;
  /** @throws Error if another container has the one key of the network, and is not gone */
  refuseSecond(endpoint: Endpoint): Promise<void>;
  forget(networkId: string): void;
}

export function createOwnKeys({ store, links, states }: OwnKeysDependencies): OwnKeys {
  const inKey = createQueue();
  /** What the one link of each such network was last given; unknown of those that an earlier driver has left. */
  const ownKeys = new Map<string, PublicKey>();

  return {
    async withOwnKey(network, privateKey, task) {
      if (!hasOwnKey(network)) {
        return task();
      }
      const { networkId } = network;
      const publicKey = publicKeyOf(privateKey);
      return inKey(publicKey, async () => {
        await refuseUsed(network, publicKey);
        ownKeys.delete(networkId);
        const result = await task();
        ownKeys.set(networkId, publicKey);
        return result;
      });
    },

    async refuseSecond({ networkId, endpointId }) {
      for (const other of store.endpointsOf(networkId)) {
        if (other.endpointId !== endpointId && (await isPresent(other.endpointId))) {
          const holder =
            `the network’s configuration file is for one container, and endpoint ${other.endpointId} already has its key, with ` +
            other.addresses.map(({ address }) => address.toString()).join(' and ');
          throw new Error(
            store.joined(other.endpointId) === undefined
              ? `${holder}: its container has not started yet. If there is no such container, for example because Docker was killed, the driver forgets the endpoint within ten minutes; or remove the network and create it again`
              : `${holder}: remove or disconnect that container, or create another network with another file`,
          );
        }
      }
    },

    forget(networkId) {
      ownKeys.delete(networkId);
    },
  };

  async function refuseUsed({ networkId, options }: Network, publicKey: PublicKey): Promise<void> {
    for (const { endpoint, place } of states.tunnels()) {
      const other = store.network(endpoint.networkId);
      if (other === undefined || other.networkId === networkId || !hasOwnKey(other)) {
        continue;
      }
      const last = ownKeys.get(other.networkId) ?? publicKey;
      const key = last === publicKey ? (await links.read(place))?.publicKey : last;
      if (key === publicKey) {
        throw new Error(
          `configuration file ${options.conffile?.file}: a running tunnel of network ${other.networkId} has ` +
            'the same PrivateKey, and two links with one key cut each other off; give each network a file of its own',
        );
      }
      if (key !== undefined) {
        ownKeys.set(other.networkId, key);
      }
    }
  }

  /** Whether an endpoint's link is anywhere; one that was not joined yet is believed to be about to. */
  async function isPresent(endpointId: string): Promise<boolean> {
    const joined = store.joined(endpointId);
    if (joined === undefined) {
      return !states.isUndeleted(endpointId);
    }
    return (await links.read(placeOf(endpointId, joined))) !== undefined;
  }
}

/** Has its one link the key of its file, or of its one container? */
function hasOwnKey({ isOnePeer, isShared }: Network): boolean {
  return isOnePeer || isShared;
}
