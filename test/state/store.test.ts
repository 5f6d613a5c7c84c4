import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
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
    version: 1,
    networkId: 'n1',
    internal: false,
    subnets: [{ pool: '192.168.5.0/24', gateway: '192.168.5.1/24' }],
    options: articleOptions,
  });
  await store.putEndpoint(endpoint('e1', 'n1', '192.168.5.2/24'));
  assert.deepEqual(JSON.parse(await readFile(join(folder, 'endpoints', 'e1.json'), 'utf8')), {
    version: 1,
    endpointId: 'e1',
    networkId: 'n1',
    address: '192.168.5.2/24',
  });
  await store.removeEndpoint('e1');
  await store.removeNetwork('n1');
  assert.deepEqual(await readdir(join(folder, 'endpoints')), []);
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
  { name: 'without an address', kind: 'endpoints', text: '{"version":1,"endpointId":"x","networkId":"n1"}' },
  {
    name: 'with a wrong address',
    kind: 'endpoints',
    text: '{"version":1,"endpointId":"x","networkId":"n1","address":"192.168.5.2"}',
  },
  {
    name: 'with a wrong option',
    kind: 'networks',
    text: JSON.stringify({
      version: 1,
      networkId: 'x',
      internal: false,
      subnets: [{ pool: '192.168.5.0/24', gateway: '192.168.5.1/24' }],
      options: { ...articleOptions, seed: `${seedText}!` },
    }),
  },
];

for (const { name, kind, text } of unreadable) {
  test(`a file that is ${name}: set aside with a line, not deleted, and the others go on`, async () => {
    const store = await openStore(folder, recordedLog());
    await store.putNetwork(network({ id: 'n1' }));
    await store.putEndpoint(endpoint('e1', 'n1', '192.168.5.2/24'));
    await writeFile(join(folder, kind, 'x.json'), text);

    const log = recordedLog();
    const again = await openStore(folder, log);
    assert(again.network('n1') && again.endpoint('e1'));
    assert.equal(log.lines.length, 1);
    const [line] = log.lines;
    assert.equal(line?.level, 'error');
    assert(!JSON.stringify(line).includes(seedText.slice(0, 8)), JSON.stringify(line));
    const aside = String(line?.fields.file);
    assert(aside.startsWith(join(folder, kind, 'x.json')));
    assert.equal(await readFile(aside, 'utf8'), text);

    const third = recordedLog();
    await openStore(folder, third);
    assert.deepEqual(third.lines, []);
  });
}

test('the state of a newer driver is refused, and no file of it touched', async () => {
  const store = await openStore(folder, recordedLog());
  await store.putNetwork(network({ id: 'n1' }));
  await writeFile(join(folder, 'endpoints', 'x.json'), '{"version":2,"endpointId":"x"}');
  await writeFile(join(folder, 'networks', 'x.json'), 'torn');
  const log = recordedLog();
  await assert.rejects(openStore(folder, log), {
    message:
      `state folder ${folder}: written by a newer wgdriver, in version 2 of the format where this one knows 1; ` +
      'start the newer one, or choose another --state-dir',
  });
  assert.deepEqual(log.lines, []);
  assert.deepEqual((await readdir(join(folder, 'networks'))).sort(), ['n1.json', 'x.json']);
  assert.deepEqual(await readdir(join(folder, 'endpoints')), ['x.json']);
});

test('fields that a newer driver of the same version added are passed over', async () => {
  const text = '{"version":1,"endpointId":"x","networkId":"n1","address":"192.168.5.2/24","later":{"a":1}}';
  await openStore(folder, recordedLog());
  await writeFile(join(folder, 'endpoints', 'x.json'), text);
  const log = recordedLog();
  assert.deepEqual(described((await openStore(folder, log)).endpoint('x')), ['x', 'n1', '192.168.5.2/24']);
  assert.deepEqual(log.lines, []);
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
  await writeFile(join(folder, 'joined', store.bootId, 'e5.begun'), '{');

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
  const boots = join(folder, 'joined');
  assert.deepEqual(await readdir(join(boots, again.bootId)), ['e5.begun']);
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
    const files = join(folder, 'joined', store.bootId);
    // As a kill leaves them that comes between the two.
    await writeFile(join(files, `e1${stage}`), await readFile(join(files, 'e1.begun')));
    const again = await openStore(folder, recordedLog());
    assert.deepEqual(again.allJoined(), [{ ...joined, stage: 'begun' }], stage);
    assert.deepEqual(await readdir(files), ['e1.begun'], stage);
  }
});

test('a record of a Join that a newer driver has begun is set aside', async () => {
  const { bootId } = await openStore(folder, recordedLog());
  const files = join(folder, 'joined', bootId);
  await writeFile(join(files, 'e1.begun'), '{"version":2}');
  const log = recordedLog();
  assert.deepEqual((await openStore(folder, log)).allJoined(), []);
  assert.deepEqual(
    log.lines.map(({ message }) => message),
    ['a state file cannot be read and is set aside'],
  );
  assert.match((await readdir(files)).join(), /^e1\.begun\.unreadable-\d+$/);
});

function endpoint(endpointId: string, networkId: string, address: string): Endpoint {
  return { endpointId, networkId, addresses: [prefix(address)] };
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
