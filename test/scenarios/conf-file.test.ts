// Somebody else's configuration file as a network: a hub plays the provider.
import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { access, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { sh } from '../../build/host/commands.ts';
import { driverName, hostForTests } from '../../build/host/host.ts';
import { article, type Hub, withHub } from '../../build/host/hub.ts';
import { inFullRun } from '../../build/host/scenarios.ts';

const host = await hostForTests();

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-conf-'));
});
after(() => rm(folder, { recursive: true }));

interface Keys {
  readonly privateKey: string;
  readonly publicKey: string;
  readonly presharedKey: string;
}

async function newKeys(): Promise<Keys> {
  const [privateKey = '', publicKey = '', presharedKey = ''] = (
    await sh('key=$(wg genkey); echo "$key"; echo "$key" | wg pubkey; wg genpsk')
  ).split('\n');
  return { privateKey, publicKey, presharedKey };
}

/** Makes the provider know a customer. */
async function admit(provider: Hub, { publicKey, presharedKey }: Keys, allowedIps: string): Promise<void> {
  // With a first customer of its own; what matters is its key and its port.
  await provider.configure(`--seed=${article.seed}`, '--peers=1', '10.64.0.0/24');
  const file = join(folder, 'psk');
  await writeFile(file, presharedKey, { mode: 0o600 });
  await provider.exec(
    ...(['wg', 'set', 'wg-provider', 'peer', publicKey] as const),
    ...(['preshared-key', file, 'allowed-ips', allowedIps] as const),
  );
}

async function failureOf(action: () => Promise<unknown>): Promise<string> {
  const failure = await action().then(
    () => undefined,
    (error: Error) => error.message,
  );
  return failure ?? assert.fail('expected a failure');
}

const settings = { tunnel: host.tunnel, name: 'provider', hop: 3, address: '10.64.0.1/24' };

/** As a provider's web page gives it, with what wg-quick alone obeys. */
async function providersFile(name: string, provider: Hub, keys: Keys): Promise<string> {
  const file = join(folder, name);
  const text = `[Interface]
# Device: Made Up
PrivateKey = ${keys.privateKey}
Address = 10.64.0.7/32,fd64::7/128
DNS = 10.64.0.1
MTU = 1400
PostUp = touch ${folder}/obeyed
Table = off

[Peer]
PublicKey = ${provider.publicKey}
PresharedKey = ${keys.presharedKey}
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = ${provider.endpoint}
PersistentKeepalive = 25
`;
  await writeFile(file, text.replaceAll('\n', '\r\n'), { mode: 0o600 });
  return file;
}

const createNetwork = (name: string, conffile: string, ...args: readonly string[]) =>
  host.engine.docker(
    ...(['network', 'create', '-d', driverName, '-o', `io.bestov.wg.conffile=${conffile}`] as const),
    ...args,
    name,
  );

test('the container is the peer of a provider’s file: its addresses, its peer, both families', async () => {
  await withHub(settings, async (provider) => {
    await provider.exec('ip', 'address', 'add', 'fd64::1/64', 'dev', 'wg-provider', 'nodad');
    const keys = await newKeys();
    await admit(provider, keys, '10.64.0.7/32,fd64::7/128');
    const conffile = await providersFile('provider.conf', provider, keys);
    await createNetwork('vpn', conffile, '--ipam-driver=null');
    assert.match(
      host.driver.output(),
      /network created .*mode="one container, which is the peer of the configuration file".* dns=10\.64\.0\.1/,
    );
    assert.equal(
      host.driver.output().match(/the driver ignores PostUp, Table of the configuration file/g)?.length,
      1,
    );

    await host.startContainer('app', '--network=vpn', '--dns=10.64.0.1');
    await host.ping('app', '10.64.0.1');
    await host.ping('app', 'fd64::1');
    const addresses = await host.enter('app', 'ip', 'address', 'show', 'dev', 'wg0');
    assert.match(addresses, /mtu 1400 /);
    assert.match(addresses, /inet 10\.64\.0\.7\/32 /);
    assert.match(addresses, /inet6 fd64::7\/128 /);
    assert.match(await host.enter('app', 'ip', 'route'), /^default via 169\.254\.1\.1 dev wg0/m);
    assert.match(await host.enter('app', 'ip', '-6', 'route'), /^default via fe80::1 dev wg0/m);
    await assert.rejects(access(join(folder, 'obeyed')), 'PostUp was obeyed');

    const [endpointId = ''] = (
      await host.engine.docker('inspect', '--format={{.NetworkSettings.Networks.vpn.EndpointID}}', 'app')
    ).split('\n');
    const second = await failureOf(() => host.startContainer('second', '--network=vpn'));
    assert.match(
      second,
      new RegExp(`endpoint ${endpointId} already has its key, with 10\\.64\\.0\\.7 and fd64::7: remove or`),
    );

    await host.engine.docker('restart', '--time=0', 'app');
    await host.ping('app', '10.64.0.1');
    await host.engine.docker('rm', '-f', 'app', 'second');
    await host.startContainer('next', '--network=vpn');
    await host.ping('next', '10.64.0.1');

    const twice = await failureOf(() => createNetwork('vpn2', conffile, '--ipam-driver=null'));
    assert.match(twice, /network [0-9a-f]{64} on this host has the same PrivateKey/);

    // A file that is read when a link is made: what is wrong with it then is told then.
    await writeFile(conffile, '[Interface]\nJc = 4\n', { mode: 0o600 });
    assert.match(
      await failureOf(() => host.engine.docker('restart', '--time=0', 'next')),
      /configuration file .*provider\.conf: line 2: Jc is a setting of AmneziaWG/,
    );
  });
});

test('a file without a private key gives several peers, and the seed the keys', async () => {
  await withHub(settings, async (provider) => {
    const { presharedKey } = await newKeys();
    const customer = { privateKey: '', publicKey: article.firstPublicKey, presharedKey };
    await admit(provider, customer, `${article.firstAddress}/32`);
    await provider.exec('ip', 'route', 'add', article.subnet, 'dev', 'wg-provider');
    const conffile = join(folder, 'peers.conf');
    await writeFile(
      conffile,
      `[Peer]
PublicKey = ${host.hub.publicKey}
AllowedIPs = ${article.subnet}
Endpoint = ${host.hub.endpoint}

[Peer]
PublicKey = ${provider.publicKey}
PresharedKey = ${presharedKey}
AllowedIPs = 10.64.0.0/24
Endpoint = ${provider.endpoint}
`,
      { mode: 0o600 },
    );
    await createNetwork(
      'peers',
      conffile,
      `--subnet=${article.subnet}`,
      ...['-o', `io.bestov.wg.seed=${article.seed}`, '-o', `io.bestov.wg.additional=${article.additional}`],
    );
    await host.startContainer('app', '--network=peers');
    await host.ping('app', host.hub.address);
    await host.ping('app', '10.64.0.1');
    const shown = await host.wgShow('app', 'preshared-keys');
    assert.match(shown, new RegExp(`^${provider.publicKey.replaceAll('+', '\\+')}\t(?!\\(none\\))`, 'm'));
  });
});

test('a file of 5,000 peers, as a large mesh has it, over 1 MB: the container reaches one of them', {
  skip: inFullRun,
}, async (t) => {
  await withHub(settings, async (provider) => {
    const keys = await newKeys();
    await admit(provider, keys, '10.64.0.7/32');
    const conffile = await providersFile('mesh.conf', provider, keys);
    const one = (await readFile(conffile, 'utf8')).replace('0.0.0.0/0, ::/0', '10.64.0.0/24');
    const others = Array.from({ length: 4999 }, (_, index) => {
      const key = Buffer.alloc(32, index >> 8);
      key.writeUInt32BE(index + 1);
      return `[Peer]\n# node ${index} of the mesh, made by a script\nPublicKey = ${key.toString('base64')}\nPresharedKey = ${keys.presharedKey}
AllowedIPs = 10.${index >> 8}.${index & 255}.0/24\nEndpoint = 192.0.2.${index & 127}:51820\n`;
    });
    await writeFile(conffile, one + others.join('\n'), { mode: 0o600 });
    const { size } = await stat(conffile);
    assert(size > 2 ** 20, `${size} bytes`);
    const lap = (what: string, since: number) =>
      t.diagnostic(`${what}: ${Math.round(performance.now() - since)} ms`);
    const created = performance.now();
    await createNetwork('mesh', conffile, '--ipam-driver=null');
    lap('network', created);
    const started = performance.now();
    await host.startContainer('app', '--network=mesh');
    lap('container', started);
    await host.ping('app', '10.64.0.1');
    assert.equal((await host.wgShow('app', 'peers')).split('\n').length, 5000);
    assert.match(await host.enter('app', 'ip', 'route', 'get', '10.19.1.1'), / dev wg0 /);
  });
});

test('an endpoint with a key, keepalive and MTU of its own, by `docker network connect --driver-opt`', async () => {
  const keys = await newKeys();
  const privatekeyfile = join(folder, 'own.key');
  const presharedkeyfile = join(folder, 'own.psk');
  await writeFile(privatekeyfile, `${keys.privateKey}\n`, { mode: 0o600 });
  await writeFile(presharedkeyfile, `${keys.presharedKey}\n`, { mode: 0o600 });
  await host.createNetwork('wgnet');
  await host.hub.exec(
    ...(['wg', 'set', 'wg-hub', 'peer', keys.publicKey, 'preshared-key', presharedkeyfile] as const),
    ...(['allowed-ips', '192.168.5.77/32'] as const),
  );
  try {
    await host.engine.docker('network', 'create', 'abridge');
    await host.startContainer('app', '--network=abridge');
    const connect = (...options: string[]) =>
      host.engine.docker(
        'network',
        'connect',
        ...options.flatMap((option) => ['--driver-opt', `io.bestov.wg.${option}`]),
        '--ip=192.168.5.77',
        'wgnet',
        'app',
      );
    await connect(
      `privatekeyfile=${privatekeyfile}`,
      `presharedkeyfile=${presharedkeyfile}`,
      'keepalive=7',
      'mtu=1300',
    );
    await host.ping('app', host.hub.address);
    assert.match(await host.enter('app', 'ip', 'link', 'show', 'dev', 'wg0'), /mtu 1300 /);
    await host.engine.docker('network', 'disconnect', 'wgnet', 'app');
    for (const [option, message] of [
      [
        'seed=QUFB',
        /option io\.bestov\.wg\.seed applies to a whole network: give it to `docker network create`/,
      ],
      ['mtu=x', /option io\.bestov\.wg\.mtu: expected auto or an integer from 576/],
      [
        'colour=red',
        /unknown option io\.bestov\.wg\.colour; expected one of privatekeyfile, presharedkeyfile, keepalive/,
      ],
    ] as const) {
      assert.match(await failureOf(() => connect(option)), message);
    }
    const foreign = ['network', 'connect', '--driver-opt=keepalive=7', '--ip=192.168.5.77', 'wgnet', 'app'];
    assert.match(
      await failureOf(() => host.engine.docker(...foreign)),
      /unknown option keepalive; did you mean io\.bestov\.wg\.keepalive\?/,
    );
  } finally {
    await host.hub.exec('wg', 'set', 'wg-hub', 'peer', keys.publicKey, 'remove');
  }
});

test('files that do not go with the network are refused at its creation, by name and line', async () => {
  const peer = `[Peer]\nPublicKey = ${host.hub.publicKey}\nAllowedIPs = 0.0.0.0/0\n`;
  const { privateKey } = await newKeys();
  const own = `[Interface]\nPrivateKey = ${privateKey}\n`;
  const subnet = ['--subnet=192.168.9.0/24'];
  const seed = [...subnet, '-o', `io.bestov.wg.seed=${article.seed}`];
  for (const [text, args, message] of [
    ['', ['--ipam-driver=null'], /configuration file .*wrong\.conf: expected a \[Peer\], got none/],
    [peer, ['--ipam-driver=null'], /expected a PrivateKey, because on a network with --ipam-driver null/],
    [
      own + peer,
      ['--ipam-driver=null'],
      /expected an Address, because on a network with --ipam-driver null the container/,
    ],
    [own + peer, subnet, /expected an Address, which the shared tunnel gets/],
    [peer, subnet, /it has no PrivateKey, so keys are derived: give io\.bestov\.wg\.seedfile/],
    [
      `${own}Address = 10.0.0.2\n${peer}`,
      ['--ipam-driver=null'],
      /line 3: Address: expected the prefix length too/,
    ],
    [
      peer,
      [...seed, '-o', 'io.bestov.wg.peer=192.0.2.1:51820'],
      /peer cannot be combined with io\.bestov\.wg\.conffile/,
    ],
    [peer, [...seed, '--internal'], /conffile cannot be combined with --internal/],
  ] as const) {
    const file = join(folder, 'wrong.conf');
    await writeFile(file, text, { mode: 0o600 });
    const error = await failureOf(() => createNetwork('wrong', file, ...args));
    assert.match(error, message);
    assert(!error.includes(privateKey.slice(0, 12)), error);
  }
  const missing = await failureOf(() =>
    createNetwork('wrong', join(folder, 'none.conf'), '--ipam-driver=null'),
  );
  assert.match(missing, /configuration file .*none\.conf: there is no such file \(ENOENT\)/);
  const directory = await failureOf(() => createNetwork('wrong', folder, '--ipam-driver=null'));
  assert.match(directory, /expected a regular file, got a directory/);
});
