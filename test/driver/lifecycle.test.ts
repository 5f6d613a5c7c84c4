import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { until } from '../../build/host/commands.ts';
import { createHubLinks } from '../../src/driver/hub-links.ts';
import { createHubNames, type HubNamesDependencies } from '../../src/driver/hub-names.ts';
import { createLifecycle, type Lifecycle } from '../../src/driver/lifecycle.ts';
import type { Guard } from '../../src/killswitch/killswitch.ts';
import type { TunnelScope } from '../../src/killswitch/rules.ts';
import { openStore, type Store } from '../../src/state/store.ts';
import { formatPrefix, prefixOf } from '../../src/wireguard/address.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import { articleOptions, network } from '../support/networks.ts';
import { recordedLog } from '../support/recorded-log.ts';
import { recordingGateways } from '../support/recording-gateways.ts';
import { recordingGuard } from '../support/recording-guard.ts';
import { type RecordingLinks, recordingLinks } from '../support/recording-links.ts';
import { usualUplinks } from '../support/uplinks.ts';

let folder: string;
let links: RecordingLinks;
let store: Store;
let lifecycle: Lifecycle;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-lifecycle-'));
  links = recordingLinks();
  await start();
  await lifecycle.createNetwork(network());
});
afterEach(() => rm(folder, { recursive: true }));

async function start(
  guard: Guard = recordingGuard(),
  resolve: HubNamesDependencies['resolve'] = async () => [],
): Promise<ReturnType<typeof recordedLog>> {
  const log = recordedLog();
  store = await openStore(folder, log);
  const hubNames = createHubNames({ resolve, log });
  lifecycle = createLifecycle({
    store,
    links,
    guard,
    gateways: recordingGateways(links),
    hubNames,
    hubLinks: createHubLinks({ links, store, log, hasIpv6: true }),
    log,
    hasIpv6: true,
    secretsFolder: folder,
    uplinksTo: usualUplinks,
  });
  return log;
}

/** What gives a network its peers, while a seed gives the keys. */
const fileOfPeers = `[Interface]\n[Peer]\nPublicKey = ${articleOptions.peerkey}\nAllowedIPs = 10.0.0.0/8\n`;

/** @returns the path of its file */
async function createNetworkOfFile(): Promise<string> {
  const file = join(folder, 'app.conf');
  await writeFile(file, fileOfPeers, { mode: 0o600 });
  const { seed, additional } = articleOptions;
  await lifecycle.createNetwork(
    network({ id: 'of-file', options: { conffile: 'app.conf', seed, additional } }),
  );
  return file;
}

function endpoint(endpointId: string, ...addresses: string[]) {
  return { endpointId, networkId: 'network', addresses: addresses.map(prefixOf) };
}

const seenNow = (endpointId: string) =>
  lifecycle.endpoints().find((seen) => seen.endpoint.endpointId === endpointId) ?? assert.fail(endpointId);

test('an endpoint that was called for since it was seen is not deleted', async () => {
  await lifecycle.createEndpoint(endpoint('e1', '192.168.5.2/24'));
  const created = seenNow('e1');
  await lifecycle.join('network', 'e1', '');
  const joined = seenNow('e1');
  assert.equal(await lifecycle.deleteStaleEndpoint(created), false);
  assert(links.present.has(linkName('e1')));
  await lifecycle.join('network', 'e1', '');
  assert.equal(await lifecycle.deleteStaleEndpoint(joined), false);
  assert.equal(await lifecycle.deleteStaleEndpoint(seenNow('e1')), true);
  assert.equal(store.endpoint('e1'), undefined);
  assert.equal(await lifecycle.deleteStaleEndpoint(joined), false);
});

test('one of a driver before is, if nobody has called for it', async () => {
  await lifecycle.createEndpoint(endpoint('e1', '192.168.5.2/24'));
  await start();
  assert.equal(await lifecycle.deleteStaleEndpoint(seenNow('e1')), true);
});

test('a link whose endpoint came meanwhile is no orphan', async () => {
  await lifecycle.createEndpoint(endpoint('e1', '192.168.5.2/24'));
  await lifecycle.join('network', 'e1', '');
  const link = { name: linkName('e1'), endpointId: 'e1' };
  assert.equal(await lifecycle.deleteOrphan(link), false);
  await lifecycle.deleteEndpoint('e1');
  assert.equal(await lifecycle.deleteOrphan(link), true);
});

test('whoever holds one of the addresses was forgotten, by whichever family', async () => {
  await lifecycle.createEndpoint(endpoint('e1', '192.168.5.2/24', 'fd12::2/64'));
  await lifecycle.createEndpoint(endpoint('e2', '192.168.5.3/24', 'fd12::2/64'));
  assert.deepEqual(
    lifecycle.endpoints().map((seen) => seen.endpoint.endpointId),
    ['e2'],
  );
});

test('an endpoint of a network that was deleted meanwhile is refused', async () => {
  const deleted = lifecycle.deleteNetwork('network');
  await assert.rejects(
    lifecycle.createEndpoint(endpoint('e1', '192.168.5.2/24')),
    /network network is not known/,
  );
  assert.equal(await deleted, true);
  assert.deepEqual(store.endpoints(), []);
});

test('a network with options that this version does not know says so, and can be deleted', async () => {
  const file = join(folder, 'networks', 'network.json');
  const record = JSON.parse(await readFile(file, 'utf8'));
  await writeFile(file, JSON.stringify({ ...record, options: { ...articleOptions, later: 'x' } }));
  await start();
  assert.throws(
    () => lifecycle.network('network'),
    /^Error: network network cannot be used by this version of wgdriver, .*unknown option io\.bestov\.wg\.later/,
  );
  await lifecycle.deleteNetwork('network');
  assert.throws(() => lifecycle.network('network'), /is not known to this driver/);
});

test('the MTU of an endpoint with options that this version does not know is left as it is', async () => {
  const known = endpoint('e1', '192.168.5.2/24');
  assert(lifecycle.hasAutoMtu(known));
  assert(!lifecycle.hasAutoMtu({ ...known, options: { mtu: '1300' } }));
  assert(!lifecycle.hasAutoMtu({ ...known, options: { later: 'x' } }));
});

test('a removal that cannot be recorded takes the protection away all the same', async () => {
  const guard = recordingGuard();
  await start(guard);
  await lifecycle.createEndpoint(endpoint('e1', '192.168.5.2/24'));
  await lifecycle.join('network', 'e1', '/sandbox');
  assert(guard.guarded.has('e1'));
  const folderOfJoins = join(folder, 'boots', store.bootId, 'joined');
  // In the way of the rename.
  await mkdir(join(folderOfJoins, 'e1.leaving', 'x'), { recursive: true });
  await lifecycle.deleteEndpoint('e1');
  await until('it is released', () => store.joined('e1') === undefined);
  assert(!guard.guarded.has('e1'));
});

test('a driver that has ended takes no record away with a protection: the folder may be another’s', async () => {
  const guard = recordingGuard();
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  await start({ ...guard, release: () => released });
  await lifecycle.createEndpoint(endpoint('e1', '192.168.5.2/24'));
  await lifecycle.join('network', 'e1', '/sandbox');
  await lifecycle.deleteEndpoint('e1');
  await lifecycle.close();
  release();
  await setImmediate();
  const folderOfJoins = join(folder, 'boots', store.bootId, 'joined');
  assert.deepEqual(await readdir(folderOfJoins), ['e1.leaving']);
});

test('a driver that starts reads a network’s file once for all its containers', async () => {
  await createNetworkOfFile();
  for (const [id, address] of [
    ['e1', '192.168.5.2/24'],
    ['e2', '192.168.5.3/24'],
  ] as const) {
    await lifecycle.createEndpoint({ ...endpoint(id, address), networkId: 'of-file' });
    await lifecycle.join('of-file', id, `/sandbox-${id}`);
  }
  const scopes: TunnelScope[] = [];
  await start({
    ...recordingGuard(),
    async protect(_, __, scope) {
      scopes.push(scope);
      return 'protected';
    },
  });
  await lifecycle.protectAll();
  assert.equal(scopes.length, 2);
  assert.equal(scopes[0], scopes[1]);
});

test('a file’s one key is refused to a second container, unless the first one is gone', async () => {
  await writeFile(
    join(folder, 'app.conf'),
    `[Interface]\nPrivateKey = KPGLBti04NrpSWcdjDVRXQm0HHtsd9CTf8IbMNEb91c=\nAddress = 10.2.0.2/32
[Peer]\nPublicKey = ${articleOptions.peerkey}\nAllowedIPs = 10.0.0.0/8\n`,
    { mode: 0o600 },
  );
  await lifecycle.createNetwork(
    network({ id: 'one-peer', subnets: [['0.0.0.0/0', '']], options: { conffile: 'app.conf' } }),
  );
  const create = (endpointId: string) =>
    lifecycle.createEndpoint({ ...endpoint(endpointId, '10.2.0.2/32'), networkId: 'one-peer' });
  await create('p1');
  // Its Join comes next; or its engine was killed.
  await assert.rejects(
    create('p2'),
    /for one container, and endpoint p1 already has its key, with 10\.2\.0\.2: its container has not started yet\. If there is no such container/,
  );
  await create('p1');
  await lifecycle.join('one-peer', 'p1', '');
  const running = /endpoint p1 already has its key, with 10\.2\.0\.2: remove or disconnect that container/;
  await assert.rejects(create('p2'), running);
  links.take(linkName('p1'));
  await assert.rejects(create('p2'), running);
  // Removed, and the engine has given the link back.
  links.giveBack(linkName('p1'));
  await lifecycle.deleteEndpoint('p1');
  await create('p2');
  await lifecycle.join('one-peer', 'p2', '');
  // Its namespace has gone, and the link with it: the engine was killed before it said so.
  await links.delete(linkName('p2'));
  await create('p3');
  assert.equal(store.endpoint('p2'), undefined);
  await lifecycle.join('one-peer', 'p3', '');
  // A removal that failed has no container any more.
  links.fail('delete', new Error('busy'));
  await assert.rejects(lifecycle.deleteEndpoint('p3'), /busy/);
  links.fail('delete', undefined);
  await links.delete(linkName('p3'));
  await create('p4');
});

test('a container whose network’s file cannot be read, or whose namespace cannot be seen, is protected once it can be', async () => {
  const file = await createNetworkOfFile();
  await lifecycle.createEndpoint({ ...endpoint('e1', '192.168.5.2/24'), networkId: 'of-file' });
  await lifecycle.join('of-file', 'e1', '/sandbox');
  await rm(file);
  const guard = recordingGuard();
  let isSeen = false;
  let asked = 0;
  const log = await start({
    ...guard,
    async protect(...args) {
      asked += 1;
      return isSeen ? guard.protect(...args) : 'unseen';
    },
  });
  await lifecycle.protectAll();
  await lifecycle.protectAll();
  assert.deepEqual([asked, log.lines.map(({ level }) => level)], [0, ['error']]);
  await writeFile(file, fileOfPeers, { mode: 0o600 });
  await lifecycle.protectAll();
  assert.deepEqual([asked, guard.guarded.size], [1, 0]);
  assert.match(String(log.lines.at(-1)?.fields.cause), /does not see a network namespace at .*\/sandbox/);
  isSeen = true;
  await lifecycle.protectAll();
  assert.deepEqual(guard.guarded.get('e1')?.prefixes, ['10.0.0.0/8']);
  await lifecycle.protectAll();
  assert.deepEqual([asked, log.lines.map(({ level }) => level)], [2, ['error', 'error', 'info']]);
});

for (const [what, text] of [
  ['is empty', ''],
  ['was copied in part', fileOfPeers.slice(0, fileOfPeers.indexOf('AllowedIPs'))],
] as const) {
  test(`a file that ${what} opens no kill switch, and starts no container`, async () => {
    const file = await createNetworkOfFile();
    await lifecycle.createEndpoint({ ...endpoint('e1', '192.168.5.2/24'), networkId: 'of-file' });
    await lifecycle.createEndpoint({ ...endpoint('e2', '192.168.5.3/24'), networkId: 'of-file' });
    await lifecycle.join('of-file', 'e1', '/sandbox');
    await writeFile(file, text);
    const guard = recordingGuard();
    const log = await start(guard);
    await lifecycle.protectAll();
    const refusal = /configuration file app\.conf: (expected a \[Peer\]|no \[Peer\] has AllowedIPs)/;
    assert.match(String(log.lines.at(-1)?.fields.cause), refusal);
    await assert.rejects(lifecycle.join('of-file', 'e2', '/other'), refusal);
    assert.deepEqual([guard.guarded.size, links.present.has(linkName('e2'))], [0, false]);
    await writeFile(file, fileOfPeers);
    await lifecycle.protectAll();
    assert.deepEqual(guard.guarded.get('e1')?.prefixes, ['10.0.0.0/8']);
    const { message, fields } = log.lines.at(-1) ?? assert.fail();
    assert.deepEqual([message, fields], ['container protected after earlier failures', { endpoint: 'e1' }]);
  });
}

for (const [what, allowedIps] of [
  ['less', '10.0.0.0/8'],
  ['more, and thereby opens IPv6', '0.0.0.0/1, 128.0.0.0/2, fd00::/8'],
] as const) {
  test(`a running container’s kill switch stays as at its start when its file names ${what}`, async () => {
    const file = await createNetworkOfFile();
    await writeFile(file, fileOfPeers.replace('10.0.0.0/8', '0.0.0.0/1, 128.0.0.0/2'));
    await lifecycle.createEndpoint({ ...endpoint('e1', '192.168.5.2/24'), networkId: 'of-file' });
    await lifecycle.join('of-file', 'e1', '/sandbox');
    links.take(linkName('e1'));
    await writeFile(file, fileOfPeers.replace('10.0.0.0/8', allowedIps));
    const scopes = new Map<string, TunnelScope>();
    const guard = recordingGuard();
    let isSeen = false;
    const log = await start({
      ...guard,
      async protect(sandbox, endpointId, scope) {
        scopes.set(endpointId, scope);
        return isSeen ? guard.protect(sandbox, endpointId, scope) : 'unseen';
      },
    });
    const asAtStart = () => {
      const { prefixes, closed } = scopes.get('e1') ?? assert.fail();
      assert.deepEqual([prefixes.map(formatPrefix), closed], [['0.0.0.0/1', '128.0.0.0/2'], ['ipv6']]);
    };
    await lifecycle.protectAll();
    asAtStart();
    scopes.clear();
    isSeen = true;
    // Its next network finds the same.
    await lifecycle.createEndpoint(endpoint('e2', '192.168.5.2/24'));
    await lifecycle.join('network', 'e2', '/sandbox');
    asAtStart();
    assert.deepEqual(
      log.lines.filter(({ level }) => level === 'warn').map(({ message, fields }) => [message, fields]),
      [
        [
          'AllowedIPs have changed: restart the container, because its routes are set when it starts',
          { network: 'of-file', endpoint: 'e1' },
        ],
      ],
    );
    // One that starts has what the file says now.
    await lifecycle.createEndpoint({ ...endpoint('e3', '192.168.5.3/24'), networkId: 'of-file' });
    await lifecycle.join('of-file', 'e3', '/other');
    assert.deepEqual(scopes.get('e3')?.prefixes.map(formatPrefix), allowedIps.split(', '));
  });
}

test('a Join that was cut short before its link had peers is protected by the file', async () => {
  await createNetworkOfFile();
  await lifecycle.createEndpoint({ ...endpoint('e1', '192.168.5.2/24'), networkId: 'of-file' });
  const held = links.hold('configure');
  void lifecycle.join('of-file', 'e1', '/sandbox');
  await held;
  const guard = recordingGuard();
  const log = await start(guard);
  await lifecycle.protectAll();
  assert.deepEqual(guard.guarded.get('e1')?.prefixes, ['10.0.0.0/8']);
  assert.deepEqual(log.lines, []);
});

/** A container with a link on a network of a file and one on the article's, and then a driver that has not protected it yet. */
async function startOverBoth(guard: Guard): Promise<{ file: string; log: ReturnType<typeof recordedLog> }> {
  const file = await createNetworkOfFile();
  await lifecycle.createEndpoint({ ...endpoint('e1', '192.168.5.2/24'), networkId: 'of-file' });
  await lifecycle.createEndpoint(endpoint('e2', '192.168.5.2/24'));
  await lifecycle.join('of-file', 'e1', '/sandbox');
  await lifecycle.join('network', 'e2', '/sandbox');
  return { file, log: await start(guard) };
}

test('a container is protected for none of its networks while the file of one cannot be read', async () => {
  const guard = recordingGuard();
  const { file, log } = await startOverBoth(guard);
  await rm(file);
  await lifecycle.protectAll();
  await lifecycle.protectAll();
  assert.equal(guard.guarded.size, 0);
  assert.deepEqual(
    log.lines.map(({ level, fields }) => [level, fields.endpoint]),
    [['error', 'e1']],
  );
  await writeFile(file, fileOfPeers, { mode: 0o600 });
  await lifecycle.protectAll();
  assert.deepEqual([...guard.guarded.keys()].sort(), ['e1', 'e2']);
});

test('nor while this version does not know what one of them asks for', async () => {
  const guard = recordingGuard();
  await startOverBoth(guard);
  const record = join(folder, 'networks', 'of-file.json');
  const { options, ...rest } = JSON.parse(await readFile(record, 'utf8'));
  await writeFile(record, JSON.stringify({ ...rest, options: { ...options, later: 'x' } }));
  const log = await start(guard);
  await lifecycle.protectAll();
  assert.equal(guard.guarded.size, 0);
  assert.match(
    String(log.lines.at(-1)?.fields.cause),
    /^Error: network of-file cannot be used: .*unknown option io\.bestov\.wg\.later/,
  );
});

test('nor while a call for one of them is under way', async () => {
  const guard = recordingGuard();
  await startOverBoth(guard);
  let end = () => {};
  const call = lifecycle.withLink(
    seenNow('e1'),
    () =>
      new Promise<void>((resolve) => {
        end = resolve;
      }),
  );
  const protecting = lifecycle.protectAll();
  await until('the file is read', () => lifecycle.lastRead('of-file').configuration !== undefined);
  await setImmediate();
  assert.equal(guard.guarded.size, 0);
  end();
  await Promise.all([call, protecting]);
  assert.equal(guard.guarded.size, 2);
});

test('a container that runs gets no other network before it is protected for those that it has', async () => {
  const file = await createNetworkOfFile();
  await lifecycle.createEndpoint({ ...endpoint('e1', '192.168.5.2/24'), networkId: 'of-file' });
  await lifecycle.join('of-file', 'e1', '/sandbox');
  await rm(file);
  const guard = recordingGuard();
  await start(guard);
  await lifecycle.createEndpoint(endpoint('e2', '192.168.5.2/24'));
  await assert.rejects(
    lifecycle.join('network', 'e2', '/sandbox'),
    /^Error: this network alone would open the kill switch of the container’s network of-file, .*app\.conf/,
  );
  assert.deepEqual([guard.guarded.size, links.present.has(linkName('e2'))], [0, false]);
  // Other containers, and networks that close nothing, are not concerned.
  await lifecycle.join('network', 'e2', '/other');
  await lifecycle.createNetwork(network({ id: 'open', options: { ...articleOptions, killswitch: 'off' } }));
  await lifecycle.createEndpoint({ ...endpoint('e3', '192.168.5.2/24'), networkId: 'open' });
  await lifecycle.join('open', 'e3', '/sandbox');
  assert.deepEqual([...guard.guarded.keys()], ['e2']);
  await writeFile(file, fileOfPeers, { mode: 0o600 });
  await lifecycle.join('network', 'e2', '/sandbox');
  assert.deepEqual(
    [...guard.guarded].map(([id, { sandboxKey }]) => [id, sandboxKey]),
    [
      ['e2', '/sandbox'],
      ['e1', '/sandbox'],
    ],
  );
});

test('a driver that starts knows how long its predecessor’s containers have had their links', async () => {
  await lifecycle.createEndpoint(endpoint('e1', '192.168.5.2/24'));
  await lifecycle.join('network', 'e1', '/sandbox');
  const file = join(folder, 'boots', store.bootId, 'joined', 'e1.json');
  const minuteAgo = new Date(Date.now() - 60_000);
  await utimes(file, minuteAgo, minuteAgo);
  await start();
  const ageOf = ({ sinceMs = Number.NaN }) => performance.now() - sinceMs;
  assert.equal(seenNow('e1').touchedMs, undefined);
  const ageMs = ageOf(seenNow('e1'));
  assert(ageMs >= 60_000 && ageMs < 120_000, `${ageMs}`);
  await lifecycle.join('network', 'e1', '/sandbox');
  assert(ageOf(seenNow('e1')) < 60_000);
});

test('a container that starts is protected by its Join alone, which knows its link', async () => {
  const guard = recordingGuard();
  let protections = 0;
  await start({
    ...guard,
    protect(...args) {
      protections += 1;
      return guard.protect(...args);
    },
  });
  await lifecycle.createEndpoint(endpoint('e1', '192.168.5.2/24'));
  const held = links.hold('configure');
  const joining = lifecycle.join('network', 'e1', '/sandbox');
  const configure = await held;
  assert.equal(store.joined('e1')?.stage, 'marked');
  const protecting = lifecycle.protectAll();
  await setImmediate();
  assert(!guard.guarded.has('e1'));
  configure();
  await Promise.all([joining, protecting]);
  assert.equal(protections, 1);
});

for (const [what, lines, options] of [
  ['a container', '', { seed: articleOptions.seed, additional: articleOptions.additional }],
  [
    'the first of a shared tunnel',
    'PrivateKey = KPGLBti04NrpSWcdjDVRXQm0HHtsd9CTf8IbMNEb91c=\nAddress = 10.2.0.2/32\n',
    {},
  ],
] as const) {
  test(`${what} whose peers all have names that hang waits 2 s for all of them together`, async () => {
    const asked = new Set<string>();
    await start(recordingGuard(), (host) => {
      asked.add(host);
      return new Promise(() => {});
    });
    const peers = [1, 2, 3].map(
      (number) =>
        `[Peer]\nPublicKey = ${Buffer.alloc(32, number).toString('base64')}\nEndpoint = hub${number}.example:51820\nAllowedIPs = 10.${number}.0.0/16\n`,
    );
    await writeFile(join(folder, 'app.conf'), `[Interface]\n${lines}${peers.join('')}`, { mode: 0o600 });
    await lifecycle.createNetwork(network({ id: 'named', options: { conffile: 'app.conf', ...options } }));
    await lifecycle.createEndpoint({ ...endpoint('e1', '192.168.5.2/24'), networkId: 'named' });
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      let joined: { readonly link: string } | undefined;
      let failure: unknown;
      lifecycle.join('named', 'e1', '/sandbox').then(
        (handedOver) => {
          joined = handedOver;
        },
        (error) => {
          failure = error;
        },
      );
      const pass = async (what: string, isSo: () => boolean) => {
        for (const started = performance.now(); !isSo(); await setImmediate()) {
          assert.equal(failure, undefined);
          assert(performance.now() - started < 60_000, what);
        }
      };
      await pass('all names are asked for', () => asked.size === peers.length);
      mock.timers.tick(1900);
      await setImmediate();
      assert.equal(joined, undefined);
      mock.timers.tick(100);
      // The clock stands still from now on.
      await pass('it has joined', () => joined !== undefined);
      assert.deepEqual([...asked], ['hub1.example', 'hub2.example', 'hub3.example']);
    } finally {
      mock.timers.reset();
    }
  });
}
