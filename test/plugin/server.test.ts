import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import { unlinkSync } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';
import { connect, Server } from 'node:net';
import { afterEach, beforeEach, test } from 'node:test';
import { linkName } from '../../src/wireguard/link-name.ts';
import { type Answer, callBytes, requestBytes } from '../support/engine-client.ts';
import { createNetworkRequest } from '../support/networks.ts';
import { type ServedDriver, serveDriver } from '../support/served-driver.ts';

const bodiless = ['Plugin.Activate', 'NetworkDriver.GetCapabilities'];
const withBody = [
  'GwAllocCheck',
  'AllocateNetwork',
  'FreeNetwork',
  'CreateNetwork',
  'DeleteNetwork',
  'CreateEndpoint',
  'DeleteEndpoint',
  'EndpointOperInfo',
  'Join',
  'Leave',
  'ProgramExternalConnectivity',
  'RevokeExternalConnectivity',
  'DiscoverNew',
  'DiscoverDelete',
].map((method) => `NetworkDriver.${method}`);

const endpoint = { NetworkID: 'network', EndpointID: 'e1' };
const createEndpoint = { ...endpoint, Interface: { Address: '192.168.5.2/24' }, Options: {} };

let driver: ServedDriver;
beforeEach(async () => {
  driver = await serveDriver();
});
afterEach(() => driver.close());

test('the answer is JSON of the plugin API’s type, with its length', async () => {
  const engine = await driver.connect();
  const { status, headers, body } = await engine.call('Plugin.Activate');
  assert.equal(status, 200);
  assert.equal(headers.get('content-type'), 'application/vnd.docker.plugins.v1.2+json');
  assert.equal(headers.get('content-length'), String(JSON.stringify(body).length));
  assert.deepEqual(body, { Implements: ['NetworkDriver'] });
});

test('a length counts bytes, not characters', async () => {
  // The error's typographic apostrophe takes three.
  const engine = await driver.connect();
  await engine.call('NetworkDriver.CreateNetwork', createNetworkRequest());
  const Interface = { Address: '192.168.5.1/24' };
  const { body } = await engine.call('NetworkDriver.CreateEndpoint', { ...createEndpoint, Interface });
  assert.deepEqual(body, { Err: '192.168.5.1 is the hub’s address: choose another --ip' });
});

for (const [what, headers] of [
  ['an empty Host', 'Host: \r\nContent-Length: 0\r\n'],
  ['no Host', 'Content-Length: 0\r\n'],
  ['no Host and no length', ''],
  ['a path for a Host', 'Host: %2Frun%2Fdocker%2Fplugins%2Fx.sock\r\nContent-Length: 0\r\n'],
  ['a Content-Type', 'Host: x\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n'],
] as const) {
  test(`${what} is no matter`, async () => {
    const engine = await driver.connect();
    engine.send(`POST /Plugin.Activate HTTP/1.1\r\n${headers}\r\n`);
    assert.deepEqual((await engine.answer()).body, { Implements: ['NetworkDriver'] });
  });
}

for (const method of bodiless) {
  test(`${method} with an empty body, and with one`, async () => {
    const engine = await driver.connect();
    const empty = await engine.call(method);
    assert.equal(empty.status, 200);
    assert(!('Err' in (empty.body as object)));
    assert.deepEqual((await engine.call(method, {})).body, empty.body);
  });
}

for (const method of withBody) {
  test(`${method} with the drained body of a retry is an error, never a success`, async () => {
    const engine = await driver.connect();
    for (const body of ['', ' ', '\n']) {
      engine.send(requestBytes(method, body));
      const { status, body: answer } = await engine.answer();
      assert.equal(status, 200);
      assert.match(errOf(answer), /^body: expected a JSON object, got nothing/);
    }
    assert.deepEqual(driver.links.asked, []);
  });
}

test('a whole retry: the connection breaks in mid-call, and the drained body that follows is refused', async () => {
  await driver.call('NetworkDriver.CreateNetwork', createNetworkRequest());
  const first = await driver.connect();
  first.send(callBytes('NetworkDriver.CreateEndpoint', createEndpoint).slice(0, -20));
  first.hangUp();
  const retry = await driver.connect();
  assert.match(errOf((await retry.call('NetworkDriver.CreateEndpoint')).body), /got nothing/);
  assert.deepEqual((await driver.traces()).endpoints, []);
});

test('many calls on one connection', async () => {
  const engine = await driver.connect();
  for (let count = 0; count < 100; count++) {
    const { body, headers } = await engine.call('NetworkDriver.EndpointOperInfo', endpoint);
    assert.deepEqual(body, { Value: {} });
    assert.notEqual(headers.get('connection'), 'close');
    // Node says how long it keeps a connection, if it has a limit.
    assert.equal(headers.get('keep-alive'), undefined);
  }
});

test('pipelined calls are answered in their order', async () => {
  const engine = await driver.connect();
  const calls: [method: string, body?: unknown][] = [
    ['Plugin.Activate'],
    ['NetworkDriver.CreateNetwork', createNetworkRequest()],
    ['NetworkDriver.NoSuchCall', {}],
    ['NetworkDriver.EndpointOperInfo', endpoint],
    ['NetworkDriver.Join', {}],
    ['NetworkDriver.GetCapabilities'],
  ];
  engine.send(calls.map(([method, body]) => callBytes(method, body)).join(''));
  const answers: Answer[] = [];
  for (const _ of calls) {
    answers.push(await engine.answer());
  }
  assert.deepEqual(
    answers.map(({ status, body }) => [status, ...Object.keys(body as object)]),
    [
      [200, 'Implements'],
      [200],
      [404, 'Err'],
      [200, 'Value'],
      [200, 'Err'],
      [200, 'Scope', 'ConnectivityScope', 'GwAllocChecker'],
    ],
  );
});

test('parallel calls do not wait for one another', async () => {
  await driver.call('NetworkDriver.CreateNetwork', createNetworkRequest());
  await driver.call('NetworkDriver.CreateEndpoint', createEndpoint);
  const held = driver.links.hold('create');
  const joining = driver.call('NetworkDriver.Join', endpoint);
  const release = await held;
  const others = await Promise.all(
    Array.from({ length: 50 }, () => driver.call('NetworkDriver.EndpointOperInfo', endpoint)),
  );
  assert.equal(others.length, 50);
  release();
  assert('InterfaceName' in ((await joining) as object));
});

test('a call that comes byte by byte, and one in chunks', async () => {
  const engine = await driver.connect();
  for (const byte of Buffer.from(callBytes('NetworkDriver.EndpointOperInfo', endpoint))) {
    engine.send(Uint8Array.of(byte));
  }
  assert.deepEqual((await engine.answer()).body, { Value: {} });
  const [first, second] = [JSON.stringify(endpoint).slice(0, 9), JSON.stringify(endpoint).slice(9)];
  engine.send(
    'POST /NetworkDriver.EndpointOperInfo HTTP/1.1\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  engine.send(`${first.length.toString(16)}\r\n${first}\r\n`);
  engine.send(`${second.length.toString(16)}\r\n${second}\r\n0\r\n\r\n`);
  assert.deepEqual((await engine.answer()).body, { Value: {} });
});

const id = 'expected an id of letters, digits, dot, dash and underscore';
const bodies: [what: string, method: string, body: string | Buffer, err: RegExp][] = [
  [
    'malformed JSON',
    'CreateNetwork',
    '{"NetworkID":',
    /^body: expected a JSON object, got something that is not/,
  ],
  ['JSON and more behind it', 'CreateNetwork', '{} {}', /^body: expected a JSON object, got something that/],
  ['null', 'CreateNetwork', 'null', /^CreateNetwork: expected Object$/],
  ['a list', 'Join', '[]', /^Join\.NetworkID: expected a value, got none$/],
  ['a number', 'Leave', '5', /^Leave: expected Object$/],
  ['text', 'DeleteNetwork', '"x"', /^DeleteNetwork: expected Object$/],
  ['no id', 'CreateNetwork', '{}', /^CreateNetwork\.NetworkID: expected a value, got none$/],
  ['no endpoint', 'Join', '{"NetworkID":"n"}', /^Join\.EndpointID: expected a value, got none$/],
  ['an id of null', 'Leave', '{"NetworkID":null,"EndpointID":"e"}', /^Leave\.NetworkID: expected string$/],
  [
    'an id of a number',
    'DeleteEndpoint',
    '{"NetworkID":"n","EndpointID":5}',
    /^DeleteEndpoint\.EndpointID: expected string$/,
  ],
  ['an empty id', 'DeleteNetwork', '{"NetworkID":""}', new RegExp(`^DeleteNetwork\\.NetworkID: ${id}$`)],
  [
    'a path for an id',
    'DeleteNetwork',
    '{"NetworkID":"../../etc/passwd"}',
    new RegExp(`^DeleteNetwork\\.NetworkID: ${id}$`),
  ],
  [
    'a path behind a letter for an id',
    'CreateEndpoint',
    '{"NetworkID":"network","EndpointID":"a/../../b"}',
    new RegExp(`^CreateEndpoint\\.EndpointID: ${id}$`),
  ],
  [
    'a folder for an id',
    'DeleteNetwork',
    '{"NetworkID":".."}',
    new RegExp(`^DeleteNetwork\\.NetworkID: ${id}$`),
  ],
  [
    'an id with a zero byte',
    'DeleteNetwork',
    '{"NetworkID":"a\\u0000b"}',
    new RegExp(`^DeleteNetwork\\.NetworkID: ${id}$`),
  ],
  [
    'a long id',
    'DeleteNetwork',
    `{"NetworkID":"${'a'.repeat(129)}"}`,
    new RegExp(`^DeleteNetwork\\.NetworkID: ${id}$`),
  ],
  [
    'options of a wrong type',
    'CreateNetwork',
    '{"NetworkID":"n","Options":"x"}',
    /^CreateNetwork\.Options: expected Object$/,
  ],
  [
    'subnets of a wrong type',
    'CreateNetwork',
    '{"NetworkID":"n","IPv4Data":{}}',
    /^CreateNetwork\.IPv4Data: expected Array$/,
  ],
  [
    'a subnet of a wrong type',
    'CreateNetwork',
    '{"NetworkID":"n","IPv4Data":[{"Pool":5}]}',
    /^CreateNetwork\.IPv4Data\.0\.Pool: expected string$/,
  ],
  [
    'no subnets',
    'CreateNetwork',
    '{"NetworkID":"n","IPv4Data":null}',
    /^option io\.bestov\.wg\.peer is missing/,
  ],
  [
    'an interface of a wrong type',
    'CreateEndpoint',
    '{"NetworkID":"network","EndpointID":"e","Interface":"x"}',
    /^CreateEndpoint\.Interface: expected Object$/,
  ],
  [
    'an address of a wrong type',
    'CreateEndpoint',
    '{"NetworkID":"network","EndpointID":"e","Interface":{"Address":5}}',
    /^CreateEndpoint\.Interface\.Address: expected string$/,
  ],
  [
    'no interface',
    'CreateEndpoint',
    '{"NetworkID":"network","EndpointID":"e"}',
    /^Interface\.Address: expected an IPv4 address/,
  ],
  [
    'an unknown network',
    'CreateEndpoint',
    '{"NetworkID":"none","EndpointID":"e"}',
    /^network none is not known/,
  ],
  [
    'an unknown endpoint',
    'Join',
    '{"NetworkID":"network","EndpointID":"none"}',
    /^endpoint none is not known/,
  ],
  [
    'a discovery of a wrong type',
    'DiscoverNew',
    '{"DiscoveryType":"x"}',
    /^DiscoverNew\.DiscoveryType: expected number$/,
  ],
  [
    'invalid UTF-8',
    'DeleteNetwork',
    Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    /^body: expected UTF-8$/,
  ],
  [
    'a body over 1 MB',
    'DeleteNetwork',
    `{"NetworkID":"n","x":"${'x'.repeat(1024 * 1024)}"}`,
    /^body: expected at most 1048576 bytes, got 1048600$/,
  ],
  [
    'a body of 20 MB',
    'DeleteNetwork',
    'x'.repeat(20_000_000),
    /^body: expected at most 1048576 bytes, got 20000000$/,
  ],
  [
    'a list in a list in a list …',
    'CreateNetwork',
    `{"NetworkID":"n","Options":{"x":${'['.repeat(200_000)}${']'.repeat(200_000)}}}`,
    /^option io\.bestov\.wg\.peer is missing/,
  ],
  [
    'lists that do not end',
    'CreateNetwork',
    '['.repeat(500_000),
    /^body: expected a JSON object, got something that/,
  ],
  [
    '__proto__',
    'CreateNetwork',
    '{"__proto__":{"NetworkID":"n"},"Options":{"__proto__":{"x":1}}}',
    /^CreateNetwork\.NetworkID: expected a value, got none$/,
  ],
  [
    '__proto__ for our options',
    'CreateNetwork',
    '{"NetworkID":"n","Options":{"com.docker.network.generic":{"__proto__":{"io.bestov.wg.peer":"x:1"}}}}',
    /^option io\.bestov\.wg\.peer is missing/,
  ],
  [
    'our option named __proto__',
    'CreateNetwork',
    '{"NetworkID":"n","Options":{"com.docker.network.generic":{"io.bestov.wg.__proto__":"x"}}}',
    /^unknown option io\.bestov\.wg\.__proto__/,
  ],
  [
    'an object that will be no text',
    'AllocateNetwork',
    '{"NetworkID":"n","Options":{"io.bestov.wg.mtu":{"toString":5}}}',
    /^option io\.bestov\.wg\./,
  ],
];

for (const [what, method, body, err] of bodies) {
  test(`bad input, ${what}: Err that names it, nothing made, and the next call is answered`, async () => {
    await driver.call('NetworkDriver.CreateNetwork', createNetworkRequest());
    const before = await driver.traces();
    const engine = await driver.connect();
    const bytes = Buffer.from(body);
    engine.send(
      requestBytes(`NetworkDriver.${method}`, '').replace(
        'Content-Length: 0',
        `Content-Length: ${bytes.length}`,
      ),
    );
    engine.send(bytes);
    const answer = await engine.answer();
    assert.equal(answer.status, 200);
    assert.match(errOf(answer.body), err);
    assert(!errOf(answer.body).includes('\n'));
    assert.deepEqual((await engine.call('Plugin.Activate')).body, { Implements: ['NetworkDriver'] });
    assert.deepEqual(await driver.traces(), before);
    assert.deepEqual(driver.links.asked, []);
    assert.equal(({} as { NetworkID?: unknown; x?: unknown }).NetworkID, undefined);
    assert.equal(({} as { x?: unknown }).x, undefined);
  });
}

test('a body of 1 MB to the byte is read', async () => {
  const engine = await driver.connect();
  const frame = '{"NetworkID":"n","x":""}'.length;
  const body = `{"NetworkID":"n","x":"${'x'.repeat(1024 * 1024 - frame)}"}`;
  engine.send(requestBytes('NetworkDriver.DeleteNetwork', body));
  assert.deepEqual((await engine.answer()).body, {});
});

for (const path of [
  'NetworkDriver.NoSuchCall',
  'networkdriver.join',
  'Plugin.Activate/',
  'NetworkDriver.Join?x=1',
  '',
  '%2e%2e',
  '__proto__',
]) {
  test(`unknown path /${path}: 404 with Err`, async () => {
    const engine = await driver.connect();
    const { status, body } = await engine.call(path, endpoint);
    assert.equal(status, 404);
    assert.match(errOf(body), /no such call/);
    assert.equal((await engine.call('Plugin.Activate')).status, 200);
  });
}

for (const header of ['Expect: the-impossible', 'Connection: Upgrade\r\nUpgrade: h2c']) {
  test(`${header.replace('\r\n', ', ')}: answered all the same`, async () => {
    const engine = await driver.connect();
    const bytes = callBytes('NetworkDriver.Leave', endpoint).replace('Host: ', `${header}\r\nHost: `);
    engine.send(bytes);
    assert.deepEqual((await engine.answer()).body, {});
  });
}

for (const verb of ['GET', 'PUT', 'DELETE']) {
  test(`${verb} is an error`, async () => {
    const engine = await driver.connect();
    const bytes = callBytes('NetworkDriver.DeleteNetwork', { NetworkID: 'network' });
    engine.send(bytes.replace('POST', verb));
    const { status, body } = await engine.answer();
    assert.equal(status, 405);
    assert.match(errOf(body), /expected POST/);
    assert.equal((await engine.call('Plugin.Activate')).status, 200);
  });
}

for (const [what, bytes] of [
  ['no HTTP at all', '\0\0\0 hello\r\n\r\n'],
  ['a length that is no number', 'POST /Plugin.Activate HTTP/1.1\r\nContent-Length: x\r\n\r\n'],
  ['two lengths', 'POST /Plugin.Activate HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
  ['headers without end', `POST /Plugin.Activate HTTP/1.1\r\nX: ${'x'.repeat(100_000)}`],
] as const) {
  test(`${what}: Err, the connection ends, and the server goes on`, async () => {
    const engine = await driver.connect();
    engine.send(bytes);
    const { status, body } = await engine.answer();
    assert.equal(status, 400);
    assert.match(errOf(body), /malformed HTTP request/);
    await engine.ended();
    assert.deepEqual(await driver.call('Plugin.Activate'), { Implements: ['NetworkDriver'] });
  });
}

for (const [what, length] of [
  ['at once', 0],
  ['in the headers', 40],
  ['in the body', -10],
] as const) {
  test(`a client that hangs up ${what}: nothing made, and the server goes on`, async () => {
    const bytes = callBytes('NetworkDriver.CreateNetwork', createNetworkRequest());
    for (let count = 0; count < 20; count++) {
      const engine = await driver.connect();
      engine.send(bytes.slice(0, length));
      engine.hangUp();
    }
    assert.deepEqual(await driver.call('Plugin.Activate'), { Implements: ['NetworkDriver'] });
    assert.deepEqual(await driver.traces(), { networks: [], endpoints: [], links: [] });
    assert(
      driver.lines.every(({ level }) => level === 'debug' || level === 'info'),
      JSON.stringify(driver.lines),
    );
  });
}

test('a client that hangs up before its answer: the call is done, and the server goes on', async () => {
  await driver.call('NetworkDriver.CreateNetwork', createNetworkRequest());
  await driver.call('NetworkDriver.CreateEndpoint', createEndpoint);
  const engine = await driver.connect();
  const held = driver.links.hold('configure');
  engine.send(callBytes('NetworkDriver.Join', endpoint));
  const release = await held;
  engine.hangUp();
  await engine.ended();
  release();
  // In the queue behind the Join.
  assert.deepEqual(await driver.call('NetworkDriver.DeleteEndpoint', endpoint), {});
  assert.deepEqual(driver.links.asked, [
    `create ${linkName('e1')}`,
    `configure ${linkName('e1')}`,
    `delete ${linkName('e1')}`,
  ]);
});

test('the socket is for root alone, and gone after close', async () => {
  assert.equal((await stat(driver.socket)).mode & 0o777, 0o600);
  assert((await readdir(driver.folder)).includes('plugin.sock'));
  await driver.stop();
  await assert.rejects(access(driver.socket), { code: 'ENOENT' });
});

test('close lets a call under way finish, answers it, and takes no more', async () => {
  await driver.call('NetworkDriver.CreateNetwork', createNetworkRequest());
  await driver.call('NetworkDriver.CreateEndpoint', createEndpoint);
  const [engine, idle] = [await driver.connect(), await driver.connect()];
  await idle.call('Plugin.Activate');
  const held = driver.links.hold('configure');
  const joining = engine.call('NetworkDriver.Join', endpoint);
  const release = await held;

  let closed = false;
  const closing = driver.stop().then(() => {
    closed = true;
  });
  await idle.ended();
  const late = connect(driver.socket);
  const [refused] = await once(late, 'error');
  assert.match(String(refused), /ENOENT|ECONNREFUSED/);
  assert(!closed);

  release();
  const { status, headers, body } = await joining;
  assert.equal(status, 200);
  assert('InterfaceName' in (body as object));
  assert.equal(headers.get('connection'), 'close');
  await closing;
  assert.equal(driver.links.present.size, 1);
});

for (const [what, bytes] of [
  ['nothing yet', ''],
  ['half a header', 'POST /NetworkDriver.Join HT'],
  ['half a body', callBytes('NetworkDriver.CreateNetwork', createNetworkRequest()).slice(0, -10)],
] as const) {
  test(`close does not wait for a client that has sent ${what}`, async () => {
    const silent = await driver.connect();
    silent.send(bytes);
    // An answer to another says that the server has run since.
    await driver.call('Plugin.Activate');
    await driver.stop();
    await silent.ended();
    assert.deepEqual(await driver.traces(), { networks: [], endpoints: [], links: [] });
  });
}

function errOf(body: unknown): string {
  const { Err } = body as { Err?: unknown };
  assert(typeof Err === 'string', JSON.stringify(body));
  return Err;
}

test('a socket that cannot be made root’s alone is not served on', async (t) => {
  let server: Server | undefined;
  const { listen } = Server.prototype;
  t.mock.method(Server.prototype, 'listen', function (this: Server, ...args: Parameters<typeof listen>) {
    server = this;
    // It is gone before its mode is set.
    this.once('listening', () => unlinkSync(driver.socket));
    return listen.apply(this, args);
  });
  await assert.rejects(driver.restart(), { code: 'ENOENT' });
  assert.equal(server?.listening, false);
});
