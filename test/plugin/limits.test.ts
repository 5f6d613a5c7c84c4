// What a slow or hostile client cannot do to the others.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { after, afterEach, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../build/host/commands.ts';
import { metricsRoute } from '../../src/plugin/calls.ts';
import { type Limits, metricsLimits, serveRoutes } from '../../src/plugin/server.ts';
import { callBytes, type EngineConnection, requestBytes } from '../support/engine-client.ts';
import { createNetworkRequest } from '../support/networks.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { type ServedDriver, serveDriver } from '../support/served-driver.ts';

const endpoint = { NetworkID: 'network', EndpointID: 'e1' };
const activated = { Implements: ['NetworkDriver'] };

let driver: ServedDriver;
let isOpen = false;
async function serve(limits: Partial<Limits>): Promise<void> {
  driver = await serveDriver({ limits });
  isOpen = true;
}
async function close(): Promise<void> {
  if (isOpen) {
    isOpen = false;
    await driver.close();
  }
}
afterEach(close);
after(close);

/** The route of metrics as the port for them serves it, on a socket. */
async function serveMetrics(t: TestContext, text: string, limits: Partial<Limits> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-metrics-'));
  const path = join(folder, 's.sock');
  let scrapes = 0;
  const route = metricsRoute({
    async metrics() {
      scrapes += 1;
      return text;
    },
  });
  const server = await serveRoutes(new Map([route]), { path }, recordedLog(), {
    ...metricsLimits,
    ...limits,
  });
  const open = new Set<Socket>();
  t.after(async () => {
    for (const socket of open) {
      socket.destroy();
    }
    await server.close();
    await rm(folder, { recursive: true });
  });
  const socketTo = async () => {
    const socket = connect(path);
    open.add(socket);
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  };
  return {
    socketTo,
    scrapes: () => scrapes,
    /** @returns the status line, and how long the answer was */
    async scrape(): Promise<{ readonly line: string; readonly length: number }> {
      const socket = await socketTo();
      socket.end('GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n');
      const answer = await textOf(socket);
      return { line: answer.split('\r\n')[0] ?? '', length: answer.length };
    },
  };
}

const connections = (count: number): Promise<EngineConnection[]> =>
  Promise.all(Array.from({ length: count }, () => driver.connect()));

for (const [what, bytes, limits] of [
  ['half a header', 'POST /NetworkDriver.Join HTTP/1.1\r\nHost: ', { headerMs: 100 }],
  ['one byte', 'P', { headerMs: 100 }],
  ['half a body', callBytes('NetworkDriver.Leave', endpoint).slice(0, -10), { headerMs: 50, requestMs: 100 }],
] as const) {
  test(`${what}, and no more: refused after a while, and nobody waits for it`, async () => {
    await serve(limits);
    const slow = await connections(20);
    for (const client of slow) {
      client.send(bytes);
    }
    assert.deepEqual(await driver.call('Plugin.Activate'), activated);
    for (const client of slow) {
      const { status, body } = await client.answer();
      assert.equal(status, 408);
      assert.deepEqual(body, { Err: 'the request took too long to arrive' });
      await client.ended();
    }
    assert.deepEqual(await driver.call('Plugin.Activate'), activated);
  });
}

test('a connection that waits for its next call, or its first, is never ended', async () => {
  await serve({ headerMs: 50, requestMs: 100 });
  const [used, reserve] = [await driver.connect(), await driver.connect()];
  for (let count = 0; count < 3; count++) {
    assert.deepEqual((await used.call('Plugin.Activate')).body, activated);
    await sleep(300);
  }
  assert.deepEqual((await reserve.call('Plugin.Activate')).body, activated);
  // Its time counts from now on.
  reserve.send('POST /NetworkDriver.Jo');
  assert.equal((await reserve.answer()).status, 408);
  assert.deepEqual((await used.call('Plugin.Activate')).body, activated);
});

test('a call may take longer than its request may', async () => {
  await serve({ headerMs: 50, requestMs: 100 });
  await driver.call('NetworkDriver.CreateNetwork', createNetworkRequest());
  await driver.call('NetworkDriver.CreateEndpoint', {
    ...endpoint,
    Interface: { Address: '192.168.5.2/24' },
  });
  const held = driver.links.hold('create');
  const joining = driver.call('NetworkDriver.Join', endpoint);
  const release = await held;
  await sleep(400);
  release();
  assert('InterfaceName' in ((await joining) as object));
});

test('too many connections: those go that never called, then those that have not for longest', async () => {
  await serve({ connections: 10 });
  await driver.call('NetworkDriver.CreateNetwork', createNetworkRequest());
  await driver.call('NetworkDriver.CreateEndpoint', {
    ...endpoint,
    Interface: { Address: '192.168.5.2/24' },
  });
  const [idle, pooled, joiner] = [await driver.connect(), await driver.connect(), await driver.connect()];
  for (const client of [idle, pooled]) {
    await client.call('Plugin.Activate');
  }
  const held = driver.links.hold('create');
  const joining = joiner.call('NetworkDriver.Join', endpoint);
  const release = await held;

  // More silent ones than there is room for, and still everyone is served.
  const silent = await connections(50);
  assert.deepEqual((await pooled.call('Plugin.Activate')).body, activated);
  assert.deepEqual(await driver.call('Plugin.Activate'), activated);
  await silent[0]?.ended();
  // The same by clients that have called once.
  for (let count = 0; count < 8; count++) {
    await (await driver.connect()).call('Plugin.Activate');
  }
  await idle.ended();
  assert.deepEqual(await driver.call('Plugin.Activate'), activated);
  release();
  assert('InterfaceName' in ((await joining).body as object));
});

test('too many calls at once: an Err, and later they are welcome', async () => {
  await serve({ calls: 3 });
  await driver.call('NetworkDriver.CreateNetwork', createNetworkRequest());
  await driver.call('NetworkDriver.CreateEndpoint', {
    ...endpoint,
    Interface: { Address: '192.168.5.2/24' },
  });
  const held = driver.links.hold('create');
  const joiner = await driver.connect();
  // Pipelined, so that it is one connection.
  joiner.send(callBytes('NetworkDriver.Join', endpoint));
  const release = await held;
  joiner.send(callBytes('NetworkDriver.DeleteEndpoint', endpoint).repeat(2));
  joiner.send(requestBytes('NetworkDriver.Leave', `${JSON.stringify(endpoint)}${' '.repeat(500_000)}`));
  const late = await driver.connect();
  // Read behind those of the first connection, or before: until they count.
  let body: unknown = activated;
  while ((body as { Err?: string }).Err === undefined) {
    ({ body } = await late.call('Plugin.Activate'));
  }
  assert.deepEqual(body, { Err: 'too many calls at once: expected at most 3' });
  release();
  assert('InterfaceName' in ((await joiner.answer()).body as object));
  assert.deepEqual((await joiner.answer()).body, {});
  assert.deepEqual((await joiner.answer()).body, {});
  assert.deepEqual((await joiner.answer()).body, { Err: 'too many calls at once: expected at most 3' });
  assert.deepEqual((await late.call('Plugin.Activate')).body, activated);
});

test('metrics: silent, half and hostile clients, more than there is room for, and a scrape all the same', async (t) => {
  const metrics = await serveMetrics(t, 'up 1\n', { headerMs: 100, requestMs: 200 });
  const hostile = [
    '',
    'GET /metr',
    'GET /metrics HTTP/1.1\r\nHost: x\r\n',
    `GET /metrics HTTP/1.1\r\n${'X: y\r\n'.repeat(5000)}`,
    'POST /metrics HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\nx',
    'POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n',
    '\u0000\u0001\u0002',
  ];
  for (let count = 0; count < 10; count++) {
    for (const bytes of hostile) {
      (await metrics.socketTo()).write(bytes);
    }
    assert.equal((await metrics.scrape()).line, 'HTTP/1.1 200 OK');
  }
});

test('metrics: clients that never read their answers are ended, and later ones served', async (t) => {
  const text = 'x'.repeat(4_000_000);
  const metrics = await serveMetrics(t, text, { calls: 4, answerMs: 300 });
  const deaf = await Promise.all(Array.from({ length: 4 }, metrics.socketTo));
  const ends = deaf.map((socket) => once(socket, 'close'));
  for (const socket of deaf) {
    socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
  }
  await until('all of them are under way', () => metrics.scrapes() === 4);
  for (const socket of deaf) {
    // Until then nothing is read from it. What was sent before it was ended comes, and no more.
    setTimeout(() => socket.resume(), 1000);
  }
  await Promise.all(ends);
  await until('a scrape is served', async () => (await metrics.scrape()).length > text.length);
});

test('many large bodies at once: refused above what there is room for, small ones not', async () => {
  await serve({ bodyBytes: 100_000, allBodiesBytes: 200_000, smallBodyBytes: 1000 });
  const large = await connections(5);
  const body = `${JSON.stringify(endpoint)}${' '.repeat(90_000)}`;
  for (const client of large) {
    client.send(requestBytes('NetworkDriver.Leave', body).slice(0, -10));
  }
  assert.deepEqual(await driver.call('NetworkDriver.Leave', endpoint), {});
  // Read by now: the answer to another came behind them.
  for (const client of large) {
    client.send(' '.repeat(10));
  }
  const answers = await Promise.all(large.map(async (client) => (await client.answer()).body));
  const refused = answers.filter((answer) => 'Err' in (answer as object));
  assert(refused.length >= 1 && refused.length < 5, JSON.stringify(answers));
  assert.match(JSON.stringify(refused[0]), /body: 9\d+ bytes are too many while others are read; try again/);
  for (const client of large) {
    client.send(requestBytes('NetworkDriver.Leave', body));
    assert.deepEqual((await client.answer()).body, {});
  }
});
