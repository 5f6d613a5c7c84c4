import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpointAddresses, refuseIpv6Of } from '../../src/networks/endpoint-addresses.ts';
import { formatPrefix, prefixOf } from '../../src/wireguard/address.ts';
import { articleOptions, network } from '../support/networks.ts';

const dual = network({ options: { ...articleOptions, ipv6: 'fd12::/96' } });

function addresses(given: Readonly<Record<string, string>>, made = dual, hasIpv6 = true) {
  const Interface = { Address: '', AddressIPv6: '', MacAddress: '', ...given };
  const request = { NetworkID: 'network', EndpointID: 'e1', Interface, Options: {} };
  const { given: ofEngine, answered, lacksIpv6 } = endpointAddresses(request, made, undefined, hasIpv6);
  return [ofEngine.map(formatPrefix), answered.map(formatPrefix), lacksIpv6];
}

test('the engine gives the IPv4 address, and the driver the IPv6 one that goes with it, if the kernel has IPv6', () => {
  const given = { Address: '192.168.5.2/24' };
  assert.deepEqual(addresses(given, network()), [['192.168.5.2/24'], [], false]);
  assert.deepEqual(addresses(given), [['192.168.5.2/24'], ['fd12::c0a8:502/120'], false]);
  assert.deepEqual(addresses(given, dual, false), [['192.168.5.2/24'], [], true]);
});

test('what the engine must not give: no address, another subnet’s, the hub’s, IPv6, a MAC', () => {
  for (const [given, message] of [
    [{}, /expected an IPv4 address of the network/],
    [{ Address: '10.0.0.2/24' }, /expected an IPv4 address of the network/],
    [{ Address: '192.168.5.1/24' }, /is the hub’s address: choose another --ip$/],
    [{ Address: '192.168.5.2/24', AddressIPv6: 'fd12::2/64' }, /start the container without --ip6/],
    [{ Address: '192.168.5.2/24', MacAddress: '02:42:ac:11:00:02' }, /without --mac-address$/],
  ] as const) {
    assert.throws(() => addresses(given), { message });
  }
});

test('an IPv6 prefix that holds an address of this host, other than the hub’s, has two meanings', () => {
  const address = (text: string) => prefixOf(`${text}/128`).address;
  refuseIpv6Of(dual, [address('fd13::1'), address('fd12::c0a8:501')], true);
  assert.throws(() => refuseIpv6Of(dual, [address('fd12::7')], true), /the prefix contains fd12::7/);
});

test('a network of IPv6 alone is none on a kernel without', () => {
  const ipv6Alone = network({ subnets: [['fd00::/64', 'fd00::1/64']] });
  refuseIpv6Of(ipv6Alone, [], true);
  assert.throws(() => refuseIpv6Of(ipv6Alone, [], false), /this kernel has no IPv6/);
});
