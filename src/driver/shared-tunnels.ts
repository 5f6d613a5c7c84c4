import type { Gateways } from '../gateway/gateways.ts';
import type { Gateway } from '../gateway/setup.ts';
import type { Links, Place } from '../links/links.ts';
import type { Log } from '../log.ts';
import type { Network } from '../networks/network.ts';
import { allowedIpsOf, sharedTunnelOf, type Tunnel, type TunnelSecrets } from '../networks/tunnel.ts';
import { type Keeper, namespaceOf } from '../programs/keeper.ts';
import type { Store } from '../state/store.ts';
import { parseAddress } from '../wireguard/address.ts';
import type { Device } from '../wireguard/device.ts';
import { linkName } from '../wireguard/link-name.ts';

export interface SharedTunnelsDependencies {
  readonly store: Pick<Store, 'gateway' | 'gateways' | 'putGateway' | 'removeGateway'>;
  readonly links: Pick<Links, 'create' | 'configure' | 'delete' | 'deleteUnfinished'>;
  readonly gateways: Gateways;
  /** What a tunnel is now, by its peers’ names and the way to them. */
  readonly resolve: (network: Network, tunnel: Tunnel) => Promise<{ device: Device; mtu: number }>;
  readonly hasIpv6: boolean;
  readonly log: Log;
}

/**
 * The links that the containers of a network share, each in a namespace of its own. Whoever calls sees to it that
 * for each network there is one call at a time.
 */
export interface SharedTunnels {
  /** Makes the link, unless it is there. @returns who holds its namespace. @throws Error; then nothing is left */
  open(network: Network, secrets: TunnelSecrets): Promise<Keeper>;
  /** Gives the namespace the addresses and DNS servers that the configuration file says now. */
  renew(network: Network, secrets: TunnelSecrets): Promise<void>;
  /** Ends the namespace, with the links of all containers in it, and what a kill has left of one. */
  close(networkId: string): Promise<void>;
  /** Deletes a container’s link. Without the namespace there is none. */
  detach(networkId: string, link: string): Promise<void>;
  /** Is a namespace recorded that is of no use: half-made, or gone? */
  isBroken(networkId: string): Promise<boolean>;
  /** Who holds the namespace, if it is of use. */
  kept(networkId: string): Promise<Keeper | undefined>;
  /** Were all containers seen in this namespace? One that an earlier driver has left was not looked into yet. */
  isWhole(networkId: string, keeper: Keeper): boolean;
  noteWhole(networkId: string, keeper: Keeper): void;
  /** Where the link is; undefined while there is none. */
  place(networkId: string): Place | undefined;
}

const prefix = 'shared-';

/** What the link has for an endpoint’s id. */
export function sharedIdOf(networkId: string): string {
  return prefix + networkId;
}

/** The network whose containers share a link with such a mark; undefined for an endpoint’s. */
export function networkOfSharedId(endpointId: string): string | undefined {
  return endpointId.startsWith(prefix) ? endpointId.slice(prefix.length) : undefined;
}

export function createSharedTunnels({
  store,
  links,
  gateways,
  resolve,
  hasIpv6,
  log,
}: SharedTunnelsDependencies): SharedTunnels {
  const nameOf = (networkId: string) => linkName(sharedIdOf(networkId));

  const whole = new Map<string, string>();
  const startOf = ({ pid, startTime }: Keeper) => `${pid} ${startTime}`;

  const kept = async (networkId: string) => {
    const record = store.gateway(networkId);
    return record?.isOpen && (await gateways.isKept(record)) ? record : undefined;
  };

  const close = async (networkId: string) => {
    const record = store.gateway(networkId);
    if (record === undefined) {
      return;
    }
    await gateways.end(record, nameOf(networkId));
    if (!record.isOpen) {
      // A kill came before the link was in the namespace.
      await links.deleteUnfinished(nameOf(networkId));
    }
    await store.removeGateway(networkId);
    whole.delete(networkId);
  };

  return {
    close,

    async open(network, secrets) {
      const { networkId } = network;
      const known = await kept(networkId);
      if (known !== undefined) {
        return known;
      }
      await close(networkId);
      const tunnel = sharedTunnelOf(network, secrets);
      const { device, mtu } = await resolve(network, tunnel);
      const link = nameOf(networkId);
      // Somebody else's of that name: then this refuses.
      await links.delete(link);
      const { keeper, stay } = await gateways.begin(networkId);
      await store.putGateway({ networkId, ...keeper, isOpen: false });
      stay();
      try {
        await links.create({ name: link, mtu, endpointId: sharedIdOf(networkId) });
        await links.configure(link, device);
        await gateways.open(keeper, gatewayOf(network, tunnel, secrets, hasIpv6));
        await store.putGateway({ networkId, ...keeper, isOpen: true });
      } catch (error) {
        await close(networkId).catch((cause) => {
          log.warn('a half-made shared tunnel could not be deleted', {
            network: networkId,
            cause: String(cause),
          });
        });
        throw error;
      }
      log.info('shared tunnel opened', { network: networkId, link, pid: keeper.pid });
      return keeper;
    },

    async renew(network, secrets) {
      const record = store.gateway(network.networkId);
      if (record?.isOpen) {
        await gateways.renew(record, gatewayOf(network, sharedTunnelOf(network, secrets), secrets, hasIpv6));
      }
    },

    async detach(networkId, link) {
      const record = store.gateway(networkId);
      if (record !== undefined) {
        await gateways.detach(record, link);
      }
    },

    async isBroken(networkId) {
      return store.gateway(networkId) !== undefined && (await kept(networkId)) === undefined;
    },

    kept,

    isWhole: (networkId, keeper) => whole.get(networkId) === startOf(keeper),

    noteWhole(networkId, keeper) {
      whole.set(networkId, startOf(keeper));
    },

    place(networkId) {
      const record = store.gateway(networkId);
      return record?.isOpen
        ? { name: nameOf(networkId), endpointId: sharedIdOf(networkId), sandbox: namespaceOf(record) }
        : undefined;
    },
  };
}

/** What a network’s configuration file makes of its gateway, on a kernel that has IPv6 or not. */
export function gatewayOf(
  { networkId, subnets, options }: Network,
  tunnel: Tunnel,
  { configuration }: Pick<TunnelSecrets, 'configuration'>,
  hasIpv6: boolean,
): Gateway {
  const isPossible = (address: { kind(): 'ipv4' | 'ipv6' }) => hasIpv6 || address.kind() === 'ipv4';
  return {
    link: linkName(sharedIdOf(networkId)),
    addresses: tunnel.addresses.filter(({ address }) => isPossible(address)),
    prefixes: allowedIpsOf(tunnel).filter(({ address }) => isPossible(address)),
    pools: subnets.map(({ pool }) => pool).filter(({ address }) => isPossible(address)),
    gateways: subnets.map(({ gateway }) => gateway.address).filter(isPossible),
    dns: (configuration?.dns ?? []).flatMap((server) => parseAddress(server) ?? []),
    hasIcc: options.icc !== 'off',
  };
}
