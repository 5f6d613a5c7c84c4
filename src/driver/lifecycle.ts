import type { Gateways } from '../gateway/gateways.ts';
import type { Guard } from '../killswitch/killswitch.ts';
import type { Links, Place } from '../links/links.ts';
import type { UplinksTo } from '../links/uplink.ts';
import type { Log } from '../log.ts';
import type { Network } from '../networks/network.ts';
import { mtuOf, peersOf, type TunnelPeer } from '../networks/tunnel.ts';
import type { Endpoint, Store } from '../state/store.ts';
import type { LinkChange } from '../wireguard/change.ts';
import { type Configurations, createConfigurations } from './configurations.ts';
import {
  createEndpointStates,
  type EndpointState,
  type EndpointStates,
  fieldsOf,
  placeOf,
} from './endpoint-states.ts';
import type { HubLinks } from './hub-links.ts';
import type { HubNames } from './hub-names.ts';
import { mtuInBytes } from './hub-uplinks.ts';
import { createJoin, type HandedOver } from './join.ts';
import { createLeftovers, type Leftovers } from './leftovers.ts';
import { createOwnKeys, type OwnKeys } from './own-keys.ts';
import { createProtections, type Protections } from './protected-endpoints.ts';
import { createQueue } from './queue.ts';
import { createRemoval } from './removal.ts';
import { createResolve } from './resolve.ts';
import { endpointOptionsOf } from './secrets.ts';
import { createSharedContainers, type SharedContainers } from './shared-containers.ts';
import { createSharedTunnels, networkOfSharedId, sharedIdOf } from './shared-tunnels.ts';

export interface LifecycleDependencies {
  readonly store: Store;
  readonly links: Links;
  readonly guard: Guard;
  readonly gateways: Gateways;
  readonly hubNames: HubNames;
  readonly hubLinks: HubLinks;
  readonly log: Log;
  /** Has this kernel IPv6? */
  readonly hasIpv6: boolean;
  /** What the relative paths of files that options name are relative to. */
  readonly secretsFolder: string;
  readonly uplinksTo: UplinksTo;
  /** Milliseconds on a clock that only goes forward. */
  readonly now?: () => number;
  /** Milliseconds of UNIX time. */
  readonly unixNow?: () => number;
}

/**
 * Networks, endpoints and their links from making to removing, one step of one of them behind the other. What fails
 * is undone; what cannot be undone or removed is remembered, and done by the next `delete…` of it. Each part has a file:
 * what this adds is their order.
 */
export interface Lifecycle
  extends Pick<EndpointStates, 'endpoints' | 'tunnels'>,
    Pick<Configurations, 'readSecrets' | 'lastRead' | 'movedPeers' | 'noteRenewed'>,
    Pick<OwnKeys, 'withOwnKey'>,
    Pick<SharedContainers, 'renewShared' | 'healSharedTunnels' | 'deleteBrokenTunnels'>,
    Pick<Protections, 'protectAll' | 'leave' | 'close'>,
    Leftovers {
  /** @throws Error that says why it cannot be used */
  network(networkId: string): Network;
  /**
   * The peers of a network's tunnels, of a configuration file those that it had when it was last read.
   * @throws Error that says why the network cannot be used
   */
  peers(networkId: string): readonly TunnelPeer[];
  /**
   * Is the MTU of an endpoint’s link computed? A network that cannot be used, and an endpoint with options that this
   * build does not know, have links as they are.
   */
  hasAutoMtu(endpoint: Endpoint): boolean;
  /** @throws Error if this host cannot make good what its options ask for */
  createNetwork(network: Network): Promise<void>;
  /** With its endpoints. @returns whether it was there */
  deleteNetwork(networkId: string): Promise<boolean>;
  /** An endpoint that held one of its addresses was forgotten by the engine, and goes. */
  createEndpoint(endpoint: Endpoint): Promise<void>;
  /** With its link. @returns what it was */
  deleteEndpoint(endpointId: string): Promise<Endpoint | undefined>;
  /** Makes the endpoint's link, for the engine to take, and protects the container. */
  join(networkId: string, endpointId: string, sandbox: string): Promise<HandedOver>;
  /** Resolves when no call is under way any more that had begun for an endpoint of a network, or for its shared tunnel. */
  settled(networkId: string): Promise<void>;
  /**
   * Changes a link wherever it is, unless a call for its endpoint came after it was seen so.
   * @returns whether it did
   */
  changeLink(seen: EndpointState, change: LinkChange): Promise<boolean>;
  /**
   * Does something with a link, while no call for its endpoint is served, unless one came after it was seen so.
   * @returns undefined if it was not done
   */
  withLink<Result>(seen: EndpointState, task: (place: Place) => Promise<Result>): Promise<Result | undefined>;
}

export function createLifecycle({
  store,
  links,
  guard,
  gateways,
  hubNames,
  hubLinks,
  log,
  hasIpv6,
  secretsFolder,
  uplinksTo,
  now = () => performance.now(),
  unixNow = Date.now,
}: LifecycleDependencies): Lifecycle {
  // One endpoint's calls in order; different endpoints' beside one another. Who comes and goes in a
  // network is in order too, so that no two find the same address free.
  const inNetwork = createQueue();
  const inEndpoint = createQueue();
  const resolve = createResolve(hubNames, log);
  const shared = createSharedTunnels({
    store,
    links,
    gateways,
    async resolve({ networkId }, tunnel) {
      const device = await resolve({ network: networkId }, tunnel);
      return { device, mtu: await mtuInBytes(uplinksTo, tunnel.mtu, device) };
    },
    hasIpv6,
    log,
  });
  const configurations = createConfigurations(store, secretsFolder);
  const states = createEndpointStates({ store, shared, now, unixNow });
  const ownKeys = createOwnKeys({ store, links, states });
  const protections = createProtections({ store, links, guard, configurations, states, inEndpoint, log });
  const sharedContainers = createSharedContainers({
    store,
    links,
    gateways,
    shared,
    states,
    configurations,
    ownKeys,
    protections,
    resolve,
    inEndpoint,
  });
  const removal = createRemoval({
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
  });
  const join = createJoin({
    store,
    links,
    hubLinks,
    configurations,
    ownKeys,
    protections,
    sharedContainers,
    removal,
    resolve,
    uplinksTo,
  });

  return {
    endpoints: states.endpoints,
    tunnels: states.tunnels,
    readSecrets: configurations.readSecrets,
    lastRead: configurations.lastRead,
    movedPeers: configurations.movedPeers,
    noteRenewed: configurations.noteRenewed,
    withOwnKey: ownKeys.withOwnKey,
    renewShared: sharedContainers.renewShared,
    healSharedTunnels: sharedContainers.healSharedTunnels,
    deleteBrokenTunnels: sharedContainers.deleteBrokenTunnels,
    protectAll: protections.protectAll,
    leave: protections.leave,
    close: protections.close,
    ...createLeftovers({ store, links, shared, states, protections, removal, inNetwork, inEndpoint }),

    network: knownNetwork,

    peers: (networkId) => peersOf(knownNetwork(networkId), configurations.lastRead(networkId)),

    hasAutoMtu(endpoint) {
      const { networkId } = endpoint;
      const network = store.network(networkId);
      const read = configurations.lastRead(networkId);
      // What a file says is not known before it was read.
      const isRead = network?.options.conffile === undefined || read.configuration !== undefined;
      if (network === undefined || !isRead) {
        return false;
      }
      try {
        return mtuOf(network, read, endpointOptionsOf(endpoint)) === 'auto';
      } catch {
        return false;
      }
    },

    createNetwork: (network) =>
      inNetwork(network.networkId, async () => {
        await protections.expect(network);
        if (network.isShared) {
          await gateways.probe();
        }
        await store.putNetwork(network);
        removal.noteNetworkCreated(network.networkId);
      }),

    deleteNetwork: (networkId) =>
      inNetwork(networkId, async () => {
        const isKnown = store.network(networkId) !== undefined;
        await removal.removeNetwork(networkId);
        return isKnown;
      }),

    createEndpoint: (endpoint) =>
      inNetwork(endpoint.networkId, () =>
        inEndpoint(endpoint.endpointId, async () => {
          const { endpointId, networkId } = endpoint;
          // It may have been deleted meanwhile.
          const network = knownNetwork(networkId);
          const known = store.endpoint(endpointId);
          if (known !== undefined && known.networkId !== networkId) {
            // Also, two of these that evicted one another would wait for one another.
            throw new Error(`endpoint ${endpointId} already exists, in network ${known.networkId}`);
          }
          if (network.isOnePeer) {
            await ownKeys.refuseSecond(endpoint);
          }
          for (const { address } of endpoint.addresses) {
            const holder = store.endpointAt(networkId, address);
            if (holder !== undefined && holder.endpointId !== endpointId) {
              // The engine gave the address away again, so it has forgotten the holder, as after a crash. Two
              // links with one key would pull the hub to and fro.
              log.warn('removed a stale endpoint that held the address', fieldsOf(holder));
              await inEndpoint(holder.endpointId, () => removal.removeEndpoint(holder.endpointId));
            }
          }
          states.touch(endpointId);
          await store.putEndpoint(endpoint);
          states.noteNotDeleted(endpointId);
        }),
      ),

    deleteEndpoint: (endpointId) =>
      inEndpoint(endpointId, async () => {
        const endpoint = store.endpoint(endpointId);
        await removal.removeEndpoint(endpointId);
        return endpoint;
      }),

    join: (networkId, endpointId, sandbox) =>
      inEndpoint(endpointId, async () => {
        const network = await hubLinks.completed(knownNetwork(networkId));
        const endpoint = store.endpoint(endpointId);
        if (endpoint === undefined || endpoint.networkId !== networkId) {
          throw new Error(`endpoint ${endpointId} is not known in network ${networkId}`);
        }
        states.touch(endpointId);
        return join(network, endpoint, sandbox);
      }),

    async settled(networkId) {
      const ids = store.endpointsOf(networkId).map(({ endpointId }) => endpointId);
      await Promise.all(ids.map((id) => inEndpoint(id, async () => {})));
      // What has opened a shared tunnel by itself, to mend it.
      await inEndpoint(sharedIdOf(networkId), async () => {});
    },

    withLink,

    changeLink: async (seen, change) =>
      (await withLink(seen, async (place) => {
        await links.change(place, change);
        return true;
      })) ?? false,
  };

  function withLink<Result>(
    { endpoint: { endpointId }, revision }: EndpointState,
    task: (place: Place) => Promise<Result>,
  ): Promise<Result | undefined> {
    return inEndpoint(endpointId, async () => {
      const networkId = networkOfSharedId(endpointId);
      const joined = store.joined(endpointId);
      const place =
        networkId !== undefined
          ? shared.place(networkId)
          : joined?.stage === 'marked'
            ? placeOf(endpointId, joined)
            : undefined;
      return states.revisionOf(endpointId) === revision && place !== undefined ? task(place) : undefined;
    });
  }

  function knownNetwork(networkId: string): Network {
    const network = store.network(networkId);
    const cause = store.unusableNetwork(networkId);
    if (cause !== undefined) {
      throw new Error(
        `network ${networkId} cannot be used by this version of wgdriver, and may have been made by a newer one: ${cause}`,
      );
    }
    if (network === undefined) {
      throw new Error(
        `network ${networkId} is not known to this driver: its state is in another --state-dir, or could not be read at startup, as the log then says. Remove the network and create it again`,
      );
    }
    return network;
  }
}
