import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { until } from '../../build/host/commands.ts';
import { endpointFiles } from '../../build/host/state.ts';
import { createDriver, type WireGuardDriver } from '../../src/driver/driver.ts';
import { createHubNames } from '../../src/driver/hub-names.ts';
import { openStore, type Store } from '../../src/state/store.ts';
import { parseAddress } from '../../src/wireguard/address.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import { articleOptions, createNetworkRequest } from '../support/networks.ts';
import { type LogLine, recordedLog } from '../support/recorded-log.ts';
import { recordingGateways } from '../support/recording-gateways.ts';
import { type RecordingGuard, recordingGuard } from '../support/recording-guard.ts';
import { type RecordingLinks, recordingLinks } from '../support/recording-links.ts';
import { usualUplinks } from '../support/uplinks.ts';

const settleMs = 10_000;
const unjoinedMs = 300_000;
const link = linkName('e1');
const endpoint = { NetworkID: 'network', EndpointID: 'e1' };

let folder: string;
let sandbox: string;
let links: RecordingLinks;
let guard: RecordingGuard;
let lines: readonly LogLine[];
let store: Store;
let driver: WireGuardDriver;
let clockMs: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-reconcile-'));
  await mkdir(join(folder, 'netns'));
  sandbox = join(folder, 'netns', '15e68092381c');
  links = recordingLinks();
  guard = recordingGuard();
  clockMs = 0;
  await start();
  await driver.createNetwork(createNetworkRequest());
});
afterEach(() => rm(folder, { recursive: true }));

/** As after a kill: what is in memory is gone, and links, protections and files are there. */
async function start(): Promise<void> {
  const log = recordedLog();
  lines = log.lines;
  store = await openStore(join(folder, 'state'), log);
  const address = parseAddress('192.0.2.1') ?? assert.fail();
  driver = createDriver({
    store,
    links,
    guard,
    gateways: recordingGateways(),
    hubNames: createHubNames({ resolve: async () => [address], log }),
    uplinksTo: usualUplinks,
    log,
    now: () => clockMs,
  });
}

async function createAndJoin(): Promise<void> {
  const Interface = { Address: '192.168.5.2/24', AddressIPv6: '', MacAddress: '' };
  await driver.createEndpoint({ ...endpoint, Interface, Options: {} });
  await driver.join({ ...endpoint, SandboxKey: sandbox, Options: {} });
}

/** Looks, and looks again after a while; what was said of it in the log. */
async function reconcileAfter(ms: number): Promise<string[]> {
  const before = lines.length;
  await driver.reconcile();
  clockMs += ms;
  await driver.reconcile();
  return lines
    .slice(before)
    .map(({ level, message, fields }) => `${level} ${message}: ${fields.reason ?? ''}`);
}

const expectKept = () => assert(store.endpoint('e1'));
const expectNothing = async () => {
  assert.equal(store.endpoint('e1'), undefined);
  assert.deepEqual([...links.present.keys()], []);
  assert.deepEqual(await endpointFiles(join(folder, 'state')), []);
  assert.deepEqual(await readdir(join(folder, 'state', 'boots', store.bootId, 'joined')), []);
};

test('what is in order is left alone: a container that runs', async () => {
  await writeFile(sandbox, '');
  await createAndJoin();
  links.take(link);
  assert.deepEqual(await reconcileAfter(unjoinedMs * 2), []);
  await start();
  assert.deepEqual(await reconcileAfter(unjoinedMs * 2), []);
  expectKept();
});

test('our links of unknown endpoints are deleted; one that cannot be is a warning, and the next is tried', async () => {
  await links.create({ name: 'wgd1', mtu: 1420, endpointId: 'gone1' });
  await links.create({ name: 'wgd2', mtu: 1420, endpointId: 'gone2' });
  links.addForeign('wgd3');
  links.fail('delete', new Error('busy'));
  await driver.reconcile();
  assert.deepEqual(
    lines.slice(-2).map(({ level, fields }) => [level, fields.link, fields.cause]),
    [
      ['warn', 'wgd1', 'Error: busy'],
      ['warn', 'wgd2', 'Error: busy'],
    ],
  );
  links.fail('delete', undefined);
  await driver.reconcile();
  assert.deepEqual([...links.present.keys()], []);
  assert(!links.asked.includes('delete wgd3'));
});

test('a DeleteEndpoint that failed is made up for', async () => {
  await createAndJoin();
  links.fail('delete', new Error('busy'));
  await assert.rejects(driver.deleteEndpoint(endpoint), /busy/);
  await driver.reconcile();
  assert.equal(lines.at(-1)?.fields.cause, 'Error: busy');
  expectKept();
  links.fail('delete', undefined);
  await driver.reconcile();
  assert.equal(lines.at(-1)?.fields.reason, 'its deletion was begun before');
  await expectNothing();
});

test('a driver that dies before a protection has gone makes up for it, though its container runs on', async () => {
  await writeFile(sandbox, '');
  await createAndJoin();
  guard.fail('release', new Error('killed'));
  await driver.deleteEndpoint(endpoint);
  await until('the release fails', () => lines.some(({ level }) => level === 'warn'));
  assert(guard.guarded.has('e1'));
  assert.equal(store.joined('e1')?.stage, 'leaving');
  guard.fail('release', undefined);
  await start();
  guard.fail('protect', new Error('unexpected'));
  await driver.protectAll();
  assert.equal(lines.length, 0);
  await driver.reconcile();
  await until('it is released', () => store.joined('e1') === undefined);
  assert.equal(guard.guarded.size, 0);
  await expectNothing();
});

test('a driver that starts tells of networks whose list closes IPv6: an earlier driver may have left it open', async () => {
  const options = { ...articleOptions, allowedips: '0.0.0.0/1,128.0.0.0/2' };
  await driver.createNetwork(
    createNetworkRequest({ id: 'most', subnets: [['192.168.6.0/24', '192.168.6.1/24']], options }),
  );
  await start();
  await driver.protectAll();
  assert.deepEqual(
    lines.map(({ level, message, fields }) => [level, message.includes('nothing of IPv6'), fields.network]),
    [['warn', true, 'most']],
  );
});

test('a DeleteNetwork that failed is made up for, its endpoints included', async () => {
  await createAndJoin();
  links.fail('delete', new Error('busy'));
  await assert.rejects(driver.deleteNetwork({ NetworkID: 'network' }), /busy/);
  assert(store.network('network'));
  links.fail('delete', undefined);
  await driver.reconcile();
  await expectNothing();
  assert.equal(store.network('network'), undefined);
  assert.deepEqual(await readdir(join(folder, 'state', 'networks')), []);
});

test('an endpoint that is created again after its deletion had failed is not deleted', async () => {
  await writeFile(sandbox, '');
  await createAndJoin();
  links.fail('delete', new Error('busy'));
  await assert.rejects(driver.deleteEndpoint(endpoint), /busy/);
  links.fail('delete', undefined);
  await createAndJoin();
  links.take(link);
  assert.deepEqual(await reconcileAfter(settleMs), []);
  expectKept();
});

test('a link that stays on the host goes with its endpoint, and not before its time', async () => {
  await createAndJoin();
  await driver.reconcile();
  assert.deepEqual(await reconcileAfter(settleMs - 1), []);
  assert.deepEqual(await reconcileAfter(1), ['info stale endpoint deleted: its link stayed on the host']);
  await expectNothing();
});

test('a link that stays on the host under another’s mark says nothing of that endpoint, and is deleted', async () => {
  await createAndJoin();
  links.take(link);
  await links.create({ name: linkName('e2'), mtu: 1420, endpointId: 'e1' });
  await start();
  await writeFile(sandbox, '');
  assert.deepEqual(await reconcileAfter(settleMs), ['info orphaned link deleted: ']);
  assert(!links.present.has(linkName('e2')));
  assert.equal(store.endpoint('e1')?.endpointId, 'e1');
});

test('a link whose mark is gone is deleted with its endpoint: by DeleteEndpoint, or when its sandbox is gone', async () => {
  await createAndJoin();
  links.removeMark(link);
  await driver.deleteEndpoint(endpoint);
  await expectNothing();

  await createAndJoin();
  links.removeMark(link);
  assert.deepEqual(await reconcileAfter(settleMs), [
    'info stale endpoint deleted: its link and its sandbox are gone',
  ]);
  await expectNothing();
});

test('a Join meanwhile begins the wait anew', async () => {
  await createAndJoin();
  await driver.reconcile();
  clockMs += settleMs;
  await driver.join({ ...endpoint, SandboxKey: sandbox, Options: {} });
  await driver.reconcile();
  expectKept();
});

test('an endpoint whose link and sandbox are gone is forgotten, and not before its time', async () => {
  await createAndJoin();
  links.take(link);
  assert.deepEqual(await reconcileAfter(settleMs - 1), []);
  assert.deepEqual(await reconcileAfter(1), [
    'info stale endpoint deleted: its link and its sandbox are gone',
  ]);
  await expectNothing();
});

for (const [what, path] of [
  ['the folder of sandboxes cannot be seen', () => join(folder, 'elsewhere', '15e68092381c')],
  ['the engine named no sandbox', () => ''],
  ['the sandbox is no path', () => 'sandbox-key'],
] as const) {
  test(`an endpoint is kept if ${what}: that is no evidence`, async () => {
    sandbox = path();
    await createAndJoin();
    links.take(link);
    assert.deepEqual(await reconcileAfter(unjoinedMs * 2), []);
    expectKept();
  });
}

test('an endpoint that is never joined is forgotten, late', async () => {
  const Interface = { Address: '192.168.5.2/24', AddressIPv6: '', MacAddress: '' };
  await driver.createEndpoint({ ...endpoint, Interface, Options: {} });
  assert.deepEqual(await reconcileAfter(unjoinedMs - 1), []);
  assert.deepEqual(await reconcileAfter(1), ['info stale endpoint deleted: it was never joined']);
  await expectNothing();
});

test('a link that a killed driver had made and not marked is deleted, also if it comes late', async () => {
  await createAndJoin();
  await store.beginJoin({ endpointId: 'e1', sandbox });
  links.take(link);
  links.addUnmarked(link);
  await start();
  await driver.reconcile();
  await assert.rejects(links.configure(link, {} as never), { code: 'ENODEV' });
  // The program that was making it had not got so far.
  links.addUnmarked(link);
  clockMs += settleMs;
  await driver.reconcile();
  assert.equal(store.joined('e1'), undefined);
  assert.equal(links.asked.filter((asked) => asked === `delete ${link}`).length, 2);
  await links.create({ name: link, mtu: 1, endpointId: 'e1' });
});

test('the same if DeleteEndpoint comes at once', async () => {
  await createAndJoin();
  await store.beginJoin({ endpointId: 'e1', sandbox });
  links.take(link);
  await start();
  await driver.deleteEndpoint(endpoint);
  assert.equal(store.endpoint('e1'), undefined);
  links.addUnmarked(link);
  await reconcileAfter(settleMs);
  await links.create({ name: link, mtu: 1, endpointId: 'e1' });
  await driver.reconcile();
  await expectNothing();
});

test('a Join after one that was killed makes its link anew', async () => {
  await createAndJoin();
  await store.beginJoin({ endpointId: 'e1', sandbox });
  links.take(link);
  links.addUnmarked(link);
  await start();
  await driver.join({ ...endpoint, SandboxKey: sandbox, Options: {} });
  assert(links.present.get(link)?.device);
  assert.equal(store.joined('e1')?.stage, 'marked');
});

test('links that cannot be listed are a warning, and nothing is concluded from it', async () => {
  await createAndJoin();
  links.fail('list', new Error('no netlink'));
  assert.deepEqual(await reconcileAfter(settleMs), [
    'warn links could not be listed: ',
    'warn links could not be listed: ',
  ]);
  expectKept();
});
