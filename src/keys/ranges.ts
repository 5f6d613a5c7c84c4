import { unknownName } from '../nearest.ts';
import {
  type Address,
  type AddressRange,
  bits,
  compareAddresses,
  countOf,
  covers,
  formatPrefix,
  isWithin,
  masked,
  type Prefix,
  parseAddress,
  parsePrefix,
  plus,
  rangeOf,
  sameAddress,
} from '../wireguard/address.ts';

/** As many keys as anybody needs of one request; a mistyped IPv6 prefix asks for more than there is time. */
export const maxAddresses = 2n ** 20n;

/**
 * Parses addresses as users write them: one (`192.168.5.2`), a prefix (`192.168.5.0/24`: the addresses
 * that containers can have in it) or a range (`192.168.5.10-192.168.5.19`).
 * @param subnets of which a prefix may be a part: Docker assigns the first and the last address of an `--ip-range` too
 * @throws Error that says what was expected
 */
export function parseRange(text: string, subnets: readonly Prefix[] = []): AddressRange {
  const range = singleAddress(text) ?? fromPrefix(text, subnets) ?? fromTo(text);
  if (range === undefined) {
    const name = unknownName(text);
    throw new Error(
      `${name === text ? text || 'an empty word' : `a word ${name}`}: expected an address, a prefix (192.168.5.0/24) or a range (192.168.5.2-192.168.5.9)`,
    );
  }
  if (countOf(range) > maxAddresses) {
    throw new Error(`${text}: expected at most ${maxAddresses} addresses, got ${countOf(range)}`);
  }
  return range;
}

/**
 * The addresses of a subnet that can be a container's or the hub's: of IPv4 without the network and the broadcast
 * address, of IPv6 without the subnet-router anycast address (RFC 4291 section 2.6.1), where there are such (RFC 3021
 * and RFC 6164: not in a /31 or a /127).
 */
export function hostsOf(subnet: Prefix): AddressRange {
  const { first, last } = rangeOf(subnet);
  if (bits(subnet.address) - subnet.length < 2) {
    return { first, last };
  }
  return { first: plus(first, 1n), last: subnet.address.kind() === 'ipv4' ? plus(last, -1n) : last };
}

/** Can an address be a container's or the hub's in a subnet? */
export function isHostOf(subnet: Prefix, address: Address): boolean {
  return isWithin(hostsOf(subnet), address);
}

function singleAddress(text: string): AddressRange | undefined {
  const address = parseAddress(text);
  return address && { first: address, last: address };
}

function fromPrefix(text: string, subnets: readonly Prefix[]): AddressRange | undefined {
  const prefix = parsePrefix(text);
  if (prefix === undefined) {
    return undefined;
  }
  const whole = rangeOf(requireMasked(prefix));
  const hosts = hostsOf(subnets.find((subnet) => covers(subnet, prefix)) ?? prefix);
  return {
    first: compareAddresses(whole.first, hosts.first) < 0 ? hosts.first : whole.first,
    last: compareAddresses(whole.last, hosts.last) > 0 ? hosts.last : whole.last,
  };
}

function fromTo(text: string): AddressRange | undefined {
  const [first, last, ...rest] = text
    .split('-')
    .map((part): Address | undefined => parseAddress(part.trim()));
  if (first === undefined || last === undefined || rest.length > 0 || first.kind() !== last.kind()) {
    return undefined;
  }
  if (compareAddresses(first, last) > 0) {
    throw new Error(`${text}: expected the lower address first`);
  }
  return { first, last };
}

/** `192.168.5.2/24` may mean the address or the subnet, so it is neither. @throws Error */
export function requireMasked(prefix: Prefix): Prefix {
  if (!sameAddress(prefix.address, masked(prefix).address)) {
    const { address } = prefix;
    throw new Error(
      `${formatPrefix(prefix)}: expected ${formatPrefix(masked(prefix))} for the subnet or ${address.toString()} for the address`,
    );
  }
  return prefix;
}
