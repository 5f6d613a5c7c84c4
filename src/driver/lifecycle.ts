import { createHash } from 'node:crypto';
import { createLimit } from '../concurrency.ts';
import { GatewayError, type Gateways } from '../gateway/gateways.ts';
import type { Guard, Protected } from '../killswitch/killswitch.ts';
import type { TunnelScope } from '../killswitch/rules.ts';
import { LinkError, type Links, type OwnedLink, type Place } from '../links/links.ts';
import type { UplinkTo } from '../links/uplink.ts';
import type { Fields, Log } from '../log.ts';
import { refuseUnfit } from '../networks/conf-file.ts';
import type { Network } from '../networks/network.ts';
import { type EndpointOptions, type Mtu, optionPrefix } from '../networks/options.ts';
import { hasOtherPrefixes, movedPeers, renewalOf } from '../networks/renewal.ts';
import { isDefaultRouted } from '../networks/routing.ts';
import { scopeOf } from '../networks/scope.ts';
import {
  mtuOf,
  peersOf,
  resolved,
  sharedTunnelOf,
  type Tunnel,
  type TunnelPeer,
  type TunnelSecrets,
  tunnelOf,
} from '../networks/tunnel.ts';
import type { Keeper } from '../programs/keeper.ts';
import type { Endpoint, Joined, Store } from '../state/store.ts';
import { parseAddress } from '../wireguard/address.ts';
import type { LinkChange } from '../wireguard/change.ts';
import type { WgQuickFile } from '../wireguard/config/wg-quick-reader.ts';
import type { Device } from '../wireguard/device.ts';
import { type PrivateKey, type PublicKey, publicKeyOf } from '../wireguard/key.ts';
import { containerLinkPrefix, linkName } from '../wireguard/link-name.ts';
import type { HubLinks } from './hub-links.ts';
import type { HubNames } from './hub-names.ts';
import { oncePerKey } from './once.ts';
import { createQueue } from './queue.ts';
import { endpointOptionsOf, readConfiguration, readSecrets } from './secrets.ts';
import { createSharedTunnels, networkOfSharedId, sharedIdOf } from './shared-tunnels.ts';
import { createAutoMtu, defaultMtu } from './uplink-mtu.ts';

export interface LifecycleDependencies {
  readonly store: Store;
  readonly links: Links;
  readonly guard: Guard;
  readonly gateways: Gateways;
  readonly hubNames: HubNames;
  readonly hubLinks: HubLinks;
  readonly log: Log;
  /** Has this kernel IPv6? */
  readonly hasIpv6?: boolean;
  /** What the relative paths of files that options name are relative to. */
  readonly secretsFolder: string;
  readonly uplinkTo: UplinkTo;
  /** Milliseconds on a clock that only goes forward. */
  readonly now?: () => number;
  /** Milliseconds of UNIX time. */
  readonly unixNow?: () => number;
}

/**
 * Networks, endpoints and their links from making to removing, one step of one of them behind the other. What fails
 * is undone; what cannot be undone or removed is remembered, and done by the next `delete…` of it.
 */
export interface Lifecycle {
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
  /** The engine takes the link away from the container next. */
  leave(endpointId: string): void;
  /**
   * Protects the containers that run already, whose networks may have changed meanwhile, and will. A later call does so for those
   * that could not be protected before, as when a network’s file could not be read. Does not reject.
   */
  protectAll(): Promise<void>;

  /** What reconcile looks after. */
  endpoints(): readonly EndpointState[];
  /** The links of tunnels: those of endpoints, and for endpoints that share one, this one. */
  tunnels(): readonly EndpointState[];
  /**
   * Makes a network’s shared tunnel the one that its files ask for now, for the containers that run, too.
   * @returns undefined if there is none
   */
  renewShared(network: Network, secrets: TunnelSecrets): Promise<'new key' | 'same key' | undefined>;
  /**
   * Peers of a network’s configuration file whose endpoints links may not have yet: those that changed in the file since
   * all its links were last renewed. Of links that an earlier driver may have left, all whose endpoint is an address; a name
   * may have several, and a link stays with the one that works.
   */
  movedPeers(networkId: string): ReadonlySet<PublicKey>;
  /** All links of a network have the endpoints of what `movedPeers` answered, unless its file was read again since. */
  noteRenewed(networkId: string, moved: ReadonlySet<PublicKey>): void;
  /**
   * Does a task that gives the one link of a network its key; nobody else gives a link this key meanwhile. Where each
   * container has a link and a key of its own, it just does the task.
   * @throws Error if another network’s link on this host has the key: the hub would flap between the two
   */
  withOwnKey<Result>(network: Network, privateKey: PrivateKey, task: () => Promise<Result>): Promise<Result>;
  /** Ends shared tunnels that are of no use: half-made, gone, or of networks that are no more. @returns whose they were */
  deleteBrokenTunnels(): Promise<readonly string[]>;
  /**
   * Makes shared tunnels anew whose namespaces were lost, and gives running containers their links into them again: what
   * a container that starts would do for itself alone.
   * @returns what came of networks where there was something to do
   */
  healSharedTunnels(): Promise<readonly HealedNetwork[]>;
  /** Joins of endpoints that are no more, or that were cut short before their links had a mark. */
  brokenJoins(): readonly string[];
  /** Networks whose deletion was begun, and failed. */
  undeletedNetworks(): readonly string[];
  /** Deletes an endpoint, unless a call for it came after it was seen so. @returns whether it did */
  deleteStaleEndpoint(seen: EndpointState): Promise<boolean>;
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
  /** Reads the files again that a network names, and an endpoint. @throws Error */
  readSecrets(network: Network, own?: EndpointOptions): Promise<TunnelSecrets>;
  /** Deletes a link with our mark, unless it is the one of an endpoint. @returns whether it did */
  deleteOrphan(link: OwnedLink): Promise<boolean>;
  /**
   * Deletes what is there of a link whose Join was cut short.
   * @param isOver whether nothing can be making it any more, so that its record goes too
   * @returns whether there still is something to look after
   */
  deleteBrokenJoin(endpointId: string, isOver: boolean): Promise<boolean>;
  /** Deletes a network whose deletion had failed. @returns whether it did */
  deleteNetworkAgain(networkId: string): Promise<boolean>;
  /** Deletes a network that the engine does not have, unless it came anew since, or is in use. @returns whether it did */
  deleteLostNetwork(seen: Network): Promise<boolean>;

  /** From now on records outlive protections that go. Resolves when those that are going have gone. */
  close(): Promise<void>;
}

export interface HandedOver {
  readonly endpoint: Endpoint;
  readonly tunnel: Tunnel;
  readonly link: string;
  /** Undefined where the kill switch is off. */
  readonly protection: Protected | undefined;
}

export interface HealedNetwork {
  readonly networkId: string;
  /** Containers that have their links again. */
  readonly containers: number;
  /** Why the tunnel, or a container’s link, could not be made; it is tried again the next time. */
  readonly failures: readonly { readonly endpointId?: string; readonly cause: string }[];
}

/** An endpoint at a moment. */
export interface EndpointState {
  readonly endpoint: Endpoint;
  readonly joined: Joined | undefined;
  /** Its deletion was begun, and failed or was cut short. */
  readonly isUndeleted: boolean;
  /** Another number after each call for it. */
  readonly revision: number;
  /** When the last one came, on `now`’s clock; undefined if it came to an earlier driver. */
  readonly touchedMs: number | undefined;
  /** The same, and of those that an earlier driver has joined that Join, as the clock was set when this driver started. */
  readonly sinceMs: number | undefined;
  /** Where the link of its tunnel is, or has been: its own, or the one that it shares. */
  readonly place: Place;
}

/**
 * Each keeps the kernel, and a thread or a program that waits for it, busy for tens of milliseconds. Containers that
 * start meanwhile come between them.
 */
export const removalsAtOnce = 3;

export function createLifecycle({
  store,
  links,
  guard,
  gateways,
  hubNames,
  hubLinks,
  log,
  hasIpv6 = true,
  secretsFolder,
  uplinkTo,
  now = () => performance.now(),
  unixNow = Date.now,
}: LifecycleDependencies): Lifecycle {
  // One endpoint's calls in order; different endpoints' beside one another. Who comes and goes in a
  // network is in order too, so that no two find the same address free.
  const inNetwork = createQueue();
  const inEndpoint = createQueue();
  const inKey = createQueue();
  const limited = createLimit(removalsAtOnce);
  const undeleted = new Set(
    store
      .allJoined()
      .filter(({ stage }) => stage === 'leaving')
      .map(({ endpointId }) => endpointId),
  );
  const undeletedNetworks = new Set<string>();
  /** When an earlier driver has joined endpoints, on `now`’s clock. */
  const earlierMs = new Map(
    store
      .joinedEarlier()
      .map(({ endpointId, unixMs }) => [endpointId, now() - Math.max(0, unixNow() - unixMs)]),
  );
  /** Why running containers could not be protected when that was tried last. */
  const unprotectable = new Map<string, string>();
  /** Endpoints whose protection is about to go. */
  const releasing = new Set<string>();
  /** What the configuration files of networks said when they were last read. */
  const configurations = new Map<string, WgQuickFile>();
  /** Peers whose endpoints have changed since the links of their networks were renewed. */
  const moved = new Map<string, ReadonlySet<PublicKey>>();
  /** An earlier driver may have made links of these, and nobody knows by which file. */
  const inherited = new Set(store.networks().map(({ networkId }) => networkId));
  /** What the one link of each such network was last given; unknown of those that an earlier driver has left. */
  const ownKeys = new Map<string, PublicKey>();
  /** What the links of shared tunnels were last made by; unknown of those that an earlier driver has left. */
  const applied = new Map<string, string>();
  const touches = new Map<string, { readonly revision: number; readonly atMs: number }>();
  let lastRevision = 0;
  let isClosed = false;
  const shared = createSharedTunnels({
    store,
    links,
    gateways,
    async resolve({ networkId }, tunnel) {
      const device = await resolve({ network: networkId }, tunnel);
      return { device, mtu: await bytesOf(tunnel.mtu, device) };
    },
    hasIpv6,
    log,
  });

  return {
    network: knownNetwork,

    peers(networkId) {
      const configuration = configurations.get(networkId);
      return peersOf(knownNetwork(networkId), configuration === undefined ? {} : { configuration });
    },

    hasAutoMtu(endpoint) {
      const { networkId } = endpoint;
      const network = store.network(networkId);
      const configuration = configurations.get(networkId);
      // What a file says is not known before it was read.
      const isRead = network?.options.conffile === undefined || configuration !== undefined;
      if (network === undefined || !isRead) {
        return false;
      }
      try {
        const ownOptions = endpointOptionsOf(endpoint);
        return mtuOf(network, configuration === undefined ? {} : { configuration }, ownOptions) === 'auto';
      } catch {
        return false;
      }
    },

    createNetwork: (network) =>
      inNetwork(network.networkId, async () => {
        await expectProtection(network);
        if (network.isShared) {
          await gateways.probe();
        }
        await store.putNetwork(network);
        undeletedNetworks.delete(network.networkId);
      }),

    deleteNetwork: (networkId) =>
      inNetwork(networkId, async () => {
        const isKnown = store.network(networkId) !== undefined;
        await removeNetwork(networkId);
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
            throw new Error(`endpoint ${endpointId} is in network ${known.networkId} already`);
          }
          if (network.isOnePeer) {
            await refuseSecond(endpoint);
          }
          for (const { address } of endpoint.addresses) {
            const holder = store.endpointAt(networkId, address);
            if (holder !== undefined && holder.endpointId !== endpointId) {
              // The engine gave the address away again, so it has forgotten the holder, as after a crash. Two
              // links with one key would pull the hub to and fro.
              log.warn('a forgotten endpoint held the address', fieldsOf(holder));
              await inEndpoint(holder.endpointId, () => removeEndpoint(holder.endpointId));
            }
          }
          touch(endpointId);
          await store.putEndpoint(endpoint);
          undeleted.delete(endpointId);
        }),
      ),

    deleteEndpoint: (endpointId) =>
      inEndpoint(endpointId, async () => {
        const endpoint = store.endpoint(endpointId);
        await removeEndpoint(endpointId);
        return endpoint;
      }),

    join: (networkId, endpointId, sandbox) =>
      inEndpoint(endpointId, async () => {
        const network = await hubLinks.completed(knownNetwork(networkId));
        const endpoint = store.endpoint(endpointId);
        if (endpoint === undefined || endpoint.networkId !== networkId) {
          throw new Error(`endpoint ${endpointId} is not known in network ${networkId}`);
        }
        touch(endpointId);
        await expectProtection(network);
        const ownOptions = endpointOptionsOf(endpoint);
        const secrets = await secretsOf(network, ownOptions);
        const tunnel = tunnelOf(network, endpoint.addresses, secrets, ownOptions);
        const link = linkName(endpointId);
        const finish = network.isShared
          ? await makeSharedLink(network, endpoint, tunnel, secrets, sandbox)
          : await makeOwnLink(network, endpoint, tunnel, sandbox);
        try {
          const linkIndex = await finish();
          const protection = await protect(network, secrets, endpointId, sandbox, linkIndex);
          return { endpoint, tunnel, link, protection };
        } catch (error) {
          await undoJoin(endpointId);
          throw error;
        }
      }),

    leave(endpointId) {
      guard.leave(store.joined(endpointId)?.sandbox ?? '', endpointId);
    },

    async protectAll() {
      const scopeIn = oncePerKey(async (network: Network) =>
        scopeOf(network, await configurationOf(network)),
      );
      // Of networks without a kill switch as well, whose hubs are followed. What cannot be read is told below.
      const unread = store
        .networks()
        .filter(({ networkId, options }) => options.conffile !== undefined && !configurations.has(networkId));
      await Promise.allSettled(unread.map(scopeIn));
      // All at once: a container is protected for all its networks or not at all.
      await Promise.all(
        store
          .allJoined()
          .filter(isUnguarded)
          .map(async (joined) => {
            const { endpointId } = joined;
            try {
              await protectRunning(joined, scopeIn);
              unprotectable.delete(endpointId);
            } catch (error) {
              const cause = String(error);
              if (unprotectable.get(endpointId) !== cause) {
                log.error('a container could not be protected; trying again', {
                  endpoint: endpointId,
                  cause,
                });
              }
              unprotectable.set(endpointId, cause);
            }
          }),
      );
    },

    endpoints: endpointStates,

    tunnels,

    renewShared: (network, secrets) =>
      inEndpoint(sharedIdOf(network.networkId), () => renewShared(network, secrets)),

    movedPeers: movedPeersOf,
    noteRenewed,
    withOwnKey,

    async deleteBrokenTunnels() {
      const deleted: string[] = [];
      for (const { networkId } of store.gateways()) {
        await inEndpoint(sharedIdOf(networkId), async () => {
          const isWanted = store.network(networkId) ?? store.unusableNetwork(networkId);
          if (isWanted === undefined || (await shared.isBroken(networkId))) {
            await shared.close(networkId);
            deleted.push(networkId);
          }
        });
      }
      return deleted;
    },

    async healSharedTunnels() {
      const healed: HealedNetwork[] = [];
      for (const network of store.networks().filter(({ isShared: is }) => is)) {
        const outcome = await healSharedTunnel(network);
        if (outcome.containers > 0 || outcome.failures.length > 0) {
          healed.push(outcome);
        }
      }
      return healed;
    },

    brokenJoins: () =>
      store
        .allJoined()
        .filter(({ endpointId }) => isBroken(endpointId))
        .map(({ endpointId }) => endpointId),

    undeletedNetworks: () => [...undeletedNetworks],

    deleteStaleEndpoint: ({ endpoint: { endpointId }, revision }) =>
      inEndpoint(endpointId, async () => {
        if (store.endpoint(endpointId) === undefined || revisionOf(endpointId) !== revision) {
          return false;
        }
        await removeEndpoint(endpointId);
        return true;
      }),

    withLink,

    changeLink: async (seen, change) =>
      (await withLink(seen, async (place) => {
        await links.change(place, change);
        return true;
      })) ?? false,

    readSecrets: (network, own = {}) => secretsOf(network, own),

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

    deleteBrokenJoin: (endpointId, isOver) =>
      inEndpoint(endpointId, async () => {
        // A call for it may have been in the queue.
        if (!isBroken(endpointId)) {
          return false;
        }
        if (store.joined(endpointId)?.stage !== 'begun') {
          release(endpointId);
          return false;
        }
        await removeLink(endpointId);
        if (isOver) {
          await store.removeJoined(endpointId);
        }
        return !isOver;
      }),

    deleteNetworkAgain: (networkId) =>
      inNetwork(networkId, async () => {
        // A call for it may have been in the queue.
        if (!undeletedNetworks.has(networkId)) {
          return false;
        }
        await removeNetwork(networkId);
        return true;
      }),

    deleteLostNetwork: (seen) =>
      inNetwork(seen.networkId, async () => {
        const { networkId } = seen;
        if (store.network(networkId) !== seen || store.endpointsOf(networkId).length > 0) {
          return false;
        }
        await removeNetwork(networkId);
        return true;
      }),

    async close() {
      isClosed = true;
      await Promise.all([...releasing].map((endpointId) => inEndpoint(endpointId, async () => {})));
    },
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
      return revisionOf(endpointId) === revision && place !== undefined ? task(place) : undefined;
    });
  }

  /** Has its one link the key of its file, or of its one container? */
  function hasOwnKey({ isOnePeer, isShared: is }: Network): boolean {
    return isOnePeer || is;
  }

  function isShared({ networkId }: Pick<Endpoint, 'networkId'>): boolean {
    return store.network(networkId)?.isShared ?? false;
  }

  function endpointStates(): EndpointState[] {
    return store.endpoints().map((endpoint) => {
      const { endpointId, networkId } = endpoint;
      const joined = store.joined(endpointId);
      return {
        endpoint,
        joined,
        isUndeleted: undeleted.has(endpointId),
        revision: revisionOf(endpointId),
        touchedMs: touches.get(endpointId)?.atMs,
        sinceMs: touches.get(endpointId)?.atMs ?? earlierMs.get(endpointId),
        place: (isShared(endpoint) ? shared.place(networkId) : undefined) ?? placeOf(endpointId, joined),
      };
    });
  }

  function tunnels(): EndpointState[] {
    return [
      ...endpointStates().filter(({ endpoint }) => !isShared(endpoint)),
      ...store.gateways().flatMap(({ networkId }) => sharedState(networkId) ?? []),
    ];
  }

  /** A shared tunnel as the one endpoint that its link has. */
  function sharedState(networkId: string): EndpointState | undefined {
    const place = shared.place(networkId);
    const endpointId = sharedIdOf(networkId);
    return (
      place && {
        endpoint: { endpointId, networkId, addresses: [] },
        joined: { endpointId, sandbox: place.sandbox ?? '', stage: 'marked' },
        isUndeleted: false,
        revision: revisionOf(endpointId),
        touchedMs: touches.get(endpointId)?.atMs,
        sinceMs: touches.get(endpointId)?.atMs,
        place,
      }
    );
  }

  function knownNetwork(networkId: string): Network {
    const network = store.network(networkId);
    const cause = store.unusableNetwork(networkId);
    if (cause !== undefined) {
      throw new Error(
        `network ${networkId} cannot be used by this version of wgdriver, which a newer one may have made: ${cause}`,
      );
    }
    if (network === undefined) {
      throw new Error(
        `network ${networkId} is not known to this driver: its state is in another --state-dir, or could not ` +
          'be read at the start, which the log says. Remove it and create it again',
      );
    }
    return network;
  }

  async function secretsOf(network: Network, ownOptions: EndpointOptions): Promise<TunnelSecrets> {
    const secrets = await readSecrets(network.options, secretsFolder, ownOptions);
    remember(network, secrets);
    return secrets;
  }

  async function configurationOf(network: Network): Promise<Pick<TunnelSecrets, 'configuration'>> {
    const read = await readConfiguration(network.options, secretsFolder);
    remember(network, read);
    return read;
  }

  function remember(network: Network, { configuration }: Pick<TunnelSecrets, 'configuration'>): void {
    if (configuration === undefined) {
      return;
    }
    const { networkId } = network;
    const before = configurations.get(networkId);
    configurations.set(networkId, configuration);
    const now = peersOf(network, { configuration });
    const others =
      before !== undefined
        ? movedPeers(peersOf(network, { configuration: before }), now)
        : inherited.has(networkId)
          ? now.filter(hasLiteralEndpoint).map(({ publicKey }) => publicKey)
          : [];
    if (others.length > 0) {
      moved.set(networkId, new Set([...movedPeersOf(networkId), ...others]));
    }
  }

  function movedPeersOf(networkId: string): ReadonlySet<PublicKey> {
    return moved.get(networkId) ?? new Set();
  }

  function noteRenewed(networkId: string, renewed: ReadonlySet<PublicKey>): void {
    if (moved.get(networkId) === renewed) {
      moved.delete(networkId);
    }
  }

  function withOwnKey<Result>(
    network: Network,
    privateKey: PrivateKey,
    task: () => Promise<Result>,
  ): Promise<Result> {
    if (!hasOwnKey(network)) {
      return task();
    }
    const { networkId } = network;
    const publicKey = publicKeyOf(privateKey);
    return inKey(publicKey, async () => {
      for (const { endpoint, place } of tunnels()) {
        const other = store.network(endpoint.networkId);
        if (other === undefined || other.networkId === networkId || !hasOwnKey(other)) {
          continue;
        }
        const last = ownKeys.get(other.networkId) ?? publicKey;
        const key = last === publicKey ? (await links.read(place))?.publicKey : last;
        if (key === publicKey) {
          throw new Error(
            `configuration file ${network.options.conffile?.file}: a running tunnel of network ${other.networkId} has ` +
              'the same PrivateKey, and two links with one key cut each other off; give each network a file of its own',
          );
        }
        if (key !== undefined) {
          ownKeys.set(other.networkId, key);
        }
      }
      ownKeys.delete(networkId);
      const result = await task();
      ownKeys.set(networkId, publicKey);
      return result;
    });
  }

  /** @throws Error if another container has the one key of the network, and is not gone */
  async function refuseSecond({ networkId, endpointId }: Endpoint): Promise<void> {
    for (const other of store.endpointsOf(networkId)) {
      if (other.endpointId !== endpointId && (await isPresent(other.endpointId))) {
        const holder =
          `the network’s configuration file is for one container, and endpoint ${other.endpointId} has its key, with ` +
          other.addresses.map(({ address }) => address.toString()).join(' and ');
        throw new Error(
          store.joined(other.endpointId) === undefined
            ? `${holder}: its container has not started yet. If there is none, as after a kill of the engine, the driver ` +
                'forgets the endpoint within ten minutes; or remove the network and create it again'
            : `${holder}: remove or disconnect that container, or create another network with another file`,
        );
      }
    }
  }

  /** Whether an endpoint's link is anywhere; one that was not joined yet is believed to be about to. */
  async function isPresent(endpointId: string): Promise<boolean> {
    const joined = store.joined(endpointId);
    if (joined === undefined) {
      return !undeleted.has(endpointId);
    }
    return (await links.read(placeOf(endpointId, joined))) !== undefined;
  }

  function isBroken(endpointId: string): boolean {
    const joined = store.joined(endpointId);
    return joined !== undefined && (joined.stage === 'begun' || store.endpoint(endpointId) === undefined);
  }

  function touch(endpointId: string): void {
    lastRevision += 1;
    touches.set(endpointId, { revision: lastRevision, atMs: now() });
  }

  function revisionOf(endpointId: string): number {
    return touches.get(endpointId)?.revision ?? 0;
  }

  /** Makes a link, so that a kill at any moment leaves a record by which what is there of it can be told. */
  async function makeLink<Made>(
    endpointId: string,
    sandbox: string,
    create: () => Promise<Made>,
  ): Promise<Made> {
    // Left by a Join that was cut short, or somebody else's: then this refuses.
    await removeLink(endpointId);
    await store.beginJoin({ endpointId, sandbox });
    try {
      const made = await create();
      await store.finishJoin(endpointId);
      return made;
    } catch (error) {
      if ((error instanceof LinkError || error instanceof GatewayError) && error.code === 'EEXIST') {
        // Somebody else was quicker to take the name: nothing was made.
        await store.removeJoined(endpointId);
      } else {
        await undoJoin(endpointId);
      }
      throw error;
    }
  }

  /** @returns what is to be done with it next */
  async function makeOwnLink(network: Network, endpoint: Endpoint, tunnel: Tunnel, sandbox: string) {
    const { endpointId } = endpoint;
    const name = linkName(endpointId);
    const device = await resolve(fieldsOf(endpoint), tunnel);
    // Looked up while the Join is being recorded.
    const looked = bytesOf(tunnel.mtu, device);
    looked.catch(() => {});
    const index = await makeLink(endpointId, sandbox, async () =>
      links.create({ name, mtu: await looked, endpointId }),
    );
    return async () => {
      await withOwnKey(network, tunnel.privateKey, () => links.configure(name, device));
      await hubLinks.add(network, endpointId, tunnel);
      return isDefaultRouted(tunnel) ? index : undefined;
    };
  }

  async function makeSharedLink(
    network: Network,
    endpoint: Endpoint,
    tunnel: Tunnel,
    secrets: TunnelSecrets,
    sandbox: string,
  ) {
    const keeper = await openShared(network, secrets);
    const { endpointId } = endpoint;
    const port = await portOf(network, endpoint, tunnel);
    await makeLink(endpointId, sandbox, () => gateways.attach(keeper, port, endpointId));
    return async () => undefined;
  }

  async function renewShared(
    network: Network,
    secrets: TunnelSecrets,
  ): Promise<'new key' | 'same key' | undefined> {
    const { networkId, options } = network;
    const renewed = movedPeersOf(networkId);
    const place = shared.place(networkId);
    const status = place && (await links.read(place));
    if (place === undefined || status === undefined) {
      return undefined;
    }
    const tunnel = sharedTunnelOf(network, secrets);
    const device = await resolve({ network: networkId }, tunnel);
    const isOther = hasOtherPrefixes(status, device);
    if (isOther && options.killswitch === 'off') {
      throw new Error(
        'AllowedIPs have changed: restart the containers, whose routes are set when they start',
      );
    }
    const change = renewalOf(status, device, renewed, tunnel.mtu);
    applied.delete(networkId);
    const renew = async () => {
      await shared.renew(network, secrets);
      if (change !== undefined) {
        await links.change(place, change);
      }
    };
    await (change?.privateKey === undefined ? renew() : withOwnKey(network, change.privateKey, renew));
    if (isOther) {
      const scope = scopeOf(network, secrets);
      await Promise.all(
        runningIn(networkId).map(({ endpointId, sandbox }) => guard.protect(sandbox, endpointId, scope)),
      );
    }
    applied.set(networkId, fileOf(secrets));
    noteRenewed(networkId, renewed);
    return change?.privateKey === undefined ? 'same key' : 'new key';
  }

  async function healSharedTunnel(network: Network): Promise<HealedNetwork> {
    const { networkId } = network;
    const failures: { endpointId?: string; cause: string }[] = [];
    let containers = 0;
    const running = runningIn(networkId).map(({ endpointId }) => endpointId);
    try {
      const kept = await shared.kept(networkId);
      if (running.length === 0 || (kept !== undefined && shared.isWhole(networkId, kept))) {
        return { networkId, containers, failures };
      }
      const ports = kept === undefined ? new Set() : await gateways.ports(kept);
      const missing = running.filter((endpointId) => !ports.has(linkName(endpointId)));
      let keeper = kept;
      if (keeper === undefined || missing.length > 0) {
        const secrets = await secretsOf(network, {});
        const opened = await openShared(network, secrets);
        for (const endpointId of missing) {
          await inEndpoint(endpointId, async () => {
            containers += Number(await reattach(network, endpointId, secrets, opened));
          }).catch((error: Error) => failures.push({ endpointId, cause: error.message }));
        }
        keeper = opened;
      }
      if (failures.length === 0) {
        shared.noteWhole(networkId, keeper);
      }
    } catch (error) {
      failures.push({ cause: (error as Error).message });
    }
    return { networkId, containers, failures };
  }

  /** @returns whether there is such a container yet */
  async function reattach(
    network: Network,
    endpointId: string,
    secrets: TunnelSecrets,
    keeper: Keeper,
  ): Promise<boolean> {
    const endpoint = store.endpoint(endpointId);
    const joined = store.joined(endpointId);
    // Calls for it may have come meanwhile.
    if (endpoint === undefined || joined?.stage !== 'marked' || undeleted.has(endpointId)) {
      return false;
    }
    const tunnel = tunnelOf(network, endpoint.addresses, secrets, endpointOptionsOf(endpoint));
    const port = await portOf(network, endpoint, tunnel);
    return gateways.reattach(keeper, port, endpointId, joined.sandbox, {
      linkPrefix: network.options.ifprefix ?? containerLinkPrefix,
      addresses: endpoint.addresses,
      routes: tunnel.routes,
    });
  }

  /** The endpoints of a network whose containers run, as far as is known. */
  function runningIn(networkId: string): readonly Joined[] {
    return store
      .endpointsOf(networkId)
      .flatMap(({ endpointId }) => store.joined(endpointId) ?? [])
      .filter(({ endpointId, stage }) => stage === 'marked' && !undeleted.has(endpointId));
  }

  function openShared(network: Network, secrets: TunnelSecrets): Promise<Keeper> {
    const { networkId } = network;
    if (secrets.configuration !== undefined) {
      refuseUnfit(network, secrets.configuration);
    }
    return inEndpoint(sharedIdOf(networkId), async () => {
      const kept = await shared.kept(networkId);
      if (kept === undefined) {
        const renewed = movedPeersOf(networkId);
        const { privateKey } = sharedTunnelOf(network, secrets);
        const opened = await withOwnKey(network, privateKey, () => shared.open(network, secrets));
        touch(sharedIdOf(networkId));
        applied.set(networkId, fileOf(secrets));
        noteRenewed(networkId, renewed);
        return opened;
      }
      if (applied.get(networkId) !== fileOf(secrets)) {
        // As a link of its own would be made by the file as it is now.
        await renewShared(network, secrets);
      }
      return kept;
    });
  }

  async function portOf({ networkId }: Network, { endpointId, addresses }: Endpoint, tunnel: Tunnel) {
    const place = shared.place(networkId);
    const { mtu } = tunnel;
    return {
      name: linkName(endpointId),
      mtu: mtu === 'auto' ? ((place && (await links.read(place)))?.mtu ?? defaultMtu) : mtu,
      addresses: addresses.map(({ address }) => address),
      gateways: tunnel.gateways,
    };
  }

  async function protect(
    network: Network,
    secrets: TunnelSecrets,
    endpointId: string,
    sandbox: string,
    linkIndex: number | undefined,
  ): Promise<Protected | undefined> {
    if (network.options.killswitch === 'off') {
      return undefined;
    }
    const protection = await guard.protect(sandbox, endpointId, scopeOf(network, secrets), linkIndex);
    refuseUnseen(protection, sandbox);
    return protection;
  }

  /** Of a running container, that the guard should know of and does not. */
  function isUnguarded({ endpointId, sandbox, stage }: Joined): boolean {
    return (
      stage === 'marked' &&
      guardedNetworkOf(endpointId) !== undefined &&
      guard.stateOf(sandbox, endpointId) === undefined
    );
  }

  async function protectRunning(
    joined: Joined,
    scopeIn: (network: Network) => Promise<TunnelScope>,
  ): Promise<void> {
    const { endpointId, sandbox } = joined;
    const network = guardedNetworkOf(endpointId);
    if (network === undefined) {
      return;
    }
    const scope = await scopeIn(network);
    // Begun in its turn, as a call for it may be under way. Others need not wait until it is done.
    const { protection } = await inEndpoint(endpointId, async () => ({
      protection:
        store.joined(endpointId) === joined && isUnguarded(joined)
          ? guard.protect(sandbox, endpointId, scope)
          : undefined,
    }));
    refuseUnseen(await protection, sandbox);
  }

  async function undoJoin(endpointId: string): Promise<void> {
    try {
      await store.beginRemoval(endpointId);
      await hubLinks.remove(endpointId);
      await removeLink(endpointId);
      await forgetJoin(endpointId, guardedNetworkOf(endpointId) !== undefined);
    } catch (cause) {
      log.warn('a half-made link could not be deleted', { cause: String(cause), link: linkName(endpointId) });
    }
  }

  async function removeLink(endpointId: string): Promise<void> {
    const link = linkName(endpointId);
    const endpoint = store.endpoint(endpointId);
    if (endpoint !== undefined && isShared(endpoint)) {
      return shared.detach(endpoint.networkId, link);
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
      release(endpointId);
    } else {
      await store.removeJoined(endpointId);
    }
  }

  /** The protection goes later; what fails is tried again by reconcile. */
  function release(endpointId: string): void {
    if (releasing.has(endpointId)) {
      return;
    }
    releasing.add(endpointId);
    guard
      .release(store.joined(endpointId)?.sandbox ?? '', endpointId)
      .then(() =>
        inEndpoint(endpointId, async () => {
          const joined = store.joined(endpointId);
          // The folder may be another driver’s by now, which makes up for it.
          if (isClosed) {
            return;
          }
          // It may have joined anew.
          if (joined?.stage === 'leaving' || (joined?.stage === 'marked' && isBroken(endpointId))) {
            await store.removeJoined(endpointId);
          }
        }),
      )
      .catch((cause) => {
        log.warn('a container’s protection could not be taken away', {
          endpoint: endpointId,
          cause: String(cause),
        });
      })
      .finally(() => releasing.delete(endpointId));
  }

  async function expectProtection({ options }: Network): Promise<void> {
    if (options.killswitch !== 'off') {
      await guard.probe().catch((error: Error) => {
        throw new Error(`${error.message}. Or create the network with -o ${optionPrefix}killswitch=off`);
      });
    }
  }

  function guardedNetworkOf(endpointId: string): Network | undefined {
    const network = store.network(store.endpoint(endpointId)?.networkId ?? '');
    return network?.options.killswitch === 'off' ? undefined : network;
  }

  async function removeEndpoint(endpointId: string): Promise<void> {
    touch(endpointId);
    if (store.endpoint(endpointId) !== undefined) {
      undeleted.add(endpointId);
    }
    await limited(() => removeNow(endpointId));
    touches.delete(endpointId);
    earlierMs.delete(endpointId);
    unprotectable.delete(endpointId);
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
    const isGuarded = guardedNetworkOf(endpointId) !== undefined;
    await store.removeEndpoint(endpointId);
    undeleted.delete(endpointId);
    // An unfinished one is looked after until nobody can be making it any more.
    if (store.joined(endpointId)?.stage !== 'begun') {
      await forgetJoin(endpointId, isGuarded);
    }
  }

  async function removeNetwork(networkId: string): Promise<void> {
    // The engine has forgotten it, whatever this answers.
    undeletedNetworks.add(networkId);
    // It deletes no network in use: an endpoint that is left is one it has forgotten.
    for (const { endpointId } of store.endpointsOf(networkId)) {
      await inEndpoint(endpointId, () => removeEndpoint(endpointId));
    }
    await inEndpoint(sharedIdOf(networkId), () => shared.close(networkId));
    touches.delete(sharedIdOf(networkId));
    await store.removeNetwork(networkId);
    configurations.delete(networkId);
    moved.delete(networkId);
    inherited.delete(networkId);
    ownKeys.delete(networkId);
    applied.delete(networkId);
    undeletedNetworks.delete(networkId);
  }

  async function bytesOf(mtu: Mtu, device: Device): Promise<number> {
    return mtu === 'auto' ? ((await createAutoMtu(uplinkTo)(device)) ?? defaultMtu) : mtu;
  }

  /** A peer whose host does not resolve gets no endpoint: its link is closed until it does (hub-following.ts). */
  async function resolve(fields: Fields, tunnel: Tunnel): Promise<Device> {
    const hosts = new Set(tunnel.peers.flatMap(({ endpoint: peer }) => peer?.host ?? []));
    const addresses = new Map(
      await Promise.all([...hosts].map(async (host) => [host, await hubNames.addressOf(host)] as const)),
    );
    for (const [host, address] of addresses) {
      if (address === undefined) {
        log.warn('the hub’s name does not resolve: no traffic passes until it does', {
          ...fields,
          host,
        });
      }
    }
    return resolved(tunnel, addresses);
  }
}

function hasLiteralEndpoint({ endpoint }: TunnelPeer): boolean {
  return endpoint !== undefined && parseAddress(endpoint.host) !== undefined;
}

/** @throws Error */
function refuseUnseen(protection: Protected | undefined, sandbox: string): void {
  if (protection === 'unseen') {
    throw new Error(
      `${sandbox} is no network namespace to this driver, so the container’s traffic cannot be kept in ` +
        'the tunnel; a driver with mounts of its own needs that folder as one with propagation (rslave)',
    );
  }
}

/** A configuration file, to be told from what it is later. Holds no secret. */
function fileOf({ configuration }: TunnelSecrets): string {
  const secrets = [
    configuration?.privateKey,
    ...(configuration?.peers ?? []).map((peer) => peer.presharedKey),
  ];
  return createHash('sha256')
    .update(JSON.stringify([secrets.map((key) => key?.toBase64()), configuration]))
    .digest('base64');
}

/** Where an endpoint's link is, or has been. */
export function placeOf(endpointId: string, joined: Joined | undefined): Place {
  return { name: linkName(endpointId), endpointId, sandbox: joined?.sandbox };
}

/** What tells an endpoint in the log. */
export function fieldsOf({ networkId, endpointId, addresses }: Endpoint) {
  const address = addresses.map((own) => own.address.toString()).join(',');
  return { network: networkId, endpoint: endpointId, address };
}
