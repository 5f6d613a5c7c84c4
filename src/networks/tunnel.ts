import { derivePresharedKey, derivePrivateKey, type KeyScheme } from '../keys/derivation.ts';
import {
  type Address,
  covers,
  everything,
  hostPrefix,
  masked,
  type Prefix,
  prefixOf,
} from '../wireguard/address.ts';
import type { WgQuickFile } from '../wireguard/config/wg-quick-reader.ts';
import type { Device } from '../wireguard/device.ts';
import type { HostPort } from '../wireguard/host-port.ts';
import type { PresharedKey, PrivateKey, PublicKey } from '../wireguard/key.ts';
import type { Secret } from '../wireguard/secret.ts';
import { type Network, type Subnet, subnetOfAddress } from './network.ts';
import type { EndpointOptions, Mtu, NetworkOptions } from './options.ts';
import { type Route, routesOf } from './routing.ts';

/** A peer of a tunnel: a peer of WireGuard whose host need not be resolved yet. Absent means unset. */
export interface TunnelPeer {
  readonly publicKey: PublicKey;
  readonly presharedKey?: PresharedKey;
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
  readonly mtu: Mtu;
  /** What the container routes into it, apart from the kill switch’s own routes. */
  readonly routes: readonly Route[];
  /** Of the socket on the host; absent: the kernel chooses. */
  readonly listenPort?: number;
  /** Mark of the outer packets; 0 is none. */
  readonly fwmark?: number;
}

/** What the keys of a network's tunnels come from, as it was read. */
export interface TunnelSecrets {
  readonly seed?: Secret;
  /** What is in the configuration file of the network. */
  readonly configuration?: WgQuickFile;
  /** The key itself, instead of one that is derived. */
  readonly privateKey?: PrivateKey;
  readonly additional: Uint8Array;
  /** One of each address, or this one; absent is none. */
  readonly presharedKey?: 'derived' | PresharedKey;
}

/** Made-up gateways of a container that has no subnet: link-local, and the link has no neighbours to ask. */
const onLink = { ipv4: prefixOf('169.254.1.1/32').address, ipv6: prefixOf('fe80::1/128').address };

/**
 * The tunnel of an endpoint.
 * @throws Error for an address that is in none of the network's subnets
 */
export function tunnelOf(
  network: Network,
  addresses: readonly Prefix[],
  secrets: TunnelSecrets,
  own: Pick<EndpointOptions, 'keepalive' | 'mtu'> = {},
): Tunnel {
  const gateways = addresses.map((address) => {
    if (network.isOnePeer) {
      return onLink[address.address.kind()];
    }
    const subnet = subnetOfAddress(network, address);
    if (subnet === undefined) {
      throw new Error(`${address.address.toString()} is in no subnet of network ${network.networkId}`);
    }
    return subnet.gateway.address;
  });
  const { configuration } = secrets;
  const { derivation } = network.options;
  const derive = <Key>(key: (scheme: KeyScheme, address: Address) => Key): Key => {
    const { seed, additional } = secrets;
    if (seed === undefined) {
      throw new Error(`network ${network.networkId} has neither a seed nor a private key`);
    }
    return key({ seed, additional, derivation }, derivationAddress(addresses));
  };
  const presharedKey = secrets.presharedKey === 'derived' ? derive(derivePresharedKey) : secrets.presharedKey;
  const fwmark = network.options.fwmark ?? configuration?.fwmark;
  const listenPort = network.isOnePeer ? configuration?.listenPort : undefined;
  const peers = peersOf(network, secrets).map((peer) => ({
    ...peer,
    ...(presharedKey && { presharedKey }),
    ...(own.keepalive !== undefined && { persistentKeepaliveInterval: own.keepalive }),
  }));
  return {
    addresses,
    gateways,
    privateKey: secrets.privateKey ?? configuration?.privateKey ?? derive(derivePrivateKey),
    peers,
    mtu: mtuOf(network, secrets, own),
    routes: routesOf({ addresses, gateways, peers }, network.options, network.isShared),
    ...(listenPort !== undefined && { listenPort }),
    ...(fwmark !== undefined && { fwmark }),
  };
}

/** The MTU that a tunnel is to have. */
export function mtuOf(
  { options }: Pick<Network, 'options'>,
  { configuration }: Pick<TunnelSecrets, 'configuration'>,
  own: Pick<EndpointOptions, 'mtu'>,
): Mtu {
  return own.mtu ?? options.mtu ?? configuration?.mtu ?? 'auto';
}

/** The link that the containers of a network share, as its configuration file has it. */
export function sharedTunnelOf(network: Network, secrets: TunnelSecrets): Tunnel {
  const addresses = secrets.configuration?.addresses ?? [];
  return tunnelOf(
    { ...network, isOnePeer: true },
    addresses.map(({ address }) => hostPrefix(address)),
    secrets,
  );
}

/** The peers of every tunnel of a network, without the preshared keys that its options name. */
export function peersOf(
  network: Network,
  { configuration }: Pick<TunnelSecrets, 'configuration'>,
): readonly TunnelPeer[] {
  const { peer, peerkey, keepalive } = network.options;
  if (peer === undefined || peerkey === undefined) {
    return (configuration?.peers ?? []).map(({ line: _, ...ofFile }) => ({
      ...ofFile,
      ...(keepalive !== undefined && { persistentKeepaliveInterval: keepalive }),
    }));
  }
  return [
    {
      publicKey: peerkey,
      endpoint: peer,
      ...(keepalive !== undefined && { persistentKeepaliveInterval: keepalive }),
      allowedIps: hubAllowedIps(network),
    },
  ];
}

/** What the tunnels of a network take packets from, and have a way for, by whichever peer. */
export function allowedIpsOf({
  peers,
}: {
  readonly peers: readonly Pick<TunnelPeer, 'allowedIps'>[];
}): readonly Prefix[] {
  return peers.flatMap(({ allowedIps }) => allowedIps);
}

/**
 * A tunnel as WireGuard is told of it.
 * @param addresses of the peers' hosts; a peer whose host has none comes without an endpoint
 */
export function resolved(
  { privateKey, listenPort, fwmark, peers }: Tunnel,
  addresses: ReadonlyMap<string, Address | undefined>,
): Device {
  return {
    privateKey,
    ...(listenPort !== undefined && { listenPort }),
    ...(fwmark !== undefined && { fwmark }),
    peers: peers.map(({ endpoint, ...peer }) => {
      const address = endpoint && addresses.get(endpoint.host);
      return endpoint && address ? { ...peer, endpoint: { address, port: endpoint.port } } : peer;
    }),
  };
}

/** The allowed IPs of the hub, where the network’s options name one. */
export function hubAllowedIps({
  internal,
  options,
  subnets,
}: {
  readonly internal: boolean;
  readonly options: Pick<NetworkOptions, 'allowedips'>;
  readonly subnets: readonly Pick<Subnet, 'pool'>[];
}): readonly Prefix[] {
  const asked = internal ? [] : (options.allowedips ?? everything);
  // The subnet always: its other containers are reached through the hub.
  const missing = subnets
    .map(({ pool }) => masked(pool))
    .filter((pool) => !asked.some((prefix) => covers(prefix, pool)));
  return [...asked, ...missing];
}

/** The IPv4 address where there is one, so that a second family changes no key. */
function derivationAddress(addresses: readonly Prefix[]): Address {
  const [first] = addresses.toSorted(
    (a, b) => Number(a.address.kind() === 'ipv6') - Number(b.address.kind() === 'ipv6'),
  );
  if (first === undefined) {
    throw new Error('expected an address to derive a key from, got none');
  }
  return first.address;
}
