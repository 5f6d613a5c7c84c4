import { covers, formatPrefix, hostPrefix, type Prefix, parseAddress } from '../wireguard/address.ts';
import type { WgQuickFile } from '../wireguard/config/wg-quick-reader.ts';
import { publicKeyOf } from '../wireguard/key.ts';
import { type Network, refuseSmallMtu } from './network.ts';
import { type EndpointOptions, optionPrefix } from './options.ts';

/** @throws Error if a configuration file does not go with the network that names it */
export function refuseUnfit(network: Network, configuration: WgQuickFile): void {
  const { isOnePeer, isShared, options } = network;
  const { privateKey, addresses, peers, mtu } = configuration;
  const refuse = (cause: string) => {
    throw new Error(`configuration file ${options.conffile?.file}: ${cause}`);
  };
  if (peers.length === 0) {
    refuse('expected a [Peer], got none');
  }
  if (peers.every(({ allowedIps }) => allowedIps.length === 0)) {
    refuse('no [Peer] has AllowedIPs, so nothing would go through the tunnel: 0.0.0.0/0, ::/0 is everything');
  }
  // WireGuard drops such a peer in silence.
  const itself = privateKey && peers.find(({ publicKey }) => publicKey === publicKeyOf(privateKey));
  if (itself !== undefined) {
    refuse(
      `the PublicKey of the peer in line ${itself.line} belongs to the file’s own PrivateKey: expected the key of ` +
        'the other side',
    );
  }
  const [subject, bytes] =
    options.mtu === undefined
      ? [`configuration file ${options.conffile?.file}: MTU`, mtu]
      : [`option ${optionPrefix}mtu`, options.mtu];
  refuseSmallMtu(
    subject,
    bytes,
    isOnePeer ? containerAddresses(configuration) : poolsOf(network, configuration),
  );
  if (isOnePeer) {
    if (privateKey === undefined) {
      refuse(
        'expected a PrivateKey, because on a network with --ipam-driver null the container is the file’s peer; ' +
          `for derived keys, create the network with --subnet, the default --ipam-driver and ${optionPrefix}seedfile`,
      );
    }
    if (addresses.length === 0) {
      refuse(
        'expected an Address, because on a network with --ipam-driver null the container gets the file’s',
      );
    }
    if (options.seed !== undefined) {
      refuse(`its PrivateKey is the container’s: leave out ${optionPrefix}seed and ${optionPrefix}seedfile`);
    }
    return;
  }
  if (!isShared) {
    if (privateKey !== undefined) {
      refuse(
        `it has a PrivateKey, which excludes a seed: leave out ${optionPrefix}seed and ${optionPrefix}seedfile, ` +
          'and containers share the file’s tunnel',
      );
    }
    return;
  }
  if (privateKey === undefined) {
    refuse(`it has no PrivateKey, so keys are derived: give ${optionPrefix}seedfile`);
  }
  if (addresses.length === 0) {
    refuse('expected an Address, which the shared tunnel gets');
  }
  if (options.ipv6 !== undefined && !hasIpv6(configuration)) {
    refuse(`it has no IPv6 Address, so the tunnel cannot carry IPv6: leave out ${optionPrefix}ipv6`);
  }
  const servers = configuration.dns.flatMap((server) => parseAddress(server) ?? []);
  const pools = poolsOf(network, configuration);
  for (const { address } of [...addresses, ...servers.map(hostPrefix)]) {
    const pool = pools.find((candidate) => covers(candidate, hostPrefix(address)));
    if (pool !== undefined) {
      refuse(
        `its ${address.toString()} is also in the network’s subnet ${formatPrefix(pool)}: create the network with ` +
          'another --subnet',
      );
    }
  }
  for (const { line, allowedIps } of peers) {
    for (const prefix of allowedIps) {
      const pool = pools.find((candidate) => covers(candidate, prefix));
      if (pool !== undefined) {
        refuse(
          `AllowedIPs of the peer in line ${line}: ${formatPrefix(prefix)} is in the network’s subnet ` +
            `${formatPrefix(pool)}, whose addresses belong to containers: create the network with another --subnet`,
        );
      }
    }
  }
}

/** @throws Error for options of an endpoint that its own link would have, where it shares one */
export function refuseOwnLinkOptions(own: EndpointOptions): void {
  const surplus = (['privatekeyfile', 'presharedkeyfile', 'keepalive'] as const).find(
    (name) => own[name] !== undefined,
  );
  if (surplus !== undefined) {
    throw new Error(
      `option ${optionPrefix}${surplus} does not apply to a shared tunnel, whose configuration file sets this: ` +
        'leave it out',
    );
  }
}

/** Has the tunnel that containers share IPv6? */
export function hasIpv6({ addresses }: Pick<WgQuickFile, 'addresses'>): boolean {
  return addresses.some(({ address }) => address.kind() === 'ipv6');
}

/** What containers get addresses of. */
function poolsOf({ isShared, subnets }: Network, configuration: WgQuickFile): Prefix[] {
  return subnets
    .map(({ pool }) => pool)
    .filter(({ address }) => !isShared || address.kind() === 'ipv4' || hasIpv6(configuration));
}

/** The addresses of the container that is the peer: the engine takes one of each family. */
export function containerAddresses({ addresses }: WgQuickFile): Prefix[] {
  return (['ipv4', 'ipv6'] as const).flatMap(
    (family) => addresses.find(({ address }) => address.kind() === family) ?? [],
  );
}

/** What of a configuration file is not done, in words for the log. */
export function unheeded(network: Network, configuration: WgQuickFile): string[] {
  const { ignored, addresses, dns, searchDomains, listenPort, peers } = configuration;
  const given = network.isShared ? addresses : network.isOnePeer ? containerAddresses(configuration) : [];
  const notGiven = addresses.filter((address) => !given.includes(address)).map(formatPrefix);
  return [
    ...(ignored.length > 0 ? [`the driver ignores ${ignored.join(', ')} of the configuration file`] : []),
    ...(notGiven.length > 0
      ? [
          `no container gets ${notGiven.join(', ')} of the configuration file: ` +
            (network.isOnePeer ? 'the engine takes one address per family' : 'the engine assigns addresses'),
        ]
      : []),
    ...(searchDomains.length > 0
      ? [
          `no container gets the search domains of the configuration file (${searchDomains.join(', ')}): start ` +
            'containers with --dns-search (compose: `dns_search:`)',
        ]
      : []),
    ...(peers.every(({ endpoint }) => endpoint === undefined)
      ? [
          'no peer of the configuration file has an Endpoint, so nothing passes until the other side begins: expected ' +
            'Endpoint = HOST:PORT unless it does',
        ]
      : []),
    // The gateway’s address that containers ask is the IPv4 one.
    ...(network.isShared && !dns.some((server) => parseAddress(server)?.kind() === 'ipv4')
      ? [
          'the configuration file names no IPv4 DNS server, so the network’s gateway does not resolve names: add ' +
            'DNS to the file, or start containers with --dns and a server behind the tunnel (compose: `dns:`)',
        ]
      : []),
    ...(!network.isOnePeer && !network.isShared && listenPort !== undefined
      ? ['the driver ignores ListenPort of the configuration file: each container has its own port']
      : []),
  ];
}
