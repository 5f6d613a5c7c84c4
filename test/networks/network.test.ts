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

test('Docker’s own MTU is ours, unless ours is there', () => {
  const ofDocker = 'com.docker.network.driver.mtu';
  const mtuOf = (options: Record<string, unknown>) => {
    const request = createNetworkRequest({ options: { ...articleOptions, ...options } });
    const generic = { ...(request.Options['com.docker.network.generic'] as object), [ofDocker]: '1300' };
    return networkOf(recordOf({ ...request, Options: { 'com.docker.network.generic': generic } })).options
      .mtu;
  };
  assert.equal(mtuOf({}), 1300);
  assert.equal(mtuOf({ mtu: '1380' }), 1380);
  assert.equal(mtuOf({ mtu: 'auto' }), 'auto');
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

test('IPv6 of the engine beside IPv4 is refused, by the option or by data, and what to use is said', () => {
  const request = createNetworkRequest();
  const IPv6Data = [{ Pool: 'fd00::/64', Gateway: 'fd00::1/64' }];
  const message = /without --ipv6 \(compose: enable_ipv6\) and with -o io\.bestov\.wg\.ipv6=PREFIX/;
  assert.throws(() => recordOf({ ...request, IPv6Data }), message);
  const Options = { ...request.Options, 'com.docker.network.enable_ipv6': true };
  assert.throws(() => recordOf({ ...request, Options }), message);
});

test('IPv6 alone has the engine’s subnets', () => {
  const made = networkOf(recordOf(ipv6Request()));
  assert.deepEqual(
    made.subnets.map(({ pool, gateway }) => [formatPrefix(pool), formatPrefix(gateway)]),
    [['fd00:5::/64', 'fd00:5::1/64']],
  );
});

test('option ipv6: each subnet has one of IPv6 that goes with it, its gateway too', () => {
  const { subnets } = network({
    subnets: [
      ['192.168.5.0/24', '192.168.5.1/24'],
      ['10.7.0.0/16', '10.7.0.9/16'],
    ],
    options: { ...articleOptions, ipv6: 'fd12:3456::/64' },
  });
  assert.deepEqual(
    subnets.map(({ pool, gateway }) => `${formatPrefix(pool)} ${formatPrefix(gateway)}`),
    [
      '192.168.5.0/24 192.168.5.1/24',
      '10.7.0.0/16 10.7.0.9/16',
      'fd12:3456::c0a8:500/120 fd12:3456::c0a8:501/120',
      'fd12:3456::a07:0/112 fd12:3456::a07:9/112',
    ],
  );
});

for (const [what, make, message] of [
  [
    'option ipv6 beside IPv6 of the engine',
    () => networkOf(recordOf(ipv6Request({ ipv6: 'fd12::/64' }))),
    /ipv6 cannot be combined with --ipv4=false/,
  ],
  ['an MTU under 1280 with option ipv6', () => ipv6Network({ mtu: '1279' }), /mtu: expected at least 1280/],
  [
    'an MTU under 1280 with IPv6 alone',
    () => networkOf(recordOf(ipv6Request({ mtu: '1279' }))),
    /mtu: expected at least 1280/,
  ],
  [
    'a prefix that holds the hub’s address',
    () => ipv6Network({ peer: '[fd12::9]:51820' }),
    /ipv6: the prefix contains fd12::9, an address outside the tunnel/,
  ],
  [
    'a link-local subnet',
    () => networkOf({ ...network().record, subnets: [{ pool: 'fe80::/64', gateway: 'fe80::1/64' }] }),
    /subnet fe80::\/64: expected unique local or global unicast/,
  ],
] as const) {
  test(`refused: ${what}`, () => {
    assert.throws(make, message);
  });
}

test('an MTU of 1280 with IPv6, and a smaller one without', () => {
  assert.equal(ipv6Network({ mtu: '1280' }).options.mtu, 1280);
  assert.equal(network({ options: { ...articleOptions, mtu: '1279' } }).options.mtu, 1279);
});

test('no list of subnets at all, as the engine sends it for an unused family, is refused as none', () => {
  for (const IPv4Data of [null, undefined, []] as never[]) {
    assert.throws(
      () => networkOf(recordOf({ ...createNetworkRequest(), IPv4Data: IPv4Data ?? [], IPv6Data: [] })),
      /has no subnet/,
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
  assert.throws(() => network({ internal: true, options }), /allowedips cannot be combined with --internal/);
});

test('options that are no object are none', () => {
  for (const generic of [null, 'x', 5, [], undefined]) {
    const request = { ...createNetworkRequest(), Options: { 'com.docker.network.generic': generic } };
    assert.throws(() => networkOf(recordOf(request)), /option io\.bestov\.wg\.peer is missing/);
  }
});

function ipv6Network(change: Readonly<Record<string, string>>) {
  return network({ options: { ...articleOptions, ipv6: 'fd12::/64', ...change } });
}

/** As engines from 28 on ask with `--ipv4=false --ipv6`. */
function ipv6Request(options: Readonly<Record<string, string>> = {}) {
  const { Options, ...request } = createNetworkRequest({ options: { ...articleOptions, ...options } });
  return {
    ...request,
    Options: {
      ...Options,
      'com.docker.network.enable_ipv4': false,
      'com.docker.network.enable_ipv6': true,
    },
    IPv4Data: [],
    IPv6Data: [{ Pool: 'fd00:5::/64', Gateway: 'fd00:5::1/64' }],
  };
}
