import type { CreateEndpointRequest } from '../plugin/api.ts';
import { type Address, hostPrefix, type Prefix, parsePrefix, sameAddress } from '../wireguard/address.ts';
import type { WgQuickFile } from '../wireguard/config/wg-quick-reader.ts';
import { containerAddresses, hasIpv6 as hasFileIpv6, refuseUnfit } from './conf-file.ts';
import { ipv6AddressOf, ipv6PrefixOf, refuseOverlap } from './ipv6.ts';
import { type Network, subnetOfAddress } from './network.ts';

/** The addresses of an endpoint, with the lengths of their subnets. */
export interface EndpointAddresses {
  /** Those that the engine gives. */
  readonly given: readonly Prefix[];
  /** Those that the driver answers. */
  readonly answered: readonly Prefix[];
  /** Does the network have IPv6, and the kernel none? */
  readonly lacksIpv6: boolean;
}

/**
 * An endpoint's addresses: which the engine gives, and which the driver answers.
 * @param hasIpv6 whether this kernel has
 * @throws Error that says what the user must change
 */
export function endpointAddresses(
  request: CreateEndpointRequest,
  network: Network,
  configuration: WgQuickFile | undefined,
  hasIpv6: boolean,
): EndpointAddresses {
  refuseMac(request);
  if (configuration !== undefined) {
    refuseUnfit(network, configuration);
  }
  if (network.isOnePeer && configuration !== undefined) {
    if (request.Interface?.Address || request.Interface?.AddressIPv6) {
      throw new Error(
        'the network’s configuration file sets the container’s address: start the container without --ip and --ip6',
      );
    }
    return { given: [], answered: addressesOfFile(network, configuration, hasIpv6), lacksIpv6: false };
  }
  const given = addressOf(request, network);
  const isOfIpv4Alone = network.isShared && !(configuration && hasFileIpv6(configuration));
  const derived = isOfIpv4Alone ? undefined : derivedIpv6(network, given);
  return {
    given: [given],
    answered: derived === undefined || !hasIpv6 ? [] : [derived],
    lacksIpv6: derived !== undefined && !hasIpv6,
  };
}

/**
 * The addresses of the one container, which is the peer that the configuration file is made for.
 * @throws Error if this kernel can give it none of them
 */
export function addressesOfFile(
  { options }: Network,
  configuration: WgQuickFile,
  hasIpv6: boolean,
): readonly Prefix[] {
  const addresses = containerAddresses(configuration).filter(
    ({ address }) => hasIpv6 || address.kind() === 'ipv4',
  );
  if (addresses.length === 0) {
    throw new Error(
      `configuration file ${options.conffile?.file}: it has only IPv6 addresses, and this kernel has no IPv6: ` +
        'add an IPv4 Address, or boot this host without ipv6.disable=1',
    );
  }
  return addresses;
}

/**
 * @param ofHost addresses of this host
 * @throws Error for a network whose IPv6 addresses cannot be what they are to be on it
 */
export function refuseIpv6Of(
  { options: { ipv6 }, subnets }: Network,
  ofHost: readonly Address[],
  hasIpv6: boolean,
): void {
  if (!hasIpv6 && subnets.length > 0 && subnets.every(({ pool }) => pool.address.kind() === 'ipv6')) {
    throw new Error(
      'this kernel has no IPv6, so an IPv6-only network cannot work: boot this host without ipv6.disable=1',
    );
  }
  if (ipv6 !== undefined) {
    // A hub on this very host has the gateway's.
    const ofHub = (address: Address) => subnets.some(({ gateway }) => sameAddress(gateway.address, address));
    refuseOverlap(
      ipv6,
      ofHost.filter((address) => !ofHub(address)),
    );
  }
}

/** The IPv6 address that goes with an IPv4 one, on a network that has IPv6. */
function derivedIpv6({ ipv6, isShared }: Network, ipv4: Prefix): Prefix | undefined {
  if (ipv6 !== undefined && isShared) {
    // Alone on its link: containers reach one another by the gateway.
    return hostPrefix(ipv6AddressOf(ipv6, ipv4.address));
  }
  return ipv6 && ipv6PrefixOf(ipv6, ipv4);
}

/**
 * The address that the engine gives, with the length of its subnet.
 * @throws Error that says what the user must change
 */
function addressOf({ Interface }: CreateEndpointRequest, network: Network): Prefix {
  const isIpv6 = network.record.subnets.every(({ pool }) => parsePrefix(pool)?.address.kind() === 'ipv6');
  if (!isIpv6 && Interface?.AddressIPv6) {
    throw new Error(
      'the driver derives the IPv6 address from the IPv4 one: start the container without --ip6, and choose the ' +
        'IPv4 address with --ip',
    );
  }
  const [field, family, text] = isIpv6
    ? ['AddressIPv6', 'IPv6', Interface?.AddressIPv6]
    : ['Address', 'IPv4', Interface?.Address];
  const address = parsePrefix(text ?? '');
  const subnet = address && subnetOfAddress(network, address);
  if (address === undefined || subnet === undefined) {
    throw new Error(
      `Interface.${field}: expected an ${family} address of the network, with its prefix length`,
    );
  }
  if (sameAddress(address.address, subnet.gateway.address)) {
    const option = isIpv6 ? '--ip6' : '--ip';
    throw new Error(`${address.address.toString()} is the hub’s address: choose another ${option}`);
  }
  return address;
}

function refuseMac({ Interface }: CreateEndpointRequest): void {
  if (Interface?.MacAddress) {
    throw new Error('a WireGuard link has no MAC address: start the container without --mac-address');
  }
}
