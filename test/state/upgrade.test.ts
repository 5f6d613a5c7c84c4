/** The state of every release is read by this one; the files are what those releases wrote. */
import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { asWrittenBy010 } from '../../build/host/state.ts';
import { readSecrets } from '../../src/driver/secrets.ts';
import { tunnelOf } from '../../src/networks/tunnel.ts';
import { openStore, type Store } from '../../src/state/store.ts';
import { formatPrefix, prefixOf } from '../../src/wireguard/address.ts';
import { publicKeyOf } from '../../src/wireguard/key.ts';
import { recordedLog } from '../support/recorded-log.ts';

const fixtures = fileURLToPath(new URL('./fixtures/', import.meta.url));
/** The boot that 0.1.0 ran in. */
const boot = '0b00c0de-0000-4000-8000-000000000010';
const id = (text: string) => Buffer.from(text.padEnd(32, '.')).toString('hex');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-upgrade-'));
  await cp(join(fixtures, '0.1.0'), folder, { recursive: true });
});
afterEach(() => rm(folder, { recursive: true }));

/** Makes it as if 0.1.0 had run in this boot. */
async function inThisBoot(): Promise<string> {
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  await rename(join(folder, 'joined', boot), join(folder, 'joined', bootId));
  for (const name of await readdir(join(folder, 'endpoints'))) {
    const file = join(folder, 'endpoints', name);
    await writeFile(file, (await readFile(file, 'utf8')).replace(boot, bootId));
  }
  return bootId;
}

function expectNetworks(store: Store): void {
  const described = (name: string) => {
    const { options, internal, subnets } = store.network(id(name)) ?? assert.fail(name);
    const { peer, mtu, keepalive, killswitch, derivation, allowedips } = options;
    return {
      peer: `${peer?.host} ${peer?.port}`,
      mtu,
      keepalive,
      killswitch,
      derivation,
      allowedips: allowedips?.map(formatPrefix),
      internal,
      subnets: subnets.map(({ pool }) => formatPrefix(pool)).join(),
    };
  };
  const article = {
    peer: '192.0.2.1 51820',
    mtu: 1420,
    keepalive: 25,
    killswitch: 'on',
    derivation: 'sha3-256',
    allowedips: undefined,
    internal: false,
    subnets: '192.168.5.0/24',
  };
  assert.deepEqual(described('article'), article);
  assert.deepEqual(described('split'), {
    ...article,
    peer: 'hub.example.org 1',
    mtu: 1280,
    keepalive: 0,
    killswitch: 'off',
    derivation: 'keccak-256',
    allowedips: ['10.0.0.0/8', '172.16.0.0/12'],
  });
  assert.deepEqual(described('strict'), {
    ...article,
    peer: '2001:db8::1 65535',
    killswitch: 'strict',
    allowedips: ['0.0.0.0/0', '::/0'],
  });
  assert.deepEqual(described('no-additional'), article);
  assert.deepEqual(described('internal'), { ...article, internal: true });
  assert.deepEqual(described('two-subnets'), { ...article, subnets: '10.7.0.0/16,192.168.6.0/28' });
  assert.deepEqual(store.network(id('seedfile'))?.options.seed, { file: 'app.seed' });
  assert.deepEqual(store.network(id('seedfile-absolute'))?.options.seed, {
    file: '/etc/wgdriver/app.seed',
  });
}

test('0.1.0, in the same boot: networks, endpoints and how far each Join has come', async () => {
  const bootId = await inThisBoot();
  const log = recordedLog();
  // The second start has nothing left to migrate.
  for (let start = 0; start < 2; start++) {
    const store = await openStore(folder, log);
    expectNetworks(store);
    const endpoints = store
      .endpoints()
      .map(({ endpointId, networkId, addresses }) => [
        store.joined(endpointId)?.stage,
        Buffer.from(endpointId, 'hex').toString().replace(/\.+$/, ''),
        Buffer.from(networkId, 'hex').toString().replace(/\.+$/, ''),
        addresses.map(formatPrefix).join(),
      ])
      .sort();
    assert.deepEqual(endpoints, [
      [undefined, 'created', 'article', '192.168.5.2/24'],
      ['begun', 'begun', 'article', '192.168.5.5/24'],
      ['leaving', 'leaving', 'article', '192.168.5.4/24'],
      ['marked', 'marked', 'article', '192.168.5.3/24'],
      ['marked', 'marked-two-subnets', 'two-subnets', '192.168.6.2/28'],
    ]);
    assert.equal(store.joined(id('marked'))?.sandbox, '/var/run/docker/netns/6d61726b6564');
    assert.deepEqual((await readdir(folder)).sort(), ['README.md', 'boots', 'networks']);
    assert.deepEqual(await readdir(join(folder, 'boots')), [bootId]);
  }
  assert.deepEqual(log.lines, []);
});

test('0.1.0: containers have the keys that they had', async () => {
  const store = await openStore(folder, recordedLog());
  for (const [name, key] of [
    // The article's.
    ['article', '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8='],
    ['no-additional', 'bU3rddZR+2plYDLLgpXlm9RUYX0rR0OTGovqv0wTqys='],
  ] as const) {
    const network = store.network(id(name)) ?? assert.fail(name);
    const secrets = await readSecrets(network.options, folder);
    const { privateKey } = tunnelOf(network, [prefixOf('192.168.5.2/24')], secrets);
    assert.equal(publicKeyOf(privateKey), key, name);
  }
});

test('0.1.0, after a boot: networks alone', async () => {
  const log = recordedLog();
  const store = await openStore(folder, log);
  expectNetworks(store);
  assert.deepEqual(store.endpoints(), []);
  assert.deepEqual(store.allJoined(), []);
  assert.deepEqual((await readdir(folder)).sort(), ['README.md', 'boots', 'networks']);
  assert.deepEqual(log.lines, []);
});

test('0.1.0: what makes no sense is set aside where it was, and what a kill left of a write is gone', async () => {
  await inThisBoot();
  await writeFile(join(folder, 'endpoints', 'torn.json'), '{');
  await writeFile(join(folder, 'endpoints', 'e.json.123456'), '{');
  const log = recordedLog();
  const store = await openStore(folder, log);
  assert.equal(store.endpoints().length, 5);
  assert.deepEqual(
    log.lines.map(({ message }) => message),
    ['a state file cannot be read and was set aside'],
  );
  assert.match((await readdir(join(folder, 'endpoints'))).join(), /^torn\.json\.unreadable-\d+$/);
});

test('what scenarios make of a state to upgrade from is what 0.1.0 wrote', async () => {
  const bootId = await inThisBoot();
  const written = await filesIn(folder);
  await openStore(folder, recordedLog());
  await asWrittenBy010(folder);
  const ofThisBoot = ([name, text]: [string, string]) =>
    name.startsWith('joined')
      ? name.includes(bootId)
      : !name.startsWith('endpoints') || text.includes(bootId);
  assert.deepEqual(await filesIn(folder), new Map([...written].filter(ofThisBoot)));
});

test('0.1.0 once more, as after a downgrade, and this one again', async () => {
  const bootId = await inThisBoot();
  await openStore(folder, recordedLog());
  await cp(join(fixtures, '0.1.0', 'joined', boot), join(folder, 'joined', bootId), { recursive: true });
  const store = await openStore(folder, recordedLog());
  assert.equal(store.joined(id('leaving'))?.stage, 'leaving');
  assert.equal(store.allJoined().length, 4);
});

/** What is in each file, by its path. */
async function filesIn(path: string): Promise<Map<string, string>> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const texts = await Promise.all(
    files.map(
      async (file): Promise<[string, string]> => [relative(path, file), await readFile(file, 'utf8')],
    ),
  );
  return new Map(texts.sort());
}
