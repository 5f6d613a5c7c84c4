import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import * as v from 'valibot';
import { judgeClock } from '../../src/doctor/clock.ts';
import { judgeDns } from '../../src/doctor/dns.ts';
import { judgeEngine } from '../../src/doctor/engine.ts';
import { configOf, isSharedTunnel, type Survey, surveyEngine } from '../../src/doctor/engine-survey.ts';
import { judgeIpRange } from '../../src/doctor/ip-range.ts';
import { judgeDisabled, judgePlugin, probePlugin } from '../../src/doctor/plugin.ts';
import { judgeSeeds, probeSecretFiles } from '../../src/doctor/seeds.ts';
import { judgeStranded } from '../../src/doctor/stranded.ts';
import { Network } from '../../src/engine/api.ts';
import { createEngine } from '../../src/engine/client.ts';
import { findManagedPlugin, isDriver, socketOfManaged } from '../../src/engine/managed-plugin.ts';
import { RequestError } from '../../src/engine/request.ts';
import { answers, serveUnix } from '../support/unix-server.ts';

const seed = 'dGVzdHNlZWQK';
const driver = 'wireguard-plugin';

const networks = [
  { Id: 'n1', Name: 'tunnel', Driver: driver, Internal: false, Options: { 'io.bestov.wg.seed': seed } },
  { Id: 'n2', Name: 'app', Driver: 'bridge', Internal: true, Options: {} },
];
const NetworkSettings = {
  SandboxKey: '/var/run/docker/netns/15e68092381c',
  Networks: {
    tunnel: { NetworkID: 'n1', EndpointID: 'e1', Gateway: '192.168.5.1', GwPriority: 3 },
    app: { NetworkID: 'n2', EndpointID: 'e2', Gateway: '172.18.0.1' },
  },
};
const container = { Id: 'c1', Name: '/web', HostConfig: { Dns: [] }, NetworkSettings };

const attachments = [
  {
    network: 'tunnel',
    endpointId: 'e1',
    gateway: '192.168.5.1',
    gatewayIpv6: '',
    gwPriority: 3,
    isOurs: true,
    isInternal: false,
    hasKillswitch: true,
  },
  {
    network: 'app',
    endpointId: 'e2',
    gateway: '172.18.0.1',
    gatewayIpv6: '',
    gwPriority: 0,
    isOurs: false,
    isInternal: true,
    hasKillswitch: false,
  },
];

/** The engine’s words where the driver is away. */
const unstartable =
  'failed to create endpoint boot on network tunnel: dial unix /run/docker/plugins/wireguard-plugin.sock: ' +
  'connect: no such file or directory';

const plain = { isPrivileged: false, capAdd: [], capDrop: [] };

function taken(survey: Survey | Error): Survey {
  assert.ok(!(survey instanceof Error), String(survey));
  return survey;
}

test('survey: each container is asked for, and some go meanwhile', async (t) => {
  const { socketPath, asked } = await serveUnix(
    t,
    answers({
      '/version': { Version: '28.5.2' },
      '/info': { Swarm: { LocalNodeState: 'inactive' } },
      '/networks': networks,
      '/containers/json': [
        ...['c1', 'gone'].map((Id) => ({
          Id,
          NetworkSettings: { Networks: { tunnel: { NetworkID: 'n1' } } },
        })),
        { Id: 'sidecar', HostConfig: { NetworkMode: 'container:c1' } },
        { Id: 'stranger', HostConfig: { NetworkMode: 'bridge' } },
        { Id: 'boot', State: 'exited', NetworkSettings: { Networks: { tunnel: { NetworkID: '' } } } },
        { Id: 'ended', State: 'exited', NetworkSettings: { Networks: { tunnel: { NetworkID: 'n1' } } } },
        { Id: 'other', State: 'exited', NetworkSettings: { Networks: { app: { NetworkID: 'n2' } } } },
      ],
      '/containers/c1/json': container,
      '/containers/boot/json': { Id: 'boot', Name: '/boot', State: { Error: unstartable } },
      '/containers/ended/json': { Id: 'ended', Name: '/ended', State: { Error: '' } },
      '/containers/sidecar/json': { Id: 'sidecar', Name: '/sidecar', HostConfig: { Privileged: true } },
    }),
  );
  const survey = taken(await surveyEngine(createEngine(socketPath), driver));
  assert.deepEqual(asked, [
    'GET /version',
    'GET /info',
    'GET /networks',
    'GET /containers/json?all=1',
    'GET /containers/c1/json',
    'GET /containers/sidecar/json',
    'GET /containers/gone/json',
    'GET /containers/boot/json',
    'GET /containers/ended/json',
  ]);
  assert.deepEqual(
    survey.networks.map(({ name }) => name),
    ['tunnel'],
  );
  const { SandboxKey: sandboxKey } = NetworkSettings;
  const sharers = [{ ...plain, name: 'sidecar', pid: 0, isPrivileged: true }];
  assert.deepEqual(survey.containers, [
    { name: 'web', pid: 0, sandboxKey, attachments, dns: [], ...plain, sharers },
  ]);
  assert.deepEqual(survey.stranded, [{ name: 'boot', cause: unstartable }]);
  const stranded = judgeStranded(survey);
  assert.match(stranded.cause, /^the engine could not start boot, .*: failed to create endpoint boot /);
  assert.equal(stranded.fix, '`docker start boot`');
  assert.equal(judgeStranded({ stranded: [] }).status, 'pass');
  assert.equal(judgeDns(survey).status, 'warn');
  assert.ok(!inspect(survey, { depth: null }).includes(seed));
});

test('survey: without a network of the driver no container is asked for', async (t) => {
  const { socketPath, asked } = await serveUnix(
    t,
    answers({ '/version': { Version: '28.5.2' }, '/info': {}, '/networks': networks }),
  );
  const survey = taken(await surveyEngine(createEngine(socketPath), 'another'));
  assert.deepEqual(survey.networks, []);
  assert.deepEqual(asked, ['GET /version', 'GET /info', 'GET /networks']);
});

test('engine: its version', () => {
  const info = { isSwarmNode: false, isRootless: false, isDesktop: false };
  const survey = { ...info, networks: [], configs: [], containers: [], stranded: [] };
  for (const [versionText, version, status] of [
    ['20.10.24+dfsg1', { major: 20, minor: 10 }, 'pass'],
    ['28.5.2', { major: 28, minor: 5 }, 'pass'],
    ['19.03.15', { major: 19, minor: 3 }, 'warn'],
  ] as const) {
    assert.equal(judgeEngine('/run/d.sock', { ...survey, versionText, version }).status, status, versionText);
  }
  assert.equal(judgeEngine('/run/d.sock', { ...survey, versionText: 'dev' }).status, 'warn');
  for (const [kind, cause] of [
    ['isRootless', /is rootless, and its containers are out of reach/],
    ['isDesktop', /is Docker Desktop’s, and/],
  ] as const) {
    const finding = judgeEngine('/run/d.sock', { ...survey, versionText: '28.5.2', [kind]: true });
    assert.equal(finding.status, 'fail');
    assert.match(finding.cause, cause);
  }
});

test('engine and plugin: why nobody answers', () => {
  for (const [code, status, cause] of [
    ['ENOENT', 'fail', '/run/s.sock does not exist'],
    ['ECONNREFUSED', 'fail', 'nobody answers on /run/s.sock'],
    ['EACCES', 'skip', /^only root .*may use \/run\/s\.sock/],
    ['ETIMEDOUT', 'fail', /no answer in 10 s/],
  ] as const) {
    const error = new RequestError('GET /version', code === 'ETIMEDOUT' ? 'no answer in 10 s' : code, code);
    for (const finding of [judgeEngine('/run/s.sock', error), judgePlugin('/run/s.sock', error)]) {
      assert.equal(finding.status, status);
      assert.match(finding.cause, typeof cause === 'string' ? new RegExp(`^${cause}$`) : cause);
    }
  }
});

test('plugin: what Plugin.Activate answers', async (t) => {
  for (const [body, status] of [
    [{ Implements: ['NetworkDriver'] }, 'pass'],
    [{ Implements: ['VolumeDriver'] }, 'fail'],
    [{ Err: 'broken' }, 'fail'],
  ] as const) {
    const { socketPath, asked } = await serveUnix(t, answers({ '/Plugin.Activate': body }));
    assert.equal(judgePlugin(socketPath, await probePlugin(socketPath)).status, status);
    assert.equal(asked[0], 'POST /Plugin.Activate');
  }
  const notReady = answers({
    '/Plugin.Activate': { Implements: ['NetworkDriver'] },
    '/Plugin.Health': { ready: false, missing: 'a disk is full' },
  });
  const { socketPath } = await serveUnix(t, notReady);
  const finding = judgePlugin(socketPath, await probePlugin(socketPath));
  assert.equal(finding.status, 'fail');
  assert.match(finding.cause, /refuses every call: a disk is full$/);

  const protecting = answers({
    '/Plugin.Activate': { Implements: ['NetworkDriver'] },
    '/Plugin.Health': {
      ready: true,
      endpoints: [
        { endpointId: 'a'.repeat(64), container: 'one', killswitch: 'down' },
        { endpointId: 'b'.repeat(64), killswitch: 'down' },
        { endpointId: 'c'.repeat(64), container: 'three', killswitch: 'up' },
        {
          endpointId: 'd'.repeat(64),
          container: 'four',
          killswitch: 'off',
          hubs: [
            { publicKey: 'k1', lastHandshake: '2026-11-22T12:00:00.123Z', lastHandshakeAgeSeconds: 9 },
            // As a driver of before its ages says it, and one without a handshake.
            { publicKey: 'k2', lastHandshake: '2026-11-22T12:00:00.123Z' },
            { publicKey: 'k3' },
          ],
        },
      ],
    },
  });
  const protector = await serveUnix(t, protecting);
  const probed = await probePlugin(protector.socketPath);
  assert(!(probed instanceof Error));
  assert.deepEqual(
    [...(probed.handshakes.get('d'.repeat(64))?.peers ?? [])],
    [['k1', { handshake: Date.parse('2026-11-22T12:00:00.123Z'), ageMs: 9000 }]],
  );
  const unprotected = judgePlugin(protector.socketPath, probed);
  assert.equal(unprotected.status, 'fail');
  assert.match(unprotected.cause, /may leave unencrypted: one, bbbbbbbbbbbb$/);

  const unavailable = await serveUnix(t, (_, response) =>
    response.writeHead(503).end('{"Err":"wgdriver cannot start"}'),
  );
  const given = judgePlugin(unavailable.socketPath, await probePlugin(unavailable.socketPath));
  assert.equal(given.status, 'fail');
  assert.match(`${given.cause} ${given.fix}`, /systemd has stopped trying .*reset-failed/);

  const { status, cause } = judgePlugin('/nowhere/p.sock', await probePlugin('/nowhere/p.sock'));
  assert.deepEqual([status, cause], ['fail', '/nowhere/p.sock does not exist']);
});

function network(name: string, more: Partial<Network> = {}): Network {
  return {
    id: name,
    name,
    driver,
    scope: 'local',
    isConfigOnly: false,
    configFrom: '',
    isInternal: false,
    optionNames: [],
    hasKillswitch: true,
    hublink: undefined,
    allowedips: undefined,
    secretFiles: [],
    subnets: [],
    ...more,
  };
}

test('seeds', () => {
  const file = network('file', { optionNames: ['io.bestov.wg.seedfile'] });
  const open = network('open', { optionNames: ['io.bestov.wg.seed'] });
  assert.equal(judgeSeeds({ networks: [file], configs: [] }, []).status, 'pass');
  for (const survey of [
    { networks: [file, open], configs: [] },
    { networks: [], configs: [open] },
  ]) {
    const { status, cause } = judgeSeeds(survey, []);
    assert.deepEqual([status, cause], ['warn', '`docker network inspect` shows the seed of open']);
  }
});

test('seeds: files that others can read, where they are', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-seeds-'));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'good.seed'), '', { mode: 0o600 });
  await writeFile(join(folder, 'open.conf'), '');
  await chmod(join(folder, 'open.conf'), 0o644);
  const survey = {
    networks: [network('one', { secretFiles: ['good.seed', 'gone.seed'] })],
    configs: [network('two', { secretFiles: [join(folder, 'open.conf'), 'open.conf'] })],
  };
  const open = await probeSecretFiles(survey, folder);
  assert.deepEqual(open, [join(folder, 'open.conf')]);
  const { status, cause, fix } = judgeSeeds(survey, open);
  assert.deepEqual([status, cause], ['warn', `users other than root can read ${open[0]}`]);
  assert.equal(fix, `\`chmod 600 ${open[0]}\``);
});

function ranged(name: string, ipRange: string, more: Partial<Network> = {}): Network {
  return network(name, { subnets: [{ subnet: '192.168.5.0/24', ipRange }], ...more });
}

test('ip-range: what this host assigns, to be compared with others', () => {
  const judge = (...networks: Network[]) => judgeIpRange({ networks, configs: [], isSwarmNode: false });
  assert.deepEqual(judge(ranged('here', '192.168.5.0/25')), {
    name: 'ip-range',
    status: 'pass',
    cause: 'here assigns 192.168.5.0/25 of 192.168.5.0/24',
  });
  const { status, cause } = judge(ranged('a', '192.168.5.0/25'), ranged('b', ''));
  assert.equal(status, 'pass');
  assert.match(cause, /^a assigns 192\S+ of 192\S+, b assigns all of 192\.168\.5\.0\/24; if another host/);
});

test('ip-range: on a Swarm’s node the config-only network needs one', () => {
  const judge = (networks: Network[], configs: Network[]) =>
    judgeIpRange({ networks, configs, isSwarmNode: true });
  const config = (ipRange: string) => ranged('wgconfig', ipRange, { driver: 'null', isConfigOnly: true });
  const fromConfig = ranged('wgnet', '', { scope: 'swarm', configFrom: 'wgconfig' });

  const { status, cause, fix } = judge([fromConfig], [config('')]);
  assert.equal(status, 'warn');
  assert.match(
    cause,
    /^wgconfig assigns all of 192\.168\.5\.0\/24; other nodes of the Swarm assign the same/,
  );
  assert.match(fix ?? '', /on each node with an --ip-range of its own/);

  assert.deepEqual(judge([fromConfig], [config('192.168.5.64/26')]), {
    name: 'ip-range',
    status: 'pass',
    cause: 'wgconfig assigns 192.168.5.64/26 of 192.168.5.0/24',
  });
  // Of a driver whose scope is global.
  assert.deepEqual(judge([ranged('cluster', '', { scope: 'swarm' })], []), {
    name: 'ip-range',
    status: 'pass',
    cause: 'the Swarm’s managers assign all addresses',
  });
});

test('the driver’s name: as it is, and with the tag and the registry of a managed plugin', () => {
  for (const [candidate, name, expected] of [
    ['wireguard-plugin', 'wireguard-plugin', true],
    ['wireguard-plugin:latest', 'wireguard-plugin', true],
    ['localhost:5000/team/wireguard-plugin:0.1', 'wireguard-plugin', true],
    ['wireguard-plugin:latest', 'wireguard-plugin:latest', true],
    ['wireguard-plugin:latest', 'wireguard-plugin:other', false],
    ['wireguard-plugin-2', 'wireguard-plugin', false],
    ['other:wireguard-plugin', 'wireguard-plugin', false],
    ['bridge', 'wireguard-plugin', false],
    ['', 'wireguard-plugin', false],
  ] as const) {
    assert.equal(isDriver(candidate, name), expected, `${candidate} is ${name}`);
  }
});

test('a managed plugin: found by its name, an enabled one first, and its socket is the engine’s', async (t) => {
  const plugin = (Id: string, Name: string, Enabled: boolean) => ({
    Id,
    Name,
    Enabled,
    Config: { Interface: { Types: ['docker.networkdriver/1.0'], Socket: 'wgdriver.sock' } },
  });
  const { socketPath } = await serveUnix(
    t,
    answers({
      '/plugins': [
        plugin('p1', 'other:latest', true),
        plugin('p2', 'wireguard-plugin:old', false),
        plugin('p3', 'wireguard-plugin:latest', true),
      ],
    }),
  );
  const found = await findManagedPlugin(createEngine(socketPath), driver);
  assert.equal(found && socketOfManaged(found), '/run/docker/plugins/p3/wgdriver.sock');
  assert.equal(await findManagedPlugin(createEngine(socketPath), 'none'), undefined);
  assert.equal(await findManagedPlugin(createEngine('/nowhere'), driver), undefined);
  assert(found);
  assert.deepEqual(judgeDisabled(found), {
    name: 'plugin',
    status: 'fail',
    cause: 'the managed plugin wireguard-plugin:latest is disabled',
    fix: 'enable it: `docker plugin enable wireguard-plugin:latest`',
  });
});

test('clock', () => {
  for (const [answer, status] of [
    [{ ok: true, stdout: 'yes\n' }, 'pass'],
    [{ ok: true, stdout: 'no\n' }, 'warn'],
    [{ ok: true, stdout: '' }, 'skip'],
    [{ ok: false, cause: 'System has not been booted with systemd as init system' }, 'skip'],
  ] as const) {
    assert.equal(judgeClock(answer).status, status);
  }
});

test('dns', () => {
  const engine = (major: number, ...dns: string[][]) => ({
    versionText: `${major}.0.0`,
    version: { major, minor: 0 },
    containers: dns.map((servers, index) => ({
      name: `c${index}`,
      sandboxKey: '',
      pid: 0,
      attachments: [],
      sharers: [],
      ...plain,
      dns: servers,
    })),
  });
  assert.equal(judgeDns(engine(27, [])).status, 'pass');
  assert.equal(judgeDns(engine(28, ['9.9.9.9'])).status, 'pass');
  const { status, cause } = judgeDns(engine(28, ['9.9.9.9'], []));
  assert.deepEqual([status, cause], ['warn', 'DNS queries leave from the host, past the tunnel: c1']);
});

test('containers share a tunnel on a network with a file, a subnet and no seed', () => {
  const of = (names: readonly string[], subnets: readonly string[], configFrom = '') =>
    v.parse(Network, {
      Id: 'n',
      Name: 'vpn',
      ConfigFrom: { Network: configFrom },
      Options: Object.fromEntries(names.map((name) => [`io.bestov.wg.${name}`, 'x'])),
      IPAM: { Config: subnets.map((Subnet) => ({ Subnet })) },
    });
  assert(isSharedTunnel(of(['conffile'], ['10.77.0.0/24']), undefined));
  assert(!isSharedTunnel(of(['conffile'], ['0.0.0.0/0']), undefined));
  assert(!isSharedTunnel(of(['conffile'], []), undefined));
  assert(!isSharedTunnel(of(['conffile', 'seedfile'], ['10.77.0.0/24']), undefined));
  assert(!isSharedTunnel(of(['seedfile'], ['10.77.0.0/24']), undefined));
  const config = of(['conffile'], []);
  assert.equal(configOf(of([], [], 'vpn'), [config]), config);
  assert(isSharedTunnel(of([], ['10.77.0.0/24'], 'vpn'), config));
});
