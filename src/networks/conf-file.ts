import { formatPrefix, type Prefix } from '../wireguard/address.ts';
import type { WgQuickFile } from '../wireguard/config/wg-quick-reader.ts';
import { type Network, refuseSmallMtu } from './network.ts';
import { optionPrefix } from './options.ts';

/** @throws Error if a configuration file does not go with the network that names it */
export function refuseUnfit(network: Network, configuration: WgQuickFile): void {
  const { isOnePeer, options, subnets } = network;
  const { privateKey, addresses, peers, mtu } = configuration;
  const refuse = (cause: string) => {
    throw new Error(`configuration file ${options.conffile?.file}: ${cause}`);
  };
  if (peers.length === 0) {
    refuse('expected a [Peer], and there is none');
  }
  const [subject, bytes] =
    options.mtu === undefined
      ? [`configuration file ${options.conffile?.file}: MTU`, mtu]
      : [`option ${optionPrefix}mtu`, options.mtu];
  const prefixes = isOnePeer ? containerAddresses(configuration) : subnets.map(({ pool }) => pool);
  refuseSmallMtu(subject, bytes, prefixes);
  if (isOnePeer) {
    if (privateKey === undefined) {
      refuse(
        'expected a PrivateKey, as the container of a network with --ipam-driver null is the peer itself; for keys ' +
          `that are derived create it with --subnet, the default --ipam-driver and ${optionPrefix}seedfile`,
      );
    }
    if (addresses.length === 0) {
      refuse('expected an Address, which the container of a network with --ipam-driver null gets');
    }
    if (options.seed !== undefined) {
      refuse(`it gives the container its key: leave out ${optionPrefix}seed and ${optionPrefix}seedfile`);
    }
    return;
  }
  if (privateKey !== undefined) {
    refuse(
      'its PrivateKey is for one container: create the network with --ipam-driver null (compose: driver: "null", ' +
        'in quotes) and without --subnet. Several containers cannot share it yet',
    );
  }
  if (options.seed === undefined) {
    refuse(`it has no PrivateKey, so keys are derived: give ${optionPrefix}seedfile`);
  }
}

/** The addresses of the container that is the peer: the engine takes one of each family. */
export function containerAddresses({ addresses }: WgQuickFile): Prefix[] {
  return (['ipv4', 'ipv6'] as const).flatMap(
    (family) => addresses.find(({ address }) => address.kind() === family) ?? [],
  );
}

/** What of a configuration file is not done, in words for the log. */
export function unheeded(network: Network, configuration: WgQuickFile): string[] {
  const { ignored, addresses, listenPort } = configuration;
  const notGiven = network.isOnePeer
    ? addresses.filter((address) => !containerAddresses(configuration).includes(address)).map(formatPrefix)
    : addresses.map(formatPrefix);
  return [
    ...(ignored.length > 0 ? [`the driver ignores ${ignored.join(', ')} of the configuration file`] : []),
    ...(notGiven.length > 0
      ? [
          `no container gets ${notGiven.join(', ')} of the configuration file: ` +
            (network.isOnePeer ? 'the engine takes one address per family' : 'the engine assigns addresses'),
        ]
      : []),
    ...(!network.isOnePeer && listenPort !== undefined
      ? ['the driver ignores ListenPort of the configuration file: each container has a port of its own']
      : []),
  ];
}
