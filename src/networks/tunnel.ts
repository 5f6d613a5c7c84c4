import { derivePrivateKey } from '../keys/derivation.ts';
import { type Address, covers, masked, type Prefix, prefixOf } from '../wireguard/address.ts';
import type { Device } from '../wireguard/device.ts';
import type { HostPort } from '../wireguard/host-port.ts';
import type { PrivateKey, PublicKey } from '../wireguard/key.ts';
import type { Secret } from '../wireguard/secret.ts';
import { type Network, subnetOfAddress } from './network.ts';

/** A peer of a tunnel: a peer of WireGuard whose host need not be resolved yet. Absent means unset. */
export interface TunnelPeer {
  readonly publicKey: PublicKey;
  readonly endpoint?: HostPort;
  /** Seconds, 0 to 65535; 0 is off. */
  readonly persistentKeepaliveInterval?: number;
  readonly allowedIps: readonly Prefix[];
}

/** What a container's link is to be, whoever makes it and wherever it is. */
export interface Tunnel {
  /** The container's, each with the length of its subnet. */
  readonly addresses: readonly Prefix[];
  /** The hub's address in the subnet of each of them, in their order. */
  readonly gateways: readonly Address[];
  readonly privateKey: PrivateKey;
  readonly peers: readonly TunnelPeer[];
  /** Bytes. */
  readonly mtu: number;
}

/** What an endpoint's key comes from: a seed, which its address derives it from, or the key itself. */
export type KeySource = { readonly seed: Secret } | { readonly privateKey: PrivateKey };

const everything = [prefixOf('0.0.0.0/0'), prefixOf('::/0')];

/**
 * The tunnel of an endpoint.
 * @throws Error for an address that is in none of the network's subnets
 */
export function tunnelOf(network: Network, addresses: readonly Prefix[], key: KeySource): Tunnel {
  const gateways = addresses.map((address) => {
    const subnet = subnetOfAddress(network, address);
    if (subnet === undefined) {
      throw new Error(`${address.address.toString()} is in no subnet of network ${network.networkId}`);
    }
    return subnet.gateway.address;
  });
  return {
    addresses,
    gateways,
    privateKey: 'privateKey' in key ? key.privateKey : privateKeyOf(network, addresses, key.seed),
    peers: peersOf(network),
    mtu: network.options.mtu,
  };
}

/** The peers of every tunnel of a network. */
export function peersOf(network: Network): readonly TunnelPeer[] {
  const { peer, peerkey, keepalive } = network.options;
  return [
    {
      publicKey: peerkey,
      endpoint: peer,
      persistentKeepaliveInterval: keepalive,
      allowedIps: hubAllowedIps(network),
    },
  ];
}

/** What the tunnels of a network take packets from, and have a way for, by whichever peer. */
export function allowedIpsOf({ peers }: { readonly peers: readonly TunnelPeer[] }): readonly Prefix[] {
  return peers.flatMap(({ allowedIps }) => allowedIps);
}

/**
 * A tunnel as WireGuard is told of it.
 * @param addresses of the peers' hosts; a peer whose host has none comes without an endpoint
 */
export function resolved(
  { privateKey, peers }: Tunnel,
  addresses: ReadonlyMap<string, Address | undefined>,
): Device {
  return {
    privateKey,
    peers: peers.map(({ endpoint, ...peer }) => {
      const address = endpoint && addresses.get(endpoint.host);
      return endpoint && address ? { ...peer, endpoint: { address, port: endpoint.port } } : peer;
    }),
  };
}

function hubAllowedIps({ internal, options, subnets }: Network): readonly Prefix[] {
  const asked = internal ? [] : (options.allowedips ?? everything);
  // The subnet always: its other containers are reached through the hub.
  const missing = subnets
    .map(({ pool }) => masked(pool))
    .filter((pool) => !asked.some((prefix) => covers(prefix, pool)));
  return [...asked, ...missing];
}

/** Of the IPv4 address where there is one, so that a second family changes no key. */
function privateKeyOf({ options }: Network, addresses: readonly Prefix[], seed: Secret): PrivateKey {
  const { additional, derivation } = options;
  const [first] = [...addresses].sort(
    (a, b) => Number(a.address.kind() === 'ipv6') - Number(b.address.kind() === 'ipv6'),
  );
  if (first === undefined) {
    throw new Error('a key is derived from an address, and there is none');
  }
  return derivePrivateKey({ seed, additional, derivation }, first.address);
}
