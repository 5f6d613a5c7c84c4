import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { judgeDns } from '../../src/doctor/dns.ts';
import { judgeEngine } from '../../src/doctor/engine.ts';
import { judgeIpRange } from '../../src/doctor/ip-range.ts';
import { judgePlugin, probePlugin } from '../../src/doctor/plugin.ts';
import { judgeSeeds } from '../../src/doctor/seeds.ts';
import { type Survey, surveyEngine } from '../../src/doctor/survey.ts';
import { createEngine } from '../../src/engine/client.ts';
import { RequestError } from '../../src/engine/request.ts';
import { answers, serveUnix } from '../engine-client/unix-server.ts';

const seed = 'dGVzdHNlZWQK';
const driver = 'wireguard-plugin';

const networks = [
  { Id: 'n1', Name: 'tunnel', Driver: driver, Internal: false, Options: { 'io.bestov.wg.seed': seed } },
  { Id: 'n2', Name: 'app', Driver: 'bridge', Internal: true, Options: {} },
];
const NetworkSettings = {
  Networks: {
    tunnel: { NetworkID: 'n1', Gateway: '192.168.5.1', GwPriority: 3 },
    app: { NetworkID: 'n2', Gateway: '172.18.0.1' },
  },
};
const summary = { Id: 'c1', Names: ['/web'], NetworkSettings };

const attachments = [
  {
    network: 'tunnel',
    gateway: '192.168.5.1',
    gatewayIpv6: '',
    gwPriority: 3,
    isOurs: true,
    isInternal: false,
  },
  {
    network: 'app',
    gateway: '172.18.0.1',
    gatewayIpv6: '',
    gwPriority: 0,
    isOurs: false,
    isInternal: true,
  },
];

function taken(survey: Survey | Error): Survey {
  assert.ok(!(survey instanceof Error), String(survey));
  return survey;
}

test('survey: engines up to 27 are asked three times, whatever runs', async (t) => {
  const { socketPath, asked } = await serveUnix(
    t,
    answers({ '/version': { Version: '27.5.1' }, '/networks': networks, '/containers/json': [summary] }),
  );
  const survey = taken(await surveyEngine(createEngine(socketPath), driver));
  assert.deepEqual(asked, [
    'GET /version',
    'GET /networks',
    'GET /containers/json?filters={"network":["n1"]}',
  ]);
  assert.deepEqual(
    survey.networks.map(({ name }) => name),
    ['tunnel'],
  );
  assert.deepEqual(survey.containers[0]?.attachments, attachments);
  assert.equal(judgeDns(survey).status, 'pass');
  assert.ok(!inspect(survey, { depth: null }).includes(seed));
});

test('survey: engines from 28 on are asked for each container, some of which go meanwhile', async (t) => {
  const { socketPath, asked } = await serveUnix(
    t,
    answers({
      '/version': { Version: '28.5.2' },
      '/networks': networks,
      '/containers/json': [summary, { ...summary, Id: 'gone' }],
      '/containers/c1/json': { Id: 'c1', Name: '/web', HostConfig: { Dns: [] }, NetworkSettings },
    }),
  );
  const survey = taken(await surveyEngine(createEngine(socketPath), driver));
  assert.deepEqual(asked.slice(3), ['GET /containers/c1/json', 'GET /containers/gone/json']);
  assert.deepEqual(survey.containers, [{ id: 'c1', name: 'web', attachments, dns: [] }]);
  assert.equal(judgeDns(survey).status, 'warn');
});

test('survey: without a network of the driver no container is asked for', async (t) => {
  const { socketPath, asked } = await serveUnix(
    t,
    answers({ '/version': { Version: '28.5.2' }, '/networks': networks }),
  );
  const survey = taken(await surveyEngine(createEngine(socketPath), 'another'));
  assert.deepEqual(survey.networks, []);
  assert.deepEqual(asked, ['GET /version', 'GET /networks']);
});

test('engine: its version', () => {
  const survey = { networks: [], containers: [] };
  for (const [versionText, version, status] of [
    ['20.10.24+dfsg1', { major: 20, minor: 10 }, 'pass'],
    ['28.5.2', { major: 28, minor: 5 }, 'pass'],
    ['19.03.15', { major: 19, minor: 3 }, 'warn'],
  ] as const) {
    assert.equal(judgeEngine('/run/d.sock', { ...survey, versionText, version }).status, status, versionText);
  }
  assert.equal(judgeEngine('/run/d.sock', { ...survey, versionText: 'dev' }).status, 'warn');
});

test('engine and plugin: why nobody answers', () => {
  for (const [code, status, cause] of [
    ['ENOENT', 'fail', '/run/s.sock is not there'],
    ['ECONNREFUSED', 'fail', 'nobody answers on /run/s.sock'],
    ['EACCES', 'skip', /^\/run\/s\.sock is for root/],
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
    assert.deepEqual(asked, ['POST /Plugin.Activate']);
  }
  const { status, cause } = judgePlugin('/nowhere/p.sock', await probePlugin('/nowhere/p.sock'));
  assert.deepEqual([status, cause], ['fail', '/nowhere/p.sock is not there']);
});

test('seeds', () => {
  const network = (name: string, optionNames: string[]) => ({
    id: name,
    name,
    driver,
    isInternal: false,
    optionNames,
    subnets: [],
  });
  const file = network('file', ['io.bestov.wg.seedfile']);
  assert.equal(judgeSeeds({ networks: [file] }).status, 'pass');
  const { status, cause } = judgeSeeds({ networks: [file, network('open', ['io.bestov.wg.seed'])] });
  assert.deepEqual([status, cause], ['warn', '`docker network inspect` shows the seed of open']);
});

test('ip-range: what this host gives away, to be compared with others', () => {
  const network = (name: string, ipRange: string) => ({
    id: name,
    name,
    driver,
    isInternal: false,
    optionNames: [],
    subnets: [{ subnet: '192.168.5.0/24', ipRange }],
  });
  assert.deepEqual(judgeIpRange({ networks: [network('here', '192.168.5.0/25')] }), {
    name: 'ip-range',
    status: 'pass',
    cause: 'here gives away 192.168.5.0/25 of 192.168.5.0/24',
  });
  const { status, cause } = judgeIpRange({ networks: [network('a', '192.168.5.0/25'), network('b', '')] });
  assert.equal(status, 'pass');
  assert.match(
    cause,
    /^a gives away 192\S+ of 192\S+, b gives away all of 192\.168\.5\.0\/24; if another host/,
  );
});

test('dns', () => {
  const engine = (major: number, ...dns: string[][]) => ({
    versionText: `${major}.0.0`,
    version: { major, minor: 0 },
    containers: dns.map((servers, index) => ({ name: `c${index}`, attachments: [], dns: servers })),
  });
  assert.equal(judgeDns(engine(27, [])).status, 'pass');
  assert.equal(judgeDns(engine(28, ['9.9.9.9'])).status, 'pass');
  const { status, cause } = judgeDns(engine(28, ['9.9.9.9'], []));
  assert.deepEqual([status, cause], ['warn', 'DNS is asked past the tunnel, from the host: c1']);
});
