import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { currentVersion } from '../../src/state/migrations.ts';
import { type Endpoint, openStore } from '../../src/state/store.ts';
import { formatPrefix, parsePrefix } from '../../src/wireguard/address.ts';
import { articleOptions, network, seedText } from '../support/networks.ts';
import { recordedLog } from '../support/recorded-log.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-store-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('networks and endpoints are there again after a restart', async () => {
  const store = await openStore(folder, recordedLog());
  await store.putNetwork(network({ id: 'n1' }));
  await store.putNetwork(network({ id: 'n2', internal: true }));
  await store.putEndpoint(endpoint('e1', 'n1', '192.168.5.2/24'));
  await store.putEndpoint(endpoint('e2', 'n1', '192.168.5.3/24'));

  const log = recordedLog();
  const again = await openStore(folder, log);
  assert.deepEqual(again.network('n1')?.record, network({ id: 'n1' }).record);
  assert.equal(again.network('n2')?.internal, true);
  assert.equal(again.network('n3'), undefined);
  assert.deepEqual(described(again.endpoint('e1')), ['e1', 'n1', '192.168.5.2/24']);
  assert.deepEqual(
    again
      .endpointsOf('n1')
      .map(({ endpointId }) => endpointId)
      .sort(),
    ['e1', 'e2'],
  );
  assert.deepEqual(again.endpointsOf('n2'), []);
  assert.equal(again.endpointAt('n1', address('192.168.5.3'))?.endpointId, 'e2');
  assert.deepEqual(log.lines, []);
});

test('what is answered is on disk', async () => {
  const store = await openStore(folder, recordedLog());
  await store.putNetwork(network({ id: 'n1' }));
  const file = JSON.parse(await readFile(join(folder, 'networks', 'n1.json'), 'utf8'));
  assert.deepEqual(file, {
    version: 2,
    networkId: 'n1',
    internal: false,
    subnets: [{ pool: '192.168.5.0/24', gateway: '192.168.5.1/24' }],
    options: articleOptions,
  });
  await store.putEndpoint(endpoint('e1', 'n1', '192.168.5.2/24'));
  const endpoints = join(folder, 'boots', store.bootId, 'endpoints');
  assert.deepEqual(JSON.parse(await readFile(join(endpoints, 'e1.json'), 'utf8')), {
    version: 2,
    endpointId: 'e1',
    networkId: 'n1',
    addresses: ['192.168.5.2/24'],
  });
  await store.removeEndpoint('e1');
  await store.removeNetwork('n1');
  assert.deepEqual(await readdir(endpoints), []);
  assert.deepEqual(await readdir(join(folder, 'networks')), []);
});

test('a seed file’s path is on disk, and the seed is not', async () => {
  const store = await openStore(folder, recordedLog());
  const { seed: _, ...options } = articleOptions;
  await store.putNetwork(network({ id: 'n1', options: { ...options, seedfile: '/run/seed' } }));
  const text = await readFile(join(folder, 'networks', 'n1.json'), 'utf8');
  assert.match(text, /"seedfile": "\/run\/seed"/);
  assert(!text.includes(seedText));
});

test('an address is that of who was put there last', async () => {
  const store = await openStore(folder, recordedLog());
  await store.putEndpoint(endpoint('e1', 'n1', '192.168.5.2/24'));
  await store.putEndpoint(endpoint('e2', 'n1', '192.168.5.2/24'));
  await store.removeEndpoint('e1');
  assert.equal(store.endpointAt('n1', address('192.168.5.2'))?.endpointId, 'e2');
  await store.removeEndpoint('e2');
  assert.equal(store.endpointAt('n1', address('192.168.5.2')), undefined);
});

test('an endpoint that gets another address leaves its first', async () => {
  const store = await openStore(folder, recordedLog());
  await store.putEndpoint(endpoint('e1', 'n1', '192.168.5.2/24'));
  await store.putEndpoint(endpoint('e1', 'n1', '192.168.5.3/24'));
  assert.equal(store.endpointAt('n1', address('192.168.5.2')), undefined);
  assert.equal(store.endpointAt('n1', address('192.168.5.3'))?.endpointId, 'e1');
  assert.equal(store.endpointsOf('n1').length, 1);
});

test('addresses are of a network', async () => {
  const store = await openStore(folder, recordedLog());
  await store.putEndpoint(endpoint('e1', 'n1', '192.168.5.2/24'));
  assert.equal(store.endpointAt('n2', address('192.168.5.2')), undefined);
  assert.equal(store.endpointAt('n1', address('192.168.5.2'))?.endpointId, 'e1');
});

test('removing what is not there is no error', async () => {
  const store = await openStore(folder, recordedLog());
  await store.removeEndpoint('none');
  await store.removeNetwork('none');
});

const unreadable: { name: string; kind: 'networks' | 'endpoints'; text: string }[] = [
  { name: 'truncated', kind: 'networks', text: `{"version":1,"options":{"seed":"${seedText}` },
  { name: 'a seed without quotes', kind: 'networks', text: `{"seed":${seedText}}` },
  { name: 'empty', kind: 'endpoints', text: '' },
  { name: 'no object', kind: 'endpoints', text: '[]' },
  { name: 'of no version', kind: 'endpoints', text: '{"version":"x","endpointId":"x"}' },
  { name: 'without an address', kind: 'endpoints', text: '{"version":2,"endpointId":"x","networkId":"n1"}' },
  {
    name: 'with no address at all',
    kind: 'endpoints',
    text: '{"version":2,"endpointId":"x","networkId":"n1","addresses":[]}',
  },
  {
    name: 'with a wrong address',
    kind: 'endpoints',
    text: '{"version":1,"endpointId":"x","networkId":"n1","address":"192.168.5.2"}',
  },
];

for (const { name, kind, text } of unreadable) {
  test(`a file that is ${name}: set aside with a line, not deleted, and the others go on`, async () => {
    const store = await openStore(folder, recordedLog());
    await store.putNetwork(network({ id: 'n1' }));
    await store.putEndpoint(endpoint('e1', 'n1', '192.168.5.2/24'));
    const path = kind === 'networks' ? join(folder, kind) : join(folder, 'boots', store.bootId, kind);
    await writeFile(join(path, 'x.json'), text);

    const log = recordedLog();
    const again = await openStore(folder, log);
    assert(again.network('n1') && again.endpoint('e1'));
    assert.equal(log.lines.length, 1);
    const [line] = log.lines;
    assert.equal(line?.level, 'error');
    assert(!JSON.stringify(line).includes(seedText.slice(0, 8)), JSON.stringify(line));
    const aside = String(line?.fields.file);
    assert(aside.startsWith(join(path, 'x.json')));
    assert.equal(await readFile(aside, 'utf8'), text);

    const third = recordedLog();
    await openStore(folder, third);
    assert.deepEqual(third.lines, []);
  });
}

for (const [what, change] of [
  ['an option', { later: 'x' }],
  ['a value', { derivation: 'later' }],
] as const) {
  test(`a network with ${what} that this version does not know: its record stays, and it is said`, async () => {
    const store = await openStore(folder, recordedLog());
    await store.putNetwork(network({ id: 'n1' }));
    const { record } = network({ id: 'n2' });
    const file = join(folder, 'networks', 'n2.json');
    const text = JSON.stringify({ version: 1, ...record, options: { ...record.options, ...change } });
    await writeFile(file, text);
    for (let start = 0; start < 2; start++) {
      const log = recordedLog();
      const again = await openStore(folder, log);
      assert.equal(await readFile(file, 'utf8'), text);
      assert.equal(again.network('n2'), undefined);
      assert.match(again.unusableNetwork('n2') ?? '', /option io\.bestov\.wg\.(?:later|derivation)/);
      assert.equal(again.unusableNetwork('n1'), undefined);
      assert.deepEqual(
        log.lines.map(({ level, message, fields }) => [level, message, fields.network]),
        [['error', 'a network cannot be used by this version of wgdriver; its record stays', 'n2']],
      );
    }
    const last = await openStore(folder, recordedLog());
    await last.removeNetwork('n2');
    assert.equal(last.unusableNetwork('n2'), undefined);
    assert.deepEqual(await readdir(join(folder, 'networks')), ['n1.json']);
  });
}

for (const [kind, path] of [
  ['network', () => 'networks'],
  ['endpoint', (bootId: string) => join('boots', bootId, 'endpoints')],
  ['joined', (bootId: string) => join('boots', bootId, 'joined')],
  ['gateway', (bootId: string) => join('boots', bootId, 'gateways')],
] as const) {
  test(`the state of a newer driver is refused, and no file of it touched: ${kind}`, async () => {
    const store = await openStore(folder, recordedLog());
    await store.putNetwork(network({ id: 'n1' }));
    const version = currentVersion(kind) + 1;
    await writeFile(join(folder, path(store.bootId), 'x.json'), `{"version":${version}}`);
    await writeFile(join(folder, 'networks', 'y.json'), 'torn');
    const before = await readdir(folder, { recursive: true });
    const log = recordedLog();
    await assert.rejects(openStore(folder, log), {
      name: 'StateError',
      reason: 'newer',
      message:
        `state folder ${folder}: written by a newer wgdriver (version ${version} of ${kind} records; this one ` +
        `knows ${version - 1}): start the newer one, or choose another --state-dir`,
    });
    assert.deepEqual(log.lines, []);
    assert.deepEqual(await readdir(folder, { recursive: true }), before);
  });

  test(`a file that cannot be read is no file without sense, and none is touched: ${kind}`, async () => {
    const store = await openStore(folder, recordedLog());
    await writeFile(join(folder, 'networks', 'y.json'), 'torn');
    await symlink('x.json', join(folder, path(store.bootId), 'x.json'));
    const before = await readdir(folder, { recursive: true });
    await assert.rejects(openStore(folder, recordedLog()), { name: 'StateError', reason: 'unreadable' });
    assert.deepEqual(await readdir(folder, { recursive: true }), before);
  });
}

test('fields that a newer driver of the same version added are passed over', async () => {
  const text =
    '{"version":2,"endpointId":"x","networkId":"n1","addresses":["192.168.5.2/24"],"later":{"a":1}}';
  const { bootId } = await openStore(folder, recordedLog());
  await writeFile(join(folder, 'boots', bootId, 'endpoints', 'x.json'), text);
  const log = recordedLog();
  assert.deepEqual(described((await openStore(folder, log)).endpoint('x')), ['x', 'n1', '192.168.5.2/24']);
  assert.deepEqual(log.lines, []);
});

test('a network is the same object until it is put anew', async () => {
  const store = await openStore(folder, recordedLog());
  await store.putNetwork(network({ id: 'n1' }));
  const seen = store.network('n1');
  assert(seen !== undefined);
  await store.putNetwork(network({ id: 'n2' }));
  await store.removeNetwork('n2');
  assert.equal(store.network('n1'), seen);
  assert.deepEqual(
    store.networks().map((each) => each === seen),
    [true],
  );
  await store.putNetwork(network({ id: 'n1' }));
  assert.notEqual(store.network('n1'), seen);
});

test('an endpoint with an address of each family is found by both, and leaves both', async () => {
  const store = await openStore(folder, recordedLog());
  await store.putEndpoint(endpoint('e1', 'n1', '192.168.5.2/24', 'fd00::2/64'));
  const again = await openStore(folder, recordedLog());
  assert.deepEqual(described(again.endpoint('e1')), ['e1', 'n1', '192.168.5.2/24', 'fd00::2/64']);
  for (const held of [address('192.168.5.2'), prefix('fd00::2/128').address]) {
    assert.equal(again.endpointAt('n1', held)?.endpointId, 'e1');
  }
  assert.equal(again.endpointsOf('n1').length, 1);
  await again.removeEndpoint('e1');
  assert.equal(again.endpointAt('n1', prefix('fd00::2/128').address), undefined);
});

test('endpoints of another boot go unread', async () => {
  const store = await openStore(folder, recordedLog());
  await store.putEndpoint(endpoint('e1', 'n1', '192.168.5.2/24'));
  const boots = join(folder, 'boots');
  const other = join(boots, 'a2b1c0d9-0000-4000-8000-0123456789ab');
  await rename(join(boots, store.bootId), other);
  await writeFile(join(other, 'endpoints', 'torn.json'), '{');
  const log = recordedLog();
  assert.deepEqual((await openStore(folder, log)).endpoints(), []);
  assert.deepEqual(await readdir(boots), [store.bootId]);
  assert.deepEqual(log.lines, []);
});

test('who holds a shared tunnel is there again after a restart, and not after a boot', async () => {
  const store = await openStore(folder, recordedLog());
  const gateway = { networkId: 'n1', pid: 77, startTime: '1234', isOpen: true };
  await store.putGateway(gateway);
  const again = await openStore(folder, recordedLog());
  assert.deepEqual(again.gateways(), [gateway]);
  const boots = join(folder, 'boots');
  await rename(join(boots, again.bootId), join(boots, 'a2b1c0d9-0000-4000-8000-0123456789ab'));
  assert.deepEqual((await openStore(folder, recordedLog())).gateways(), []);
});

test('how far a Join has come is there again after a restart, and not after a boot', async () => {
  const store = await openStore(folder, recordedLog());
  const sandbox = '/run/docker/netns/1';
  const [e1, e2, e3, e4] = ['e1', 'e2', 'e3', 'e4'].map((endpointId) => ({ endpointId, sandbox }));
  assert(e1 && e2 && e3 && e4);
  for (const joined of [e1, e2, e3, e4]) {
    await store.beginJoin(joined);
  }
  for (const { endpointId } of [e2, e3, e4]) {
    await store.finishJoin(endpointId);
  }
  for (const { endpointId } of [e1, e2, e3]) {
    await store.beginRemoval(endpointId);
  }
  await store.beginRemoval('unknown');
  await store.removeJoined('e3');
  // Once more, as after a kill; and one that never came to its link.
  await store.beginJoin(e4);
  await writeFile(join(folder, 'boots', store.bootId, 'joined', 'e5.begun'), '{');

  const log = recordedLog();
  const again = await openStore(folder, log);
  assert.deepEqual(again.joined('e1'), { ...e1, stage: 'begun' });
  assert.deepEqual(again.joined('e2'), { ...e2, stage: 'leaving' });
  assert.deepEqual(again.joined('e4'), { ...e4, stage: 'begun' });
  assert.equal(again.allJoined().length, 3);
  assert.deepEqual(log.lines, []);
  for (const { endpointId } of [e1, e2, e4]) {
    await again.removeJoined(endpointId);
  }
  const boots = join(folder, 'boots');
  assert.deepEqual(await readdir(join(boots, again.bootId, 'joined')), ['e5.begun']);
  assert.deepEqual((await openStore(folder, log)).allJoined(), []);

  assert.deepEqual(await readdir(boots), [again.bootId]);
  await rename(join(boots, again.bootId), join(boots, 'a2b1c0d9-0000-4000-8000-0123456789ab'));
  await mkdir(join(boots, 'somebody’s'));
  assert.deepEqual((await openStore(folder, recordedLog())).allJoined(), []);
  assert.deepEqual((await readdir(boots)).sort(), [again.bootId, 'somebody’s'].sort());
});

test('of two records of a Join, the one that was begun anew counts, and the other is gone', async () => {
  const joined = { endpointId: 'e1', sandbox: '/run/docker/netns/1' };
  for (const stage of ['.json', '.leaving']) {
    const store = await openStore(folder, recordedLog());
    await store.beginJoin(joined);
    const files = join(folder, 'boots', store.bootId, 'joined');
    // As a kill leaves them that comes between the two.
    await writeFile(join(files, `e1${stage}`), await readFile(join(files, 'e1.begun')));
    const again = await openStore(folder, recordedLog());
    assert.deepEqual(again.allJoined(), [{ ...joined, stage: 'begun' }], stage);
    assert.deepEqual(await readdir(files), ['e1.begun'], stage);
  }
});

function endpoint(endpointId: string, networkId: string, ...addresses: string[]): Endpoint {
  return { endpointId, networkId, addresses: addresses.map(prefix) };
}

function described(of: Endpoint | undefined): unknown {
  return of && [of.endpointId, of.networkId, ...of.addresses.map(formatPrefix)];
}

function address(text: string) {
  return prefix(`${text}/32`).address;
}

function prefix(text: string) {
  const parsed = parsePrefix(text);
  assert(parsed, text);
  return parsed;
}
