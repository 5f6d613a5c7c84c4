// The driver's behaviour, asked through the socket as the engine asks.
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { until } from '../../build/host/commands.ts';
import { removalsAtOnce } from '../../src/driver/removal.ts';
import { derivePrivateKey } from '../../src/keys/derivation.ts';
import { parseSeed } from '../../src/keys/seed.ts';
import { LinkError } from '../../src/links/links.ts';
import { optionPrefix } from '../../src/networks/options.ts';
import { formatPrefix, masked, prefixOf } from '../../src/wireguard/address.ts';
import { formatEndpoint } from '../../src/wireguard/device.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import { articleOptions, createNetworkRequest, peerKeyText, seedText } from '../support/networks.ts';
import { type ServedDriver, serveDriver } from '../support/served-driver.ts';

const nothing = { networks: [], endpoints: [], links: [] };
const articlePrivateKey = 'IJftaHjgELSRD3PXllSPn3EpiVmrEjQupVynwcfu8FE=';

let driver: ServedDriver;
beforeEach(async () => {
  driver = await serveDriver();
});
afterEach(() => driver.close());

test('the life cycle of moby’s TestRemoteDriver', async () => {
  // Its bodies, with what it leaves out and no WireGuard network can be without: options and addresses.
  const network = { NetworkID: 'dummy-network' };
  const endpoint = { ...network, EndpointID: 'dummy-endpoint' };
  const generic = Object.fromEntries(
    Object.entries(articleOptions).map(([name, value]) => [optionPrefix + name, value]),
  );
  const name = linkName('dummy-endpoint');
  const discovery = {
    DiscoveryType: 1,
    DiscoveryData: { Address: '192.168.1.1', BindAddress: '', Self: false },
  };
  const engine = await driver.connect();
  const call = async (method: string, body?: unknown) => {
    const { status, body: answer } = await engine.call(method, body);
    assert.equal(status, 200, method);
    return answer;
  };

  assert.deepEqual(await call('Plugin.Activate'), { Implements: ['NetworkDriver'] });
  assert.deepEqual(await call('NetworkDriver.GetCapabilities'), {
    Scope: 'local',
    ConnectivityScope: 'global',
    GwAllocChecker: true,
  });
  assert.deepEqual(await call('NetworkDriver.GwAllocCheck', { Options: { ...generic } }), {
    SkipIPv4: false,
    SkipIPv6: false,
  });
  assert.deepEqual(
    await call('NetworkDriver.CreateNetwork', {
      ...network,
      Options: { 'com.docker.network.enable_ipv6': false, 'com.docker.network.generic': generic },
      IPv4Data: [
        { AddressSpace: 'LocalDefault', Pool: '192.168.0.0/16', Gateway: '192.168.0.1/16', AuxAddresses: {} },
      ],
      IPv6Data: null,
    }),
    {},
  );
  assert.deepEqual(
    await call('NetworkDriver.CreateEndpoint', {
      ...endpoint,
      Interface: { Address: '192.168.5.2/16', AddressIPv6: '', MacAddress: '' },
      Options: {},
    }),
    { Interface: {} },
  );
  assert.deepEqual([...driver.links.present.keys()], []);
  assert.deepEqual(
    await call('NetworkDriver.Join', {
      ...endpoint,
      SandboxKey: 'sandbox-key',
      Options: { foo: 'fooValue' },
    }),
    {
      InterfaceName: { SrcName: name, DstPrefix: 'wg' },
      Gateway: '192.168.0.1',
      StaticRoutes: [],
      DisableGatewayService: true,
    },
  );
  const made = driver.links.present.get(name);
  assert.deepEqual(made?.link, { name, mtu: 1420, endpointId: 'dummy-endpoint' });
  assert.equal(made.device?.privateKey.toBase64(), articlePrivateKey);
  assert.deepEqual(
    made.device.peers.map((peer) => ({
      ...peer,
      endpoint: peer.endpoint && formatEndpoint(peer.endpoint),
      allowedIps: peer.allowedIps.map(formatPrefix),
    })),
    [
      {
        publicKey: peerKeyText,
        endpoint: '192.0.2.1:51820',
        persistentKeepaliveInterval: 25,
        allowedIps: ['0.0.0.0/0', '::/0'],
      },
    ],
  );
  assert.deepEqual(
    await call('NetworkDriver.ProgramExternalConnectivity', { ...endpoint, Options: null }),
    {},
  );
  assert.deepEqual(await call('NetworkDriver.EndpointOperInfo', endpoint), { Value: {} });
  assert.deepEqual(await call('NetworkDriver.RevokeExternalConnectivity', endpoint), {});
  assert.deepEqual(await call('NetworkDriver.Leave', endpoint), {});
  // The engine has the link, and brings it back.
  assert(driver.links.present.has(name));
  assert.deepEqual(await call('NetworkDriver.DeleteEndpoint', endpoint), {});
  assert.deepEqual((await driver.traces()).links, []);
  assert.deepEqual(await call('NetworkDriver.DeleteNetwork', network), {});
  assert.deepEqual(await call('NetworkDriver.DiscoverNew', discovery), {});
  assert.deepEqual(await call('NetworkDriver.DiscoverDelete', discovery), {});
  assert.deepEqual(await driver.traces(), nothing);
});

test('a split network: routes and no gateway, its own MTU and keepalive, an IPv6 hub by name', async () => {
  driver.names.set('hub.example.org', '2001:db8::1');
  const options = {
    ...articleOptions,
    peer: 'hub.example.org:1',
    allowedips: '10.0.0.9/8',
    mtu: '1280',
    keepalive: '0',
  };
  await createNetwork({ options });
  await createEndpoint('e1', '192.168.5.2/24');
  assert.deepEqual(await joinEndpoint('e1'), {
    InterfaceName: { SrcName: linkName('e1'), DstPrefix: 'wg' },
    // The kill switch has it in a table of its own.
    StaticRoutes: [],
    DisableGatewayService: true,
  });
  const made = driver.links.present.get(linkName('e1'));
  const [peer] = made?.device?.peers ?? [];
  assert.equal(made?.link.mtu, 1280);
  assert.equal(peer?.persistentKeepaliveInterval, 0);
  assert.equal(peer.endpoint && formatEndpoint(peer.endpoint), '[2001:db8::1]:1');
  assert.deepEqual(peer.allowedIps.map(formatPrefix), ['10.0.0.0/8', '192.168.5.0/24']);
});

test('keccak-256 by its option', async () => {
  await createNetwork({ options: { ...articleOptions, derivation: 'keccak-256' } });
  await createEndpoint('e1', '192.168.5.2/24');
  await joinEndpoint('e1');
  const key = driver.links.present.get(linkName('e1'))?.device?.privateKey.toBase64();
  assert.equal(key, 'KPGLBti04NrpSWcdjDVRXQm0HHtsd9CTf8IbMNEb91c=');
});

test('GetCapabilities says the scope that was set', async () => {
  const cluster = await serveDriver({ scope: 'global' });
  try {
    assert.deepEqual(await cluster.call('NetworkDriver.GetCapabilities'), {
      Scope: 'global',
      ConnectivityScope: 'global',
      GwAllocChecker: true,
    });
  } finally {
    await cluster.close();
  }
});

/** As a manager asks (swarmkit's allocator by way of libnetwork), with the options bare and all text. */
function allocateNetworkRequest(more: Readonly<Record<string, string>> = {}) {
  const options = { ...articleOptions, ...more };
  return {
    NetworkID: 'x6dqhplzuiuufohq4b8mbnxu9',
    Options: Object.fromEntries(Object.entries(options).map(([name, value]) => [optionPrefix + name, value])),
    IPv4Data: [{ AddressSpace: '', AuxAddresses: null, Gateway: '192.168.5.1/24', Pool: '192.168.5.0/24' }],
    IPv6Data: null,
  };
}

test('AllocateNetwork gives back the options, keeps nothing, and FreeNetwork takes it', async () => {
  const { NetworkID, Options, ...rest } = allocateNetworkRequest({ mtu: '1380' });
  const request = { NetworkID, Options: { ...Options, 'com.example.other': 'kept' }, ...rest };
  // Twice: a manager that becomes the leader asks again for what its forerunner had.
  for (let i = 0; i < 2; i += 1) {
    assert.deepEqual(await driver.call('NetworkDriver.AllocateNetwork', request), {
      Options: request.Options,
    });
  }
  assert.deepEqual(await driver.traces(), nothing);
  assert.deepEqual(await driver.call('NetworkDriver.FreeNetwork', { NetworkID }), {});
  assert.deepEqual(await driver.call('NetworkDriver.FreeNetwork', { NetworkID: 'unknown' }), {});
});

test('AllocateNetwork takes a configuration file that the nodes have and the manager has not', async () => {
  const { Options: _, ...request } = allocateNetworkRequest();
  const Options = { 'io.bestov.wg.conffile': 'nowhere.conf' };
  assert.deepEqual(await driver.call('NetworkDriver.AllocateNetwork', { ...request, Options }), { Options });
});

test('AllocateNetwork takes a seed file that the nodes have and the manager has not', async () => {
  const request = allocateNetworkRequest();
  const { [`${optionPrefix}seed`]: _, ...others } = request.Options;
  const Options = { ...others, [`${optionPrefix}seedfile`]: '/etc/only-on-nodes' };
  assert.deepEqual(await driver.call('NetworkDriver.AllocateNetwork', { ...request, Options }), { Options });
});

for (const [what, change, message] of [
  ['a bad option', allocateNetworkRequest({ mtu: 'x' }), /option io\.bestov\.wg\.mtu: expected/],
  ['an unknown one', allocateNetworkRequest({ mtuu: '1' }), /unknown option io\.bestov\.wg\.mtuu/],
  ['no options', { ...allocateNetworkRequest(), Options: null }, /option io\.bestov\.wg\.peer is missing/],
  ['no subnet', { ...allocateNetworkRequest(), IPv4Data: null }, /has no subnet/],
] as const) {
  test(`AllocateNetwork refuses what CreateNetwork would: ${what}`, async () => {
    assertErr(await driver.call('NetworkDriver.AllocateNetwork', change), message);
    assert.deepEqual(await driver.traces(), nothing);
  });
}

for (const [what, change, message] of [
  ['a bad option', { options: { ...articleOptions, keepalive: 'x' } }, /io\.bestov\.wg\.keepalive: expected/],
  [
    'a seed file that is not there',
    { options: seedFileOptions('/none') },
    /seed file \/none: there is no such file \(ENOENT\)/,
  ],
  ['no subnet', { subnets: [] }, /has no subnet/],
] as const) {
  test(`CreateNetwork with ${what} leaves nothing`, async () => {
    assertErr(await driver.call('NetworkDriver.CreateNetwork', createNetworkRequest(change)), message);
    assert.deepEqual(await driver.traces(), nothing);
    assertErr(await createEndpoint('e1', '192.168.5.2/24'), /network network is not known/);
  });
}

for (const [what, change, message] of [
  ['a MAC address', { MacAddress: '02:42:c0:a8:05:02' }, /no MAC address: .* without --mac-address/],
  ['an IPv6 address', { AddressIPv6: 'fd00::2/64' }, /without --ip6, and choose the IPv4 address with --ip$/],
  ['the hub’s address', { Address: '192.168.5.1/24' }, /192\.168\.5\.1 is the hub’s address/],
  ['an address of another subnet', { Address: '192.168.6.2/24' }, /Interface\.Address: expected/],
  ['no address', { Address: '' }, /Interface\.Address: expected/],
  ['no length', { Address: '192.168.5.2' }, /Interface\.Address: expected/],
] as const) {
  test(`CreateEndpoint with ${what} leaves nothing`, async () => {
    await createNetwork();
    const before = await driver.traces();
    const Interface = { Address: '192.168.5.2/24', AddressIPv6: '', MacAddress: '', ...change };
    assertErr(
      await driver.call('NetworkDriver.CreateEndpoint', { ...endpoint('e1'), Interface, Options: {} }),
      message,
    );
    assert.deepEqual(await driver.traces(), before);
  });
}

test('option ipv6: the address that goes with the IPv4 one, both gateways, both families in the tunnel', async () => {
  await createNetwork({ options: { ...articleOptions, ipv6: 'fd12:3456::/64' } });
  assert.deepEqual(await createEndpoint('e1', '192.168.5.2/24'), {
    Interface: { AddressIPv6: 'fd12:3456::c0a8:502/120' },
  });
  const handedOver = {
    InterfaceName: { SrcName: linkName('e1'), DstPrefix: 'wg' },
    Gateway: '192.168.5.1',
    GatewayIPv6: 'fd12:3456::c0a8:501',
    StaticRoutes: [],
    DisableGatewayService: true,
  };
  assert.deepEqual(await joinEndpoint('e1'), handedOver);
  // The key is that of the IPv4 address.
  const made = driver.links.present.get(linkName('e1'));
  assert.equal(made?.device?.privateKey.toBase64(), articlePrivateKey);
  assert.deepEqual(made.device.peers[0]?.allowedIps.map(formatPrefix), ['0.0.0.0/0', '::/0']);
  await driver.restart();
  assert.deepEqual(await joinEndpoint('e1'), handedOver);
});

for (const [what, options, allowed] of [
  [
    'split',
    { allowedips: '10.0.0.0/8,fd99::/32' },
    ['10.0.0.0/8', 'fd99::/32', '192.168.5.0/24', 'fd12::c0a8:500/120'],
  ],
  ['internal', {}, ['192.168.5.0/24', 'fd12::c0a8:500/120']],
] as const) {
  test(`option ipv6, ${what}: no gateways`, async () => {
    await createNetwork({
      internal: what === 'internal',
      options: { ...articleOptions, ipv6: 'fd12::/64', ...options },
    });
    await createEndpoint('e1', '192.168.5.2/24');
    assert.deepEqual(await joinEndpoint('e1'), {
      InterfaceName: { SrcName: linkName('e1'), DstPrefix: 'wg' },
      StaticRoutes: [],
      DisableGatewayService: true,
    });
    const [peer] = driver.links.present.get(linkName('e1'))?.device?.peers ?? [];
    assert.deepEqual(peer?.allowedIps.map(formatPrefix), allowed);
    assert.deepEqual(driver.guard.guarded.get('e1')?.prefixes, allowed);
  });
}

/** As engines from 28 on ask with `--ipv4=false --ipv6`. */
const ipv6Alone = {
  ...createNetworkRequest(),
  IPv4Data: [],
  IPv6Data: [{ AddressSpace: 'LocalDefault', Pool: 'fd00:5::/64', Gateway: 'fd00:5::1/64' }],
};

test('IPv6 alone: the engine’s address makes the key', async () => {
  assert.deepEqual(await driver.call('NetworkDriver.CreateNetwork', ipv6Alone), {});
  const Interface = { Address: '', AddressIPv6: 'fd00:5::2/64', MacAddress: '' };
  const request = { ...endpoint('e1'), Interface, Options: {} };
  assert.deepEqual(await driver.call('NetworkDriver.CreateEndpoint', request), { Interface: {} });
  assert.deepEqual(await joinEndpoint('e1'), {
    InterfaceName: { SrcName: linkName('e1'), DstPrefix: 'wg' },
    GatewayIPv6: 'fd00:5::1',
    StaticRoutes: [],
    DisableGatewayService: true,
  });
  const scheme = {
    seed: parseSeed(seedText) ?? assert.fail(),
    additional: Buffer.from('testadditional\n'),
    derivation: 'sha3-256',
  } as const;
  assert.equal(
    driver.links.present.get(linkName('e1'))?.device?.privateKey.toBase64(),
    derivePrivateKey(scheme, prefixOf('fd00:5::2/64').address).toBase64(),
  );
  for (const [AddressIPv6, message] of [
    ['fd00:5::1/64', /fd00:5::1 is the hub’s address: choose another --ip6/],
    ['', /Interface\.AddressIPv6: expected an IPv6 address of the network/],
  ] as const) {
    const body = { ...endpoint('e2'), Interface: { ...Interface, AddressIPv6 }, Options: {} };
    assertErr(await driver.call('NetworkDriver.CreateEndpoint', body), message);
  }
});

test('a kernel without IPv6: containers get IPv4 alone, and the log says so once', async () => {
  const host = await serveDriver({ hasIpv6: false });
  try {
    const request = createNetworkRequest({ options: { ...articleOptions, ipv6: 'fd12::/64' } });
    assert.deepEqual(await host.call('NetworkDriver.CreateNetwork', request), {});
    for (const [id, Address] of [
      ['e1', '192.168.5.2/24'],
      ['e2', '192.168.5.3/24'],
    ] as const) {
      const body = { ...endpoint(id), Interface: { Address }, Options: {} };
      assert.deepEqual(await host.call('NetworkDriver.CreateEndpoint', body), { Interface: {} });
    }
    const answer = await host.call('NetworkDriver.Join', { ...endpoint('e1'), SandboxKey: '' });
    assert(!('GatewayIPv6' in Object(answer)));
    const said = host.lines.filter(({ message }) => message.includes('no IPv6'));
    assert.deepEqual(
      said.map(({ level }) => level),
      ['warn'],
    );
    const alone = { ...ipv6Alone, NetworkID: 'n2' };
    assertErr(await host.call('NetworkDriver.CreateNetwork', alone), /this kernel has no IPv6/);
  } finally {
    await host.close();
  }
});

/** A network whose one container is the peer of a configuration file. */
const onePeer = (id = 'network', options: Readonly<Record<string, unknown>> = {}) =>
  createNetworkRequest({
    id,
    subnets: [['0.0.0.0/0', '']],
    options: { conffile: 'app.conf', ...options },
  });
const writeConffile = ({ folder }: ServedDriver, ...lines: string[]) =>
  writeFile(
    join(folder, 'app.conf'),
    `[Interface]\nPrivateKey = KPGLBti04NrpSWcdjDVRXQm0HHtsd9CTf8IbMNEb91c=\n${lines.join('\n')}
[Peer]\nPublicKey = ${peerKeyText}\nEndpoint = 192.0.2.1:51820\nAllowedIPs = 0.0.0.0/0\n`,
    { mode: 0o600 },
  );

test('the container of a configuration file, on a kernel without IPv6: its IPv4 address, or a refusal', async () => {
  const host = await serveDriver({ hasIpv6: false });
  try {
    await writeConffile(host, 'Address = 10.2.0.2/32, fd00::2/128');
    assert.deepEqual(await host.call('NetworkDriver.CreateNetwork', onePeer()), {});
    const body = { ...endpoint('e1'), Interface: {}, Options: {} };
    assert.deepEqual(await host.call('NetworkDriver.CreateEndpoint', body), {
      Interface: { Address: '10.2.0.2/32' },
    });

    await writeConffile(host, 'Address = fd00::2/128');
    const refused = /configuration file app\.conf: it has only IPv6 addresses, and this kernel has no IPv6/;
    assertErr(await host.call('NetworkDriver.CreateNetwork', onePeer('n2')), refused);
    const another = { ...body, EndpointID: 'e2' };
    assertErr(await host.call('NetworkDriver.CreateEndpoint', another), refused);
  } finally {
    await host.close();
  }
});

test('an MTU that IPv6 does not go with is refused, whoever says it', async () => {
  const file = /^configuration file app\.conf: MTU: expected at least 1280 with IPv6 addresses/;
  const option = /^option io\.bestov\.wg\.mtu: expected at least 1280 with IPv6 addresses/;
  await writeConffile(driver, 'Address = 10.2.0.2/32, fd00::2/128', 'MTU = 1279');
  assertErr(await driver.call('NetworkDriver.CreateNetwork', onePeer()), file);
  assertErr(await driver.call('NetworkDriver.CreateNetwork', onePeer('network', { mtu: '1279' })), option);
  assert.deepEqual(await driver.call('NetworkDriver.CreateNetwork', onePeer('n1', { mtu: '1280' })), {});

  await createNetwork({ id: 'n2', options: { ...articleOptions, ipv6: 'fd12::/64' } });
  const own = (mtu: string) => createEndpoint('e1', '192.168.5.2/24', 'n2', { [`${optionPrefix}mtu`]: mtu });
  assertErr(await own('1279'), option);
  assert.deepEqual(await own('1280'), { Interface: { AddressIPv6: 'fd12::c0a8:502/120' } });
});

test('of two networks that are created at once with one PrivateKey, one is refused', async () => {
  await writeConffile(driver, 'Address = 10.2.0.2/32');
  const answers = await Promise.all(
    ['n1', 'n2'].map((id) => driver.call('NetworkDriver.CreateNetwork', onePeer(id))),
  );
  assert.equal(answers.filter((answer) => 'Err' in Object(answer)).length, 1, JSON.stringify(answers));
  assertErr(
    answers.find((answer) => 'Err' in Object(answer)),
    /network n[12] on this host has the same PrivateKey/,
  );
});

test('a network that a kill left, and the engine does not have, does not keep its file’s key', async () => {
  let answer: boolean | undefined;
  const asked: string[] = [];
  const host = await serveDriver({
    async engineHas(networkId) {
      asked.push(networkId);
      return answer;
    },
  });
  try {
    await writeConffile(host, 'Address = 10.2.0.2/32');
    const create = (id: string) => host.call('NetworkDriver.CreateNetwork', onePeer(id));
    const refused = /network n1 on this host has the same PrivateKey, .* restart the driver and try again$/;
    assert.deepEqual(await create('n1'), {});
    // The engine may be about to write it down.
    answer = false;
    assertErr(await create('n2'), refused);
    assert.deepEqual(asked, []);
    await host.restart();
    for (answer of [true, undefined]) {
      assertErr(await create('n2'), refused);
    }
    answer = false;
    // In use, whatever the engine says.
    await host.call('NetworkDriver.CreateEndpoint', {
      ...endpoint('e1'),
      NetworkID: 'n1',
      Interface: {},
      Options: {},
    });
    assertErr(await create('n2'), refused);
    await host.call('NetworkDriver.DeleteEndpoint', { NetworkID: 'n1', EndpointID: 'e1' });
    assert.deepEqual(await create('n2'), {});
    assert.deepEqual([...new Set(asked)], ['n1']);
    assert.deepEqual((await host.traces()).networks, ['n2.json']);
    assert(host.lines.some(({ level, message }) => level === 'warn' && /forgot a network/.test(message)));
  } finally {
    await host.close();
  }
});

test('a prefix that holds an address of this host is refused', async () => {
  const own = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ address }) => /^(?:[23]|f[cd])[0-9a-f]*:/.test(address));
  if (own === undefined) {
    return;
  }
  const ipv6 = formatPrefix(masked({ address: prefixOf(`${own.address}/128`).address, length: 64 }));
  assertErr(await createNetwork({ options: { ...articleOptions, ipv6 } }), /ipv6: the prefix contains /);
});

test('a prefix that holds an address of the hub’s name is warned of', async () => {
  driver.names.set('hub.example', 'fd12::9');
  await createNetwork({ options: { ...articleOptions, peer: 'hub.example:51820', ipv6: 'fd12::/64' } });
  await until('it is', () =>
    driver.lines.some(
      ({ level, message }) => level === 'warn' && /ipv6: the prefix contains fd12::9/.test(message),
    ),
  );
});

for (const name of [`${optionPrefix}seed`, 'IO.BESTOV.WG.SEED']) {
  test(`CreateEndpoint with our option ${name} is refused without its value`, async () => {
    await createNetwork();
    const answer = await driver.call('NetworkDriver.CreateEndpoint', {
      ...endpoint('e1'),
      Interface: { Address: '192.168.5.2/24' },
      Options: { [name]: 'MARKED', 'com.docker.network.portmap': [] },
    });
    assertErr(
      answer,
      /option io\.bestov\.wg\.seed(?: applies to a whole network: give it to `docker network create`|: expected the name)/i,
    );
    assert(!JSON.stringify(answer).includes('MARKED'));
    assert.deepEqual((await driver.traces()).endpoints, []);
  });
}

test('a seed file without a folder is read from the secrets folder', async () => {
  await writeFile(join(driver.folder, 'app.seed'), seedText, { mode: 0o600 });
  await createNetwork({ options: seedFileOptions('app.seed') });
  await createEndpoint('e1', '192.168.5.2/24');
  await joinEndpoint('e1');
  const key = driver.links.present.get(linkName('e1'))?.device?.privateKey.toBase64();
  assert.equal(key, articlePrivateKey);
  assert(!driver.lines.some(({ level }) => level === 'error'));
});

const joinFailures: Record<
  string,
  { fail(): Promise<void> | void; message: RegExp; mend(): Promise<void> | void }
> = {
  'the link cannot be created': {
    fail: () => driver.links.fail('create', new LinkError('create', 'wgd1', 'Operation not permitted')),
    message: /^create link wgd1: Operation not permitted$/,
    mend: () => driver.links.fail('create', undefined),
  },
  'the link cannot be configured': {
    fail: () => driver.links.fail('configure', new LinkError('configure', 'wgd1', 'Invalid argument')),
    message: /^configure link wgd1: Invalid argument$/,
    mend: () => driver.links.fail('configure', undefined),
  },
  'the seed file is gone': {
    fail: () => rm(join(driver.folder, 'seed')),
    message: /^seed file .*seed: there is no such file \(ENOENT\)$/,
    mend: () => writeFile(join(driver.folder, 'seed'), seedText),
  },
  'the seed file holds no seed any more': {
    fail: () => writeFile(join(driver.folder, 'seed'), 'hunter2!'),
    message: /^seed file .*seed: expected base64/,
    mend: () => writeFile(join(driver.folder, 'seed'), seedText),
  },
  'somebody else’s link has its name': {
    fail: () => driver.links.addForeign(linkName('e1')),
    message: /it is not this driver’s/,
    mend: () => {},
  },
};

for (const [what, { fail, message, mend }] of Object.entries(joinFailures)) {
  test(`Join when ${what}: Err, nothing left, and the next one works`, async () => {
    await writeFile(join(driver.folder, 'seed'), seedText, { mode: 0o600 });
    driver.names.set('hub.example.org', '192.0.2.1');
    const options = { ...seedFileOptions(join(driver.folder, 'seed')), peer: 'hub.example.org:51820' };
    await createNetwork({ options });
    await createEndpoint('e1', '192.168.5.2/24');
    const before = await driver.traces();

    await fail();
    assertErr(await joinEndpoint('e1'), message);
    assert.deepEqual(await driver.traces(), before);
    await mend();
    // A foreign link stays where it is.
    if (what !== 'somebody else’s link has its name') {
      assert('InterfaceName' in ((await joinEndpoint('e1')) as object));
    }
  });
}

test('a hub’s name that does not resolve keeps no container from starting: its link has no endpoint', async () => {
  await createNetwork({ options: { ...articleOptions, peer: 'hub.example.org:51820' } });
  const isWarned = (message: RegExp) =>
    driver.lines.some(
      ({ level, message: text, fields }) =>
        level === 'warn' && message.test(text) && fields.host === 'hub.example.org',
    );
  await createEndpoint('e1', '192.168.5.2/24');
  assert(isWarned(/^the hub’s name does not resolve: containers start/));
  assert('InterfaceName' in ((await joinEndpoint('e1')) as object));
  const made = driver.links.present.get(linkName('e1'));
  assert.equal(made?.device?.peers[0]?.endpoint, undefined);
  assert(driver.guard.guarded.has('e1'));
  assert(isWarned(/^the hub’s name does not resolve: no traffic passes/));
});

test('Join says why it failed, even if the undoing fails too', async () => {
  await createNetwork();
  await createEndpoint('e1', '192.168.5.2/24');
  driver.links.fail('configure', new Error('the cause'));
  driver.links.fail('delete', new Error('the undoing'));
  assert.deepEqual(await joinEndpoint('e1'), { Err: 'the cause' });
  assert(driver.lines.some(({ level, fields }) => level === 'warn' && fields.cause === 'Error: the undoing'));
  driver.links.fail('configure', undefined);
  driver.links.fail('delete', undefined);
  assert('InterfaceName' in ((await joinEndpoint('e1')) as object));
});

test('Join over a link that a crash left replaces it', async () => {
  await createNetwork();
  await createEndpoint('e1', '192.168.5.2/24');
  await driver.links.create({ name: linkName('e1'), mtu: 1, endpointId: 'e1' });
  assert('InterfaceName' in ((await joinEndpoint('e1')) as object));
  const made = driver.links.present.get(linkName('e1'));
  assert.equal(made?.link.mtu, 1420);
  assert(made.device);
});

test('Join of what is not known', async () => {
  await createNetwork();
  await createNetwork({ id: 'other' });
  await createEndpoint('e1', '192.168.5.2/24');
  assertErr(await joinEndpoint('none'), /endpoint none is not known in network network/);
  assertErr(await joinEndpoint('e1', 'other'), /endpoint e1 is not known in network other/);
  assertErr(await joinEndpoint('e1', 'none'), /network none is not known to this driver/);
  assert.deepEqual(driver.links.asked, []);
});

test('Leave and the deletes: twice, out of order, of what is not known', async () => {
  await createNetwork();
  await createEndpoint('e1', '192.168.5.2/24');
  await joinEndpoint('e1');
  for (const [method, body] of [
    ['DeleteNetwork', { NetworkID: 'none' }],
    ['Leave', endpoint('none')],
    ['DeleteEndpoint', endpoint('none')],
    ['DeleteEndpoint', { ...endpoint('none'), NetworkID: 'none' }],
    ['Leave', endpoint('e1')],
    ['Leave', endpoint('e1')],
    ['DeleteEndpoint', endpoint('e1')],
    ['DeleteEndpoint', endpoint('e1')],
    ['Leave', endpoint('e1')],
    ['DeleteNetwork', { NetworkID: 'network' }],
    ['DeleteNetwork', { NetworkID: 'network' }],
    ['DeleteEndpoint', endpoint('e1')],
    ['EndpointOperInfo', endpoint('e1')],
    ['RevokeExternalConnectivity', endpoint('e1')],
    ['FreeNetwork', { NetworkID: 'network' }],
  ] as const) {
    const expected = method === 'EndpointOperInfo' ? { Value: {} } : {};
    assert.deepEqual(await driver.call(`NetworkDriver.${method}`, body), expected, method);
  }
  assert.deepEqual(await driver.traces(), nothing);
});

test('DeleteNetwork takes along the endpoints that the engine has forgotten', async () => {
  await createNetwork();
  await createNetwork({ id: 'other' });
  await createEndpoint('e1', '192.168.5.2/24');
  await createEndpoint('e2', '192.168.5.3/24');
  await createEndpoint('e3', '192.168.5.3/24', 'other');
  await joinEndpoint('e1');
  await joinEndpoint('e3', 'other');
  assert.deepEqual(await driver.call('NetworkDriver.DeleteNetwork', { NetworkID: 'network' }), {});
  assert.deepEqual(await driver.traces(), {
    networks: ['other.json'],
    endpoints: ['e3.json'],
    links: [linkName('e3')],
  });
});

test('a network and an endpoint of one id do not wait for one another', async () => {
  await createNetwork({ id: 'same' });
  await createEndpoint('same', '192.168.5.2/24', 'same');
  assert.deepEqual(await driver.call('NetworkDriver.DeleteNetwork', { NetworkID: 'same' }), {});
  assert.deepEqual(await driver.traces(), nothing);
});

test('an endpoint that cannot be deleted stays known, so that it can be deleted later', async () => {
  await createNetwork();
  await createEndpoint('e1', '192.168.5.2/24');
  await joinEndpoint('e1');
  driver.links.fail('delete', new LinkError('delete', 'wgd1', 'Device or resource busy'));
  assertErr(await driver.call('NetworkDriver.DeleteEndpoint', endpoint('e1')), /delete link wgd1: Device or/);
  assert.deepEqual((await driver.traces()).endpoints, ['e1.json']);
  assertErr(await driver.call('NetworkDriver.DeleteNetwork', { NetworkID: 'network' }), /delete link wgd1/);
  assert.deepEqual((await driver.traces()).networks, ['network.json']);
  driver.links.fail('delete', undefined);
  assert.deepEqual(await driver.call('NetworkDriver.DeleteEndpoint', endpoint('e1')), {});
  assert.deepEqual(await driver.call('NetworkDriver.DeleteNetwork', { NetworkID: 'network' }), {});
  assert.deepEqual(await driver.traces(), nothing);
});

test('a new endpoint with an address evicts the one that held it', async () => {
  await createNetwork();
  await createEndpoint('e1', '192.168.5.2/24');
  await joinEndpoint('e1');
  assert.deepEqual(await createEndpoint('e2', '192.168.5.2/24'), { Interface: {} });
  assert.deepEqual(await driver.traces(), { networks: ['network.json'], endpoints: ['e2.json'], links: [] });
  await joinEndpoint('e2');
  assert.deepEqual((await driver.traces()).links, [linkName('e2')]);
  // The engine's belated call for the first one does not touch the second.
  assert.deepEqual(await driver.call('NetworkDriver.DeleteEndpoint', endpoint('e1')), {});
  assert.deepEqual((await driver.traces()).links, [linkName('e2')]);
  assert.deepEqual(await createEndpoint('e3', '192.168.5.2/24'), { Interface: {} });
  assert.deepEqual((await driver.traces()).endpoints, ['e3.json']);
});

test('endpoints of one address in two networks are two', async () => {
  await createNetwork();
  await createNetwork({ id: 'other' });
  await createEndpoint('e1', '192.168.5.2/24');
  await createEndpoint('e2', '192.168.5.2/24', 'other');
  assert.deepEqual((await driver.traces()).endpoints, ['e1.json', 'e2.json']);
});

test('an endpoint of one network is not created in another', async () => {
  await createNetwork();
  await createNetwork({ id: 'other' });
  await createEndpoint('e1', '192.168.5.2/24');
  await createEndpoint('e2', '192.168.5.2/24', 'other');
  // Each would evict the other, and wait for it.
  const answers = await Promise.all([
    createEndpoint('e2', '192.168.5.2/24'),
    createEndpoint('e1', '192.168.5.2/24', 'other'),
  ]);
  assertErr(answers[0], /^endpoint e2 already exists, in network other$/);
  assertErr(answers[1], /^endpoint e1 already exists, in network network$/);
  assert.deepEqual((await driver.traces()).endpoints, ['e1.json', 'e2.json']);
});

test('an eviction that fails leaves the holder and makes no other', async () => {
  await createNetwork();
  await createEndpoint('e1', '192.168.5.2/24');
  await joinEndpoint('e1');
  driver.links.fail('delete', new Error('busy'));
  assertErr(await createEndpoint('e2', '192.168.5.2/24'), /busy/);
  assert.deepEqual((await driver.traces()).endpoints, ['e1.json']);
});

test('an endpoint created twice is one: the engine’s retry', async () => {
  await createNetwork();
  assert.deepEqual(await createEndpoint('e1', '192.168.5.2/24'), { Interface: {} });
  assert.deepEqual(await createEndpoint('e1', '192.168.5.2/24'), { Interface: {} });
  assert.deepEqual(driver.links.asked, []);
  assert.deepEqual((await driver.traces()).endpoints, ['e1.json']);
});

test('of endpoints that ask for one address at once, one is left', async () => {
  await createNetwork();
  const ids = ['e1', 'e2', 'e3', 'e4'];
  const answers = await Promise.all(ids.map((id) => createEndpoint(id, '192.168.5.2/24')));
  assert.deepEqual(
    answers,
    ids.map(() => ({ Interface: {} })),
  );
  assert.equal((await driver.traces()).endpoints.length, 1);
});

test('many endpoints at once, each with its own link and key', async () => {
  await createNetwork();
  const ids = Array.from({ length: 50 }, (_, index) => `e${index}`);
  await Promise.all(ids.map((id, index) => createEndpoint(id, `192.168.5.${index + 2}/24`)));
  const answers = await Promise.all(ids.map((id) => joinEndpoint(id)));
  assert.deepEqual(
    answers.map((answer) => (answer as { InterfaceName: { SrcName: string } }).InterfaceName.SrcName),
    ids.map(linkName),
  );
  const keys = [...driver.links.present.values()].map(({ device }) => device?.privateKey.toBase64());
  assert.equal(new Set(keys).size, ids.length);
  await Promise.all(ids.map((id) => driver.call('NetworkDriver.DeleteEndpoint', endpoint(id))));
  assert.deepEqual((await driver.traces()).links, []);
});

test('DeleteEndpoint waits for the Join of its endpoint, and not for another’s', async () => {
  await createNetwork();
  await createEndpoint('e1', '192.168.5.2/24');
  await createEndpoint('e2', '192.168.5.3/24');
  const held = driver.links.hold('configure');
  const joining = joinEndpoint('e1');
  const release = await held;
  const deleting = driver.call('NetworkDriver.DeleteEndpoint', endpoint('e1'));
  // The other endpoint's whole life passes meanwhile.
  await joinEndpoint('e2');
  await driver.call('NetworkDriver.DeleteEndpoint', endpoint('e2'));
  assert.deepEqual((await driver.traces()).links, [linkName('e1')]);
  release();
  assert('InterfaceName' in ((await joining) as object));
  assert.deepEqual(await deleting, {});
  assert.deepEqual((await driver.traces()).links, []);
});

test('so many removals at once and no more, and a Join waits for none of them', async () => {
  await createNetwork();
  const ids = Array.from({ length: removalsAtOnce + 1 }, (_, index) => `e${index}`);
  for (const [index, id] of ids.entries()) {
    await createEndpoint(id, `192.168.5.${index + 2}/24`);
    await joinEndpoint(id);
  }
  const remove = (id: string) => driver.call('NetworkDriver.DeleteEndpoint', endpoint(id));
  const releases: (() => void)[] = [];
  const answers: Promise<unknown>[] = [];
  for (const id of ids.slice(0, removalsAtOnce)) {
    const held = driver.links.hold('delete');
    answers.push(remove(id));
    releases.push(await held);
  }
  answers.push(...ids.slice(removalsAtOnce).map(remove));
  await createEndpoint('late', '192.168.5.99/24');
  await joinEndpoint('late');
  const deletions = () => driver.links.asked.filter((asked) => asked.startsWith('delete ')).length;
  assert.equal(deletions(), removalsAtOnce);
  for (const release of releases) {
    release();
  }
  await Promise.all(answers);
  assert.equal(deletions(), ids.length);
  assert.deepEqual((await driver.traces()).links, [linkName('late')]);
});

test('after a restart the driver knows its networks and endpoints', async () => {
  await createNetwork();
  await createEndpoint('e1', '192.168.5.2/24');
  await driver.restart();
  assert('InterfaceName' in ((await joinEndpoint('e1')) as object));
  assert.equal(driver.links.present.get(linkName('e1'))?.device?.privateKey.toBase64(), articlePrivateKey);
  await driver.restart();
  // As after a reboot: a new endpoint with the same address, and no call for the old one.
  await createEndpoint('e2', '192.168.5.2/24');
  assert.deepEqual(await driver.traces(), { networks: ['network.json'], endpoints: ['e2.json'], links: [] });
  await driver.restart();
  assert.deepEqual(await driver.call('NetworkDriver.DeleteEndpoint', endpoint('e2')), {});
  assert.deepEqual(await driver.call('NetworkDriver.DeleteNetwork', { NetworkID: 'network' }), {});
  await driver.restart();
  assert.deepEqual(await driver.traces(), nothing);
});

test('no call, good or bad, puts a secret into an answer or a line of the log', async () => {
  const answers: unknown[] = [
    await createNetwork(),
    await createNetwork({ id: 'bad', options: { ...articleOptions, seed: `${seedText}!` } }),
    await createNetwork({ id: 'worse', options: { ...articleOptions, unknown: seedText } }),
    await createEndpoint('e1', '192.168.5.2/24'),
    await joinEndpoint('e1'),
  ];
  driver.links.fail('configure', new Error('failed'));
  answers.push(await joinEndpoint('e1'));
  await driver.restart();
  answers.push(
    await driver.call('NetworkDriver.DeleteEndpoint', endpoint('e1')),
    await driver.call('NetworkDriver.DeleteNetwork', { NetworkID: 'network' }),
  );
  const text = JSON.stringify([answers, driver.lines]);
  for (const secret of [seedText, 'testseed', articlePrivateKey.slice(0, -1)]) {
    assert(!text.includes(secret), text);
  }
});

test('each call that changes something is one line with what and how long', async () => {
  await createNetwork();
  await createEndpoint('e1', '192.168.5.2/24');
  await joinEndpoint('e1');
  await driver.call('NetworkDriver.DeleteEndpoint', endpoint('e1'));
  await driver.call('NetworkDriver.DeleteNetwork', { NetworkID: 'network' });
  const lines = driver.lines.filter(({ level }) => level === 'info');
  assert.deepEqual(
    lines.map(({ message, fields: { ms, ...fields } }) => [message, typeof ms, fields]),
    [
      ['network created', 'number', { network: 'network', subnet: '192.168.5.0/24', internal: undefined }],
      ['endpoint created', 'number', { network: 'network', endpoint: 'e1', address: '192.168.5.2' }],
      [
        'link handed over',
        'number',
        { network: 'network', endpoint: 'e1', address: '192.168.5.2', link: linkName('e1') },
      ],
      ['endpoint deleted', 'number', { network: 'network', endpoint: 'e1', address: '192.168.5.2' }],
      ['network deleted', 'number', { network: 'network' }],
    ],
  );
});

function createNetwork(setting: Parameters<typeof createNetworkRequest>[0] = {}): Promise<unknown> {
  return driver.call('NetworkDriver.CreateNetwork', createNetworkRequest(setting));
}

function endpoint(EndpointID: string, NetworkID = 'network') {
  return { NetworkID, EndpointID };
}

function createEndpoint(
  id: string,
  Address: string,
  networkId?: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<unknown> {
  return driver.call('NetworkDriver.CreateEndpoint', {
    ...endpoint(id, networkId),
    Interface: { Address, AddressIPv6: '', MacAddress: '' },
    Options: { 'com.docker.network.endpoint.exposedports': [], 'com.docker.network.portmap': [], ...more },
  });
}

function joinEndpoint(id: string, networkId?: string): Promise<unknown> {
  return driver.call('NetworkDriver.Join', {
    ...endpoint(id, networkId),
    SandboxKey: '/var/run/docker/netns/15e68092381c',
    Options: {},
  });
}

function seedFileOptions(seedfile: string) {
  const { seed: _, ...options } = articleOptions;
  return { ...options, seedfile };
}

function assertErr(answer: unknown, message: RegExp): void {
  const { Err } = answer as { Err?: unknown };
  assert(typeof Err === 'string', JSON.stringify(answer));
  assert.match(Err, message);
  assert.deepEqual(Object.keys(answer as object), ['Err']);
}

test('a container is guarded for what its network is for, until its endpoint is deleted', async () => {
  await createNetwork();
  await createEndpoint('e1', '192.168.5.2/24');
  await joinEndpoint('e1');
  assert.deepEqual(
    [...driver.guard.guarded],
    [['e1', { sandboxKey: '/var/run/docker/netns/15e68092381c', prefixes: ['0.0.0.0/0', '::/0'] }]],
  );
  await driver.restart();
  await driver.call('NetworkDriver.DeleteEndpoint', endpoint('e1'));
  assert.deepEqual([...driver.guard.guarded], []);
});

test('with killswitch=off nothing is guarded, and nothing is asked of this host', async () => {
  driver.guard.fail('probe', new Error('no nftables'));
  await createNetwork({ options: { ...articleOptions, killswitch: 'off' } });
  await createEndpoint('e1', '192.168.5.2/24');
  await joinEndpoint('e1');
  assert.deepEqual([...driver.guard.guarded], []);
});

test('a host that cannot guard: the network is refused, with the way round', async () => {
  driver.guard.fail('probe', new Error('no nftables'));
  assertErr(
    await createNetwork(),
    /^no nftables\. If traffic may leave unencrypted, create the network with -o io\.bestov\.wg\.killswitch=off$/,
  );
  assert.deepEqual(await driver.traces(), nothing);
});

test('a container that cannot be guarded does not start, and no link is left', async () => {
  await createNetwork();
  await createEndpoint('e1', '192.168.5.2/24');
  driver.guard.fail('protect', new Error('no namespace'));
  assertErr(await joinEndpoint('e1'), /^no namespace$/);
  assert.deepEqual((await driver.traces()).links, []);
  assert.deepEqual([...driver.guard.guarded], []);
});

const dns = (...servers: string[]) => ({ 'com.docker.network.endpoint.dnsservers': servers });

test('killswitch=strict: DNS servers in the tunnel are asked for', async () => {
  await createNetwork({ options: { ...articleOptions, killswitch: 'strict', allowedips: '10.0.0.0/8' } });
  for (const [options, expected] of [
    [{}, /killswitch=strict: the container has no DNS servers.* --dns/],
    [dns(), /the container has no DNS servers/],
    [dns('10.1.1.1', '9.9.9.9'), /killswitch=strict: the DNS server 9\.9\.9\.9 is not among the allowed IPs/],
    [dns('what'), /the DNS server what is not/],
  ] as const) {
    assertErr(await createEndpoint('e1', '192.168.5.2/24', undefined, options), expected);
  }
  assert.deepEqual((await driver.traces()).endpoints, []);
  await createEndpoint('e1', '192.168.5.2/24', undefined, dns('10.1.1.1', '192.168.5.1'));
});

test('killswitch=strict: DNS servers that `exclude` keeps out of the tunnel are refused', async () => {
  const strict = {
    ...articleOptions,
    killswitch: 'strict',
    allowedips: '0.0.0.0/0,192.168.1.53/32,192.168.7.0/24',
    exclude: '192.168.1.0/24,192.168.7.0/24',
  };
  await createNetwork({ options: strict });
  // Of a prefix that is both, the kill switch lets everything pass.
  for (const server of ['192.168.1.1', '192.168.7.1']) {
    assertErr(
      await createEndpoint('e1', '192.168.5.2/24', undefined, dns('9.9.9.9', server)),
      new RegExp(`the DNS server ${server} is in what io\\.bestov\\.wg\\.exclude keeps out of the tunnel`),
    );
  }
  assert.deepEqual(await createEndpoint('e1', '192.168.5.2/24', undefined, dns('9.9.9.9', '192.168.1.53')), {
    Interface: {},
  });
});

test('without DNS servers there is a warning, once the engine’s namespace says that it would leak', async () => {
  await createNetwork();
  const warnings = () =>
    driver.lines.filter(({ message }) => message.startsWith('this container has no DNS servers'));
  await createEndpoint('e1', '192.168.5.2/24', undefined, dns('192.168.5.1'));
  await joinEndpoint('e1');
  assert.equal(warnings().length, 0);
  await createEndpoint('e2', '192.168.5.3/24');
  await joinEndpoint('e2');
  assert.equal(warnings().length, 1);
  // Once for each network, however many connect.
  await createEndpoint('e3', '192.168.5.4/24');
  await joinEndpoint('e3');
  assert.equal(warnings().length, 1);
  await createNetwork({ id: 'n2', subnets: [['192.168.6.0/24', '192.168.6.1/24']] });
  await createEndpoint('e4', '192.168.6.4/24', 'n2');
  await joinEndpoint('e4', 'n2');
  assert.equal(warnings().length, 2);
});

test('containers that share a tunnel: the same warning, and killswitch=strict, which the gateway satisfies', async () => {
  await writeConffile(driver, 'Address = 10.2.0.2/32', 'DNS = 10.2.0.1');
  const conffile = { conffile: 'app.conf' };
  await createNetwork({ options: conffile });
  await createEndpoint('e1', '192.168.5.2/24', undefined, dns('192.168.5.1'));
  await joinEndpoint('e1');
  const warnings = () =>
    driver.lines.filter(({ message }) => message.startsWith('this container has no DNS servers'));
  assert.equal(warnings().length, 0);
  await createEndpoint('e2', '192.168.5.3/24');
  await joinEndpoint('e2');
  assert.equal(warnings().length, 1);
  await driver.call('NetworkDriver.DeleteNetwork', { NetworkID: 'network' });

  await writeFile(
    join(driver.folder, 'app.conf'),
    (await readFile(join(driver.folder, 'app.conf'), 'utf8')).replace('0.0.0.0/0', '10.0.0.0/8'),
  );
  await createNetwork({ id: 'n2', options: { ...conffile, killswitch: 'strict' } });
  for (const [options, expected] of [
    [{}, /killswitch=strict: the container has no DNS servers/],
    [dns('192.168.5.1', '9.9.9.9'), /the DNS server 9\.9\.9\.9 is not among the allowed IPs/],
  ] as const) {
    assertErr(await createEndpoint('e3', '192.168.5.2/24', 'n2', options), expected);
  }
  assert.deepEqual(await createEndpoint('e3', '192.168.5.2/24', 'n2', dns('192.168.5.1', '10.2.0.1')), {
    Interface: {},
  });
});

test('an option that is neither ours nor Docker’s is refused when a network is made, and warned of in a Swarm', async () => {
  const request = createNetworkRequest();
  const generic = request.Options['com.docker.network.generic'] as object;
  const withOption = (option: object) => ({
    ...request,
    Options: { ...request.Options, 'com.docker.network.generic': { ...generic, ...option } },
  });
  const refused = withOption({ mtu: '1380' });
  const fault = 'unknown option mtu; did you mean io.bestov.wg.mtu?';
  assert.deepEqual(await driver.call('NetworkDriver.CreateNetwork', refused), { Err: fault });
  assert.deepEqual(await driver.traces(), nothing);

  assert.deepEqual(
    await driver.call(
      'NetworkDriver.CreateNetwork',
      withOption({
        'com.docker.network.bridge.name': 'br0',
        'com.docker.network.container_iface_prefix': 'vpn',
      }),
    ),
    {},
  );
  assert(warnedOf(driver, 'option com.docker.network.bridge.name has no effect'));
  await driver.call('NetworkDriver.CreateEndpoint', {
    NetworkID: 'network',
    EndpointID: 'e1',
    Interface: { Address: '192.168.5.2/24', AddressIPv6: '', MacAddress: '' },
    Options: {},
  });
  const joined = await driver.call('NetworkDriver.Join', {
    NetworkID: 'network',
    EndpointID: 'e1',
    SandboxKey: '/s',
  });
  assert.equal((joined as { InterfaceName: { DstPrefix: string } }).InterfaceName.DstPrefix, 'vpn');

  const swarm = await serveDriver({ scope: 'global' });
  try {
    assert.deepEqual(await swarm.call('NetworkDriver.CreateNetwork', refused), {});
    assert(warnedOf(swarm, fault));
  } finally {
    await swarm.close();
  }
});

const warnedOf = (of: ServedDriver, text: string) =>
  of.lines.some(({ level, message }) => level === 'warn' && message.includes(text));

test('an option of one container that is neither ours nor Docker’s is refused by name, with the nearest', async () => {
  await createNetwork();
  for (const [name, message] of [
    ['keepalive', 'unknown option keepalive; did you mean io.bestov.wg.keepalive?'],
    [
      'io.bestov.privatekeyfil',
      'unknown option io.bestov.privatekeyfil; did you mean io.bestov.wg.privatekeyfile?',
    ],
    ['foo', 'unknown option foo; the names of this driver’s begin with io.bestov.wg.'],
  ] as const) {
    const answer = await createEndpoint('e1', '192.168.5.2/24', 'network', { [name]: 'marked' });
    assert.deepEqual(answer, { Err: message });
  }
  assert.deepEqual((await driver.traces()).endpoints, []);
});

test('of Docker’s options for one container those are warned of that are a network’s, and the engine’s own are not', async () => {
  await createNetwork();
  const answer = await createEndpoint('e1', '192.168.5.2/24', 'network', {
    'com.docker.network.endpoint.sysctls': 'net.ipv4.conf.IFNAME.log_martians=1',
    'com.docker.network.endpoint.ifname': 'vpn0',
    'com.docker.network.driver.private.no_proxy_6to4': true,
    'com.docker.network.driver.mtu': '1300',
  });
  assert.deepEqual(answer, { Interface: {} });
  assert(warnedOf(driver, 'option com.docker.network.driver.mtu has no effect on a single container'));
  assert.equal(driver.lines.filter(({ message }) => message.includes('has no effect')).length, 1);
});

test('on a network of 0.1 a container starts with the unknown options that it was made with, and is warned of', async () => {
  await createNetwork();
  const file = join(driver.folder, 'state', 'networks', 'network.json');
  const record = JSON.parse(await readFile(file, 'utf8'));
  await writeFile(file, JSON.stringify({ ...record, version: 1 }));
  await driver.restart();
  const answer = await createEndpoint('e1', '192.168.5.2/24', 'network', { foo: 'marked' });
  assert.deepEqual(answer, { Interface: {} });
  assert(warnedOf(driver, 'unknown option foo'));
});

// A node makes a Swarm's network anew for its next task, out of a config-only network that 0.1 may have been there for.
test('a Swarm’s network and its tasks are warned of with unknown options, in scope local too', async () => {
  const id = 'z9wkpdrleygj2ghcccebxdoiy';
  const request = createNetworkRequest({ id });
  const generic = request.Options['com.docker.network.generic'] as object;
  const Options = { ...request.Options, 'com.docker.network.generic': { ...generic, mtu: '1380' } };
  assert.deepEqual(await driver.call('NetworkDriver.CreateNetwork', { ...request, Options }), {});
  assert(warnedOf(driver, 'unknown option mtu; did you mean io.bestov.wg.mtu?'));
  const answer = await createEndpoint('e1', '192.168.5.2/24', id, { foo: 'marked' });
  assert.deepEqual(answer, { Interface: {} });
  assert(warnedOf(driver, 'unknown option foo'));
});

test('a subnet that no container can be in is refused; one that the engine may have chosen is warned of', async () => {
  for (const [pool, gateway] of [
    ['224.0.0.0/24', '224.0.0.1/24'],
    ['127.5.0.0/16', '127.5.0.1/16'],
  ] as const) {
    const answer = await driver.call(
      'NetworkDriver.CreateNetwork',
      createNetworkRequest({ subnets: [[pool, gateway]] }),
    );
    assert.match((answer as { Err: string }).Err, /^subnet .*: no container can have a multicast, loopback/);
  }
  const warnings = () =>
    driver.lines.filter(({ message }) => message.startsWith('if Docker chose subnet')).length;
  for (const [id, pool, count] of [
    ['given', '192.168.5.0/24', 0],
    ['chosen', '172.18.0.0/16', 1],
    ['chosen-too', '192.168.32.0/20', 2],
  ] as const) {
    await driver.call(
      'NetworkDriver.CreateNetwork',
      createNetworkRequest({ id, subnets: [[pool, pool.replace('.0/', '.1/')]] }),
    );
    assert.equal(warnings(), count, pool);
  }
});
