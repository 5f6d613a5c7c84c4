import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { createEngine } from '../../src/engine/client.ts';
import { RequestError } from '../../src/engine/request.ts';
import { isOlder, parseVersionNumber } from '../../src/version-number.ts';
import { answers, serveUnix } from '../support/unix-server.ts';

const seed = 'dGVzdHNlZWQK';

test('version', async (t) => {
  const { socketPath, asked } = await serveUnix(t, answers({ '/version': { Version: '20.10.24+dfsg1' } }));
  assert.equal(await createEngine(socketPath).version(), '20.10.24+dfsg1');
  assert.deepEqual(asked, ['GET /version']);
});

test('networks: options come without their values', async (t) => {
  const options = { 'io.bestov.wg.seed': seed, 'io.bestov.wg.peer': '192.0.2.1:51820' };
  const { socketPath } = await serveUnix(
    t,
    answers({
      '/networks': [
        {
          Id: 'n1',
          Name: 'tunnel',
          Driver: 'wireguard-plugin',
          Scope: 'local',
          Internal: false,
          Options: options,
          IPAM: { Config: [{ Subnet: '10.9.0.0/24', IPRange: '10.9.0.0/25' }, { Subnet: '10.8.0.0/24' }] },
        },
        {
          Id: 'n2',
          Name: 'config',
          Driver: 'null',
          ConfigOnly: true,
          ConfigFrom: { Network: '' },
          Internal: true,
          Options: null,
          IPAM: { Config: null },
        },
      ],
    }),
  );
  const networks = await createEngine(socketPath).networks();
  assert.deepEqual(networks, [
    {
      id: 'n1',
      name: 'tunnel',
      driver: 'wireguard-plugin',
      scope: 'local',
      isConfigOnly: false,
      configFrom: '',
      isInternal: false,
      optionNames: ['io.bestov.wg.seed', 'io.bestov.wg.peer'],
      hasKillswitch: true,
      hublink: undefined,
      allowedips: undefined,
      secretFiles: [],
      subnets: [
        { subnet: '10.9.0.0/24', ipRange: '10.9.0.0/25' },
        { subnet: '10.8.0.0/24', ipRange: '' },
      ],
    },
    {
      id: 'n2',
      name: 'config',
      driver: 'null',
      scope: '',
      isConfigOnly: true,
      configFrom: '',
      isInternal: true,
      optionNames: [],
      hasKillswitch: true,
      hublink: undefined,
      allowedips: undefined,
      secretFiles: [],
      subnets: [],
    },
  ]);
  assert.ok(!inspect(networks, { depth: null }).includes(seed));
});

test('containers: their names and networks, and in whose namespace they are', async (t) => {
  const { socketPath, asked } = await serveUnix(
    t,
    answers({
      '/containers/json': [
        {
          Id: 'c1',
          Names: ['/app'],
          NetworkSettings: { Networks: { web: { NetworkID: 'n2', EndpointID: 'e1' } } },
        },
        { Id: 'c2', HostConfig: { NetworkMode: 'container:c1' }, NetworkSettings: null },
      ],
    }),
  );
  assert.deepEqual(await createEngine(socketPath).containers(), [
    {
      id: 'c1',
      names: ['app'],
      isStopped: false,
      networkMode: '',
      networkNames: ['web'],
      networkIds: ['n2'],
      endpointIds: ['e1'],
    },
    {
      id: 'c2',
      names: [],
      isStopped: false,
      networkMode: 'container:c1',
      networkNames: [],
      networkIds: [],
      endpointIds: [],
    },
  ]);
  assert.deepEqual(asked, ['GET /containers/json']);
});

test('container: DNS servers and priorities, as API 1.48 has them', async (t) => {
  const { socketPath, asked } = await serveUnix(
    t,
    answers({
      '/containers/c1/json': {
        Id: 'c1',
        Name: '/app',
        HostConfig: { Dns: ['9.9.9.9'], Privileged: true, CapAdd: ['NET_ADMIN'], CapDrop: ['ALL'] },
        NetworkSettings: {
          SandboxKey: '/var/run/docker/netns/1',
          Networks: { web: { NetworkID: 'n2', EndpointID: 'e2', Gateway: '172.18.0.1', GwPriority: 7 } },
        },
      },
      '/containers/c2/json': { Id: 'c2', Name: '/bare', HostConfig: { Dns: null }, NetworkSettings: {} },
    }),
  );
  const engine = createEngine(socketPath);
  const endpoint = {
    network: 'web',
    networkId: 'n2',
    endpointId: 'e2',
    gateway: '172.18.0.1',
    gatewayIpv6: '',
    gwPriority: 7,
  };
  assert.deepEqual(await engine.container('c1'), {
    id: 'c1',
    name: 'app',
    pid: 0,
    startError: '',
    sandboxKey: '/var/run/docker/netns/1',
    endpoints: [endpoint],
    dns: ['9.9.9.9'],
    isPrivileged: true,
    capAdd: ['NET_ADMIN'],
    capDrop: ['ALL'],
  });
  assert.deepEqual(await engine.container('c2'), {
    id: 'c2',
    name: 'bare',
    pid: 0,
    startError: '',
    sandboxKey: '',
    endpoints: [],
    dns: [],
    isPrivileged: false,
    capAdd: [],
    capDrop: [],
  });
  assert.deepEqual(asked, ['GET /containers/c1/json', 'GET /containers/c2/json']);
});

test('a network may have any name, as its addresses and options may', async (t) => {
  const names = ['prototype', 'constructor'];
  const named = <Value>(value: Value) => Object.fromEntries(names.map((name) => [name, value]));
  const NetworkSettings = { Networks: named({ NetworkID: 'n1', EndpointID: 'e1' }) };
  const network = {
    Id: 'n1',
    Name: 'prototype',
    Options: named('x'),
    IPAM: { Config: [{ Subnet: '10.9.0.0/24', AuxiliaryAddresses: named('10.9.0.9') }] },
  };
  const { socketPath } = await serveUnix(
    t,
    answers({
      '/containers/json': [{ Id: 'c1', NetworkSettings }],
      '/containers/c1/json': { Id: 'c1', Name: '/app', NetworkSettings },
      '/networks': [network],
      '/networks/prototype': network,
    }),
  );
  const engine = createEngine(socketPath);
  const [listed] = await engine.containers();
  assert.deepEqual([listed?.networkNames, listed?.networkIds], [names, ['n1', 'n1']]);
  assert.deepEqual(
    (await engine.container('c1')).endpoints.map((endpoint) => endpoint.network),
    names,
  );
  assert.deepEqual((await engine.networks())[0]?.optionNames, names);
  const { options, subnets } = await engine.network('prototype');
  assert.deepEqual([Object.keys(options), Object.keys(subnets[0]?.auxiliaryAddresses ?? {})], [names, names]);
});

test('an error names request and cause, once, and holds no answer', async (t) => {
  const { socketPath, asked } = await serveUnix(t, (request, response) => {
    switch (request.url) {
      case '/version':
        response.writeHead(500, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify({ message: 'out of order', secret: seed }));
        return;
      case '/networks':
        response.writeHead(200, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify([{ Id: 'n1', Name: 7, Options: { 'io.bestov.wg.seed': seed } }]));
        return;
      default:
        request.socket.destroy();
    }
  });
  const engine = createEngine(socketPath);
  const errors = await Promise.all(
    [engine.version(), engine.networks(), engine.container('c1')].map((call) =>
      call.then(
        () => assert.fail('expected an error'),
        (error: unknown) => error as Error,
      ),
    ),
  );
  assert.deepEqual(
    errors.map(({ message }) => message),
    [
      'GET /version: status 500: out of order',
      'GET /networks.0.Name: expected string',
      'GET /containers/c1/json: ECONNRESET',
    ],
  );
  assert.ok(!inspect(errors, { depth: null, showHidden: true }).includes(seed));
  assert.equal(asked.length, 3);
});

test('nobody there', async () => {
  await assert.rejects(
    createEngine('/nowhere/docker.sock').version(),
    (error) => error instanceof RequestError && error.code === 'ENOENT',
  );
});

test('parseVersionNumber, isOlder', () => {
  assert.deepEqual(parseVersionNumber('20.10.24+dfsg1'), { major: 20, minor: 10 });
  assert.deepEqual(parseVersionNumber('28.5.2'), { major: 28, minor: 5 });
  assert.equal(parseVersionNumber('dev'), undefined);
  const oldest = { major: 20, minor: 10 };
  assert.equal(isOlder({ major: 19, minor: 3 }, oldest), true);
  assert.equal(isOlder({ major: 20, minor: 9 }, oldest), true);
  assert.equal(isOlder({ major: 20, minor: 10 }, oldest), false);
  assert.equal(isOlder({ major: 28, minor: 0 }, oldest), false);
});
