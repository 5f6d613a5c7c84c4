import { createHash } from 'node:crypto';
import type { Gateways } from '../gateway/gateways.ts';
import type { Links } from '../links/links.ts';
import type { Network } from '../networks/network.ts';
import { hasOtherPrefixes, renewalOf } from '../networks/renewal.ts';
import { sharedTunnelOf, type Tunnel, type TunnelSecrets, tunnelOf } from '../networks/tunnel.ts';
import type { Keeper } from '../programs/keeper.ts';
import type { Endpoint, Store } from '../state/store.ts';
import { containerLinkPrefix, linkName } from '../wireguard/link-name.ts';
import type { Configurations } from './configurations.ts';
import type { EndpointStates } from './endpoint-states.ts';
import { defaultMtu } from './hub-uplinks.ts';
import type { OwnKeys } from './own-keys.ts';
import type { Protections } from './protected-endpoints.ts';
import type { Queue } from './queue.ts';
import type { Resolve } from './resolve.ts';
import { endpointOptionsOf } from './secrets.ts';
import { type SharedTunnels, sharedIdOf } from './shared-tunnels.ts';

export interface SharedContainersDependencies {
  readonly store: Store;
  readonly links: Links;
  readonly gateways: Gateways;
  readonly shared: SharedTunnels;
  readonly states: EndpointStates;
  readonly configurations: Configurations;
  readonly ownKeys: OwnKeys;
  readonly protections: Pick<Protections, 'renew'>;
  readonly resolve: Resolve;
  readonly inEndpoint: Queue;
}

/**
 * What containers that share a tunnel have of it: the first opens it, each has a link into it, and what their
 * network’s file says later, or is lost of it, is made good for those that run.
 */
export interface SharedContainers {
  /**
   * Opens the network’s tunnel as its files ask for it now, unless it is there.
   * @returns what makes the container’s link into it, for the engine to take; as Gateways’ `attach`
   * @throws Error
   */
  connect(
    network: Network,
    endpoint: Endpoint,
    tunnel: Tunnel,
    secrets: TunnelSecrets,
  ): Promise<() => Promise<void>>;
  /**
   * Makes a network’s shared tunnel the one that its files ask for now, for the containers that run, too.
   * @returns undefined if there is none
   */
  renewShared(network: Network, secrets: TunnelSecrets): Promise<'new key' | 'same key' | undefined>;
  /**
   * Makes shared tunnels anew whose namespaces were lost, and gives running containers their links into them again: what
   * a container that starts would do for itself alone.
   * @returns what came of networks where there was something to do
   */
  healSharedTunnels(): Promise<readonly HealedNetwork[]>;
  /** Ends shared tunnels that are of no use: half-made, gone, or of networks that are no more. @returns whose they were */
  deleteBrokenTunnels(): Promise<readonly string[]>;
  /** Ends the tunnel of a network that is being deleted, if it has one. */
  close(networkId: string): Promise<void>;
}

export interface HealedNetwork {
  readonly networkId: string;
  /** Containers that have their links again. */
  readonly containers: number;
  /** Why the tunnel, or a container’s link, could not be made; it is tried again the next time. */
  readonly failures: readonly { readonly endpointId?: string; readonly cause: string }[];
}

export function createSharedContainers({
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
}: SharedContainersDependencies): SharedContainers {
  /** What the links of shared tunnels were last made by; unknown of those that an earlier driver has left. */
  const applied = new Map<string, string>();

  return {
    async connect(network, endpoint, tunnel, secrets) {
      const keeper = await open(network, secrets);
      const port = await portOf(network, endpoint, tunnel);
      return () => gateways.attach(keeper, port, endpoint.endpointId);
    },

    renewShared: (network, secrets) =>
      inEndpoint(sharedIdOf(network.networkId), () => renew(network, secrets)),

    async healSharedTunnels() {
      const healed: HealedNetwork[] = [];
      for (const network of store.networks().filter(({ isShared }) => isShared)) {
        const outcome = await heal(network);
        if (outcome.containers > 0 || outcome.failures.length > 0) {
          healed.push(outcome);
        }
      }
      return healed;
    },

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

    async close(networkId) {
      await inEndpoint(sharedIdOf(networkId), () => shared.close(networkId));
      states.forget(sharedIdOf(networkId));
      applied.delete(networkId);
    },
  };

  function open(network: Network, secrets: TunnelSecrets): Promise<Keeper> {
    const { networkId } = network;
    return inEndpoint(sharedIdOf(networkId), async () => {
      const kept = await shared.kept(networkId);
      if (kept === undefined) {
        const renewed = configurations.movedPeers(networkId);
        const { privateKey } = sharedTunnelOf(network, secrets);
        const opened = await ownKeys.withOwnKey(network, privateKey, () => shared.open(network, secrets));
        states.touch(sharedIdOf(networkId));
        applied.set(networkId, fileOf(secrets));
        configurations.noteRenewed(networkId, renewed);
        return opened;
      }
      if (applied.get(networkId) !== fileOf(secrets)) {
        // As a link of its own would be made by the file as it is now.
        await renew(network, secrets);
      }
      return kept;
    });
  }

  async function renew(
    network: Network,
    secrets: TunnelSecrets,
  ): Promise<'new key' | 'same key' | undefined> {
    const { networkId, options } = network;
    const renewed = configurations.movedPeers(networkId);
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
        'AllowedIPs have changed: restart the containers, because their routes are set when they start',
      );
    }
    const change = renewalOf(status, device, renewed, tunnel.mtu);
    applied.delete(networkId);
    const apply = async () => {
      await shared.renew(network, secrets);
      if (change !== undefined) {
        await links.change(place, change);
      }
    };
    await (change?.privateKey === undefined
      ? apply()
      : ownKeys.withOwnKey(network, change.privateKey, apply));
    if (isOther) {
      await protections.renew(network, secrets, states.runningIn(networkId));
    }
    applied.set(networkId, fileOf(secrets));
    configurations.noteRenewed(networkId, renewed);
    return change?.privateKey === undefined ? 'same key' : 'new key';
  }

  async function heal(network: Network): Promise<HealedNetwork> {
    const { networkId } = network;
    const failures: { endpointId?: string; cause: string }[] = [];
    let containers = 0;
    const running = states.runningIn(networkId).map(({ endpointId }) => endpointId);
    try {
      const kept = await shared.kept(networkId);
      if (running.length === 0 || (kept !== undefined && shared.isWhole(networkId, kept))) {
        return { networkId, containers, failures };
      }
      const ports = kept === undefined ? new Set() : await gateways.ports(kept);
      const missing = running.filter((endpointId) => !ports.has(linkName(endpointId)));
      let keeper = kept;
      if (keeper === undefined || missing.length > 0) {
        const secrets = await configurations.readSecrets(network);
        const opened = await open(network, secrets);
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
    if (endpoint === undefined || joined?.stage !== 'marked' || states.isUndeleted(endpointId)) {
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
