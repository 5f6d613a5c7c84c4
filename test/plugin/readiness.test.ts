import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { capabilitiesOf } from '../../src/driver/driver.ts';
import type { Driver } from '../../src/plugin/driver.ts';
import { createReadiness, type Readiness } from '../../src/plugin/readiness.ts';
import { type PluginServer, servePlugin } from '../../src/plugin/server.ts';
import { callBytes, connectEngine, type EngineConnection } from '../support/engine-client.ts';
import { createNetworkRequest } from '../support/networks.ts';
import { recordedLog } from '../support/recorded-log.ts';

const endpoint = { NetworkID: 'network', EndpointID: 'e1' };

let folder: string;
let server: PluginServer;
let engine: EngineConnection;

async function serve(readiness: Readiness): Promise<void> {
  const plugin = {
    capabilities: capabilitiesOf('local'),
    driver: readiness.driver,
    health: async () => ({ ...readiness.state(), endpoints: [] }),
    reload: async () => ({}),
    metrics: async () => '',
  };
  server = await servePlugin(plugin, { path: join(folder, 'plugin.sock') }, recordedLog());
  engine = await connectEngine(join(folder, 'plugin.sock'));
}

const call = async (method: string, body?: unknown) =>
  (await engine.call(`NetworkDriver.${method}`, body)).body;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-readiness-'));
});
afterEach(async () => {
  engine.hangUp();
  await server.close();
  await rm(folder, { recursive: true });
});

const driver = { join: async () => ({ by: 'join' }) } as unknown as Driver;

test('what the engine asks once is answered whatever is missing; all else says at once what is', async () => {
  const readiness = createReadiness(60_000);
  await serve(readiness);
  readiness.refuse('a disk is full');
  assert.deepEqual((await engine.call('Plugin.Activate')).body, { Implements: ['NetworkDriver'] });
  assert.deepEqual(await call('GetCapabilities'), capabilitiesOf('local'));
  for (const [method, body] of [
    ['GwAllocCheck', { Options: {} }],
    ['AllocateNetwork', createNetworkRequest()],
    ['FreeNetwork', endpoint],
    ['CreateNetwork', createNetworkRequest()],
    ['DiscoverNew', { DiscoveryData: {} }],
    ['DiscoverDelete', { DiscoveryData: {} }],
    ...[
      'DeleteNetwork',
      'CreateEndpoint',
      'DeleteEndpoint',
      'EndpointOperInfo',
      'Join',
      'Leave',
      'ProgramExternalConnectivity',
      'RevokeExternalConnectivity',
    ].map((method) => [method, endpoint] as const),
  ] as const) {
    const { status, body: answer } = await engine.call(`NetworkDriver.${method}`, body);
    assert.deepEqual([status, answer], [200, { Err: 'the driver is not ready: a disk is full' }], method);
  }
  engine.send('GET /Plugin.Health HTTP/1.1\r\n\r\n');
  assert.deepEqual((await engine.answer()).body, { ready: false, missing: 'a disk is full', endpoints: [] });
  readiness.refuse('a kernel is old');
  assert.deepEqual(await call('Join', endpoint), { Err: 'the driver is not ready: a kernel is old' });
});

test('calls wait for a start under way, and get the driver', async () => {
  const readiness = createReadiness(60_000);
  await serve(readiness);
  engine.send(callBytes('NetworkDriver.Join', endpoint));
  const other = await connectEngine(join(folder, 'plugin.sock'));
  assert.deepEqual((await other.call('Plugin.Activate')).body, { Implements: ['NetworkDriver'] });
  other.hangUp();
  assert.deepEqual(readiness.state(), { ready: false, missing: 'it is still starting' });
  readiness.admit(driver);
  assert.deepEqual((await engine.answer()).body, { by: 'join' });
  assert.deepEqual(readiness.state(), { ready: true });
});

test('they wait for a start that hangs no longer than they must', async () => {
  const readiness = createReadiness(50);
  await serve(readiness);
  assert.deepEqual(await call('Join', endpoint), { Err: 'the driver is not ready: it is still starting' });
  readiness.admit(driver);
  assert.deepEqual(await call('Join', endpoint), { by: 'join' });
});

test('the removals that were refused are there to be made up for, once each', async () => {
  const readiness = createReadiness(60_000);
  await serve(readiness);
  readiness.refuse('a disk is full');
  for (const method of ['Leave', 'DeleteEndpoint', 'DeleteEndpoint', 'DeleteNetwork']) {
    assert('Err' in ((await call(method, endpoint)) as object));
  }
  assert.deepEqual(readiness.admit(driver), { endpoints: [endpoint], networks: [{ NetworkID: 'network' }] });
});

test('once it is ready nothing takes that back', async () => {
  const readiness = createReadiness(60_000);
  await serve(readiness);
  readiness.admit(driver);
  readiness.refuse('it is stopping');
  assert.deepEqual(await call('Join', endpoint), { by: 'join' });
});
