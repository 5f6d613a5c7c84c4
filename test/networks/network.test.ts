import assert from 'node:assert/strict';
import { test } from 'node:test';
import { networkOf, recordOf, subnetOfAddress } from '../../src/networks/network.ts';
import { formatPrefix, parsePrefix } from '../../src/wireguard/address.ts';
import { articleOptions, createNetworkRequest, network } from '../support/networks.ts';

test('a record holds our options as they were given, and no others', () => {
  const request = createNetworkRequest();
  const generic = { ...(request.Options['com.docker.network.generic'] as object), other: 'x' };
  const record = recordOf({ ...request, Options: { 'com.docker.network.generic': generic } });
  assert.deepEqual(record, {
    networkId: 'network',
    internal: false,
    subnets: [{ pool: '192.168.5.0/24', gateway: '192.168.5.1/24' }],
    options: articleOptions,
  });
});

test('a record decodes to the same network after JSON', () => {
  const record = recordOf(createNetworkRequest({ internal: true }));
  const { options, ...rest } = networkOf(record);
  const again = networkOf(JSON.parse(JSON.stringify(record)));
  const { options: _, ...restAgain } = again;
  assert.deepEqual(restAgain, rest);
  assert.deepEqual(again.options.peer, options.peer);
  assert.equal(again.internal, true);
});

test('the subnet of an address, with several', () => {
  const { subnets } = network({
    subnets: [
      ['192.168.5.0/24', '192.168.5.1/24'],
      ['10.0.0.0/16', '10.0.0.1/16'],
    ],
  });
  const of = (text: string) => {
    const address = parsePrefix(text);
    assert(address);
    const found = subnetOfAddress({ ...network(), subnets }, address);
    return found && formatPrefix(found.pool);
  };
  assert.equal(of('10.0.7.7/16'), '10.0.0.0/16');
  assert.equal(of('192.168.5.9/24'), '192.168.5.0/24');
  assert.equal(of('192.168.6.9/24'), undefined);
  assert.equal(of('fd00::1/64'), undefined);
});

test('IPv6 is refused, by the option or by data', () => {
  const request = createNetworkRequest();
  const IPv6Data = [{ Pool: 'fd00::/64', Gateway: 'fd00::1/64' }];
  assert.throws(() => recordOf({ ...request, IPv6Data }), /IPv6 are not supported yet/);
  const Options = { ...request.Options, 'com.docker.network.enable_ipv6': true };
  assert.throws(() => recordOf({ ...request, Options }), /IPv6 are not supported yet/);
});

test('no list of subnets at all, as the engine sends it for an unused family, is refused as none', () => {
  for (const IPv4Data of [null, undefined, []] as never[]) {
    assert.throws(
      () => networkOf(recordOf({ ...createNetworkRequest(), IPv4Data: IPv4Data ?? [], IPv6Data: [] })),
      /no IPv4 subnet/,
    );
  }
});

for (const subnet of [
  ['0.0.0.0/0', ''],
  ['', ''],
  ['192.168.5.0/24', ''],
  ['192.168.5.0', '192.168.5.1/24'],
  ['192.168.5.0/24', '192.168.5.1'],
] as const) {
  test(`refused: subnet ${JSON.stringify(subnet)}`, () => {
    assert.throws(() => network({ subnets: [subnet] }), /no subnet and gateway, as with --ipam-driver null/);
  });
}

test('--internal and allowedips contradict one another', () => {
  const options = { ...articleOptions, allowedips: '10.0.0.0/8' };
  assert.throws(() => network({ internal: true, options }), /allowedips does not go with --internal/);
});

test('options that are no object are none', () => {
  for (const generic of [null, 'x', 5, [], undefined]) {
    const request = { ...createNetworkRequest(), Options: { 'com.docker.network.generic': generic } };
    assert.throws(() => networkOf(recordOf(request)), /option io\.bestov\.wg\.peer is missing/);
  }
});
