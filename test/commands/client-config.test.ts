import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { formatPrefix } from '../../src/wireguard/address.ts';
import { readWgQuick } from '../../src/wireguard/config/wg-quick-reader.ts';
import { publicKeyOf } from '../../src/wireguard/key.ts';
import { scannedTerminal } from '../support/scanned.ts';
import { answers, serveUnix } from '../support/unix-server.ts';
import { bundle, wgdriver } from '../support/wgdriver.ts';

const hubKey = '3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=';
const clientKey = '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=';
const privateKey = 'IJftaHjgELSRD3PXllSPn3EpiVmrEjQupVynwcfu8FE=';
const scheme = ['--seed', 'dGVzdHNlZWQK', '--additional', 'dGVzdGFkZGl0aW9uYWwK'];
const hub = ['--hub-key', hubKey, '--endpoint', 'hub.example.org:51820'];

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-client-'));
});
after(() => rm(folder, { recursive: true }));

const config = (...args: string[]) => wgdriver(['client-config', ...scheme, ...hub, ...args]);

test('a file for wg-quick: the address’s own key, the hub, and everything into the tunnel', async () => {
  const { status, stdout, stderr } = await config('192.168.5.2', '--dns', '192.168.5.1,example.org');
  assert.equal(status, 0, stderr);
  const file = readWgQuick(stdout);
  assert.equal(file.privateKey?.toBase64(), privateKey);
  assert.deepEqual(file.addresses.map(formatPrefix), ['192.168.5.2/32']);
  assert.deepEqual([file.dns, file.searchDomains], [['192.168.5.1'], ['example.org']]);
  assert.deepEqual(
    file.peers.map(({ allowedIps, line: _, ...peer }) => ({
      ...peer,
      allowedIps: allowedIps.map(formatPrefix),
    })),
    [
      {
        publicKey: hubKey,
        endpoint: { host: 'hub.example.org', port: 51820 },
        persistentKeepaliveInterval: 25,
        allowedIps: ['0.0.0.0/0', '::/0'],
      },
    ],
  );
  assert.match(stderr, /^wgdriver: the output above holds a private key$/m);
  assert.match(
    stderr,
    new RegExp(`the hub needs a peer with public key ${clientKey.replaceAll('+', '\\+')} and address`),
  );
  assert(!stderr.includes(privateKey));
  const other = readWgQuick(
    (await config('192.168.5.2', '--allowed-ips', '10.0.0.5/8', '--keepalive', '0', '--mtu', '600')).stdout,
  );
  assert.deepEqual(other.peers[0]?.allowedIps.map(formatPrefix), ['10.0.0.0/8']);
  assert.deepEqual([other.peers[0]?.persistentKeepaliveInterval, other.mtu], [0, 600]);
});

test('--ipv6: the IPv6 address that goes with the client’s, and the key of the IPv4 one', async () => {
  const { addresses, privateKey: key } = readWgQuick(
    (await config('192.168.5.2', '--ipv6', 'fd12::/64')).stdout,
  );
  assert.deepEqual(addresses.map(formatPrefix), ['192.168.5.2/32', 'fd12::c0a8:502/128']);
  assert.equal(key?.toBase64(), privateKey);
});

test('--network: all of it from the engine; the address is to be kept free', async (t: TestContext) => {
  const wgnet = {
    Name: 'wgnet',
    Driver: 'wireguard-plugin',
    IPAM: {
      Config: [
        { Subnet: '192.168.5.0/29', Gateway: '192.168.5.1', AuxiliaryAddresses: { laptop: '192.168.5.2' } },
      ],
    },
    Options: {
      'io.bestov.wg.peer': '[2001:db8::1]:7000',
      'io.bestov.wg.peerkey': hubKey,
      'io.bestov.wg.seed': 'dGVzdHNlZWQK',
      'io.bestov.wg.additional': 'dGVzdGFkZGl0aW9uYWwK',
      'io.bestov.wg.allowedips': '10.0.0.0/8',
      'io.bestov.wg.keepalive': '15',
      'io.bestov.wg.mtu': '1400',
      'io.bestov.wg.presharedkey': 'derived',
      'io.bestov.wg.ipv6': 'fd12::/64',
    },
  };
  const { socketPath } = await serveUnix(t, answers({ '/networks/wgnet': wgnet }));
  const ask = (...args: string[]) =>
    wgdriver(['client-config', '--docker-socket', socketPath, '--network', 'wgnet', ...args]);
  const { stdout, stderr } = await ask('192.168.5.2');
  const { addresses, mtu, peers } = readWgQuick(stdout);
  assert.deepEqual(addresses.map(formatPrefix), ['192.168.5.2/32', 'fd12::c0a8:502/128']);
  assert.equal(mtu, 1400);
  const [peer] = peers;
  assert.deepEqual(peer?.endpoint, { host: '2001:db8::1', port: 7000 });
  assert.equal(peer?.persistentKeepaliveInterval, 15);
  assert.equal(peer?.presharedKey?.toBase64(), 'xy/E4uqJb45RI4OKtF9q1/v+fhv7ePpq0hFPiPtlrg4=');
  assert.deepEqual(peer?.allowedIps.map(formatPrefix), ['10.0.0.0/8', '192.168.5.0/29']);
  assert.doesNotMatch(stderr, /Docker may assign/);

  assert.match(
    (await ask('192.168.5.3')).stderr,
    /warning: Docker may assign 192\.168\.5\.3 to a container too/,
  );
  for (const [address, message] of [
    ['192.168.5.1', /network wgnet: 192\.168\.5\.1 is the hub’s own address/],
    [
      '192.168.6.2',
      /network wgnet: expected the address of a host in 192\.168\.5\.0\/29, got 192\.168\.6\.2/,
    ],
    ['192.168.5.7', /expected the address of a host in/],
  ] as const) {
    const refused = await ask(address);
    assert.match(refused.stderr, message);
    assert.deepEqual([refused.status, refused.stdout], [2, '']);
  }
  const refused = await ask('192.168.5.2', '--hub-key', clientKey);
  assert.match(refused.stderr, /option --hub-key: the hub of network wgnet has another key/);
});

test('--network with a hublink: its key and where the client reaches it have to be said, and the rest is the network’s', async (t) => {
  const app = {
    Name: 'app',
    Driver: 'wireguard-plugin',
    IPAM: { Config: [{ Subnet: '192.168.5.0/24', Gateway: '192.168.5.1' }] },
    Options: {
      'io.bestov.wg.hublink': 'wg7',
      'io.bestov.wg.seed': 'dGVzdHNlZWQK',
      'io.bestov.wg.additional': 'dGVzdGFkZGl0aW9uYWwK',
      'io.bestov.wg.ipv6': 'fd12::/64',
    },
  };
  const { socketPath } = await serveUnix(t, answers({ '/networks/app': app }));
  const ask = (command: string, ...args: string[]) =>
    wgdriver([command, '--docker-socket', socketPath, '--network', 'app', ...args]);
  for (const missing of [[], hub.slice(0, 2), hub.slice(2)]) {
    const { status, stderr } = await ask('client-config', '192.168.5.2', ...missing);
    assert.equal(status, 2);
    assert.match(
      stderr,
      /network app has its hub on the Docker host itself: give --hub-key .* `wg show wg7 public-key`/,
    );
  }
  const {
    addresses,
    privateKey: own,
    peers,
  } = readWgQuick((await ask('client-config', '192.168.5.2', ...hub)).stdout);
  assert.deepEqual(addresses.map(formatPrefix), ['192.168.5.2/32', 'fd12::c0a8:502/128']);
  assert.equal(own?.toBase64(), privateKey);
  assert.deepEqual(
    [peers[0]?.publicKey, peers[0]?.endpoint],
    [hubKey, { host: 'hub.example.org', port: 51820 }],
  );
  assert.match(
    (await ask('endpoint-config')).stderr,
    /its hub is the link wg7 on the Docker host itself, where the driver keeps/,
  );
});

test('--network with a configuration file: which of its peers is the hub has to be said', async (t) => {
  await writeFile(
    join(folder, 'hub.conf'),
    `[Peer]\nPublicKey = ${hubKey}\nAllowedIPs = 0.0.0.0/0\nEndpoint = hub.example.org:51820\n`,
  );
  const app = {
    Name: 'app',
    Driver: 'wireguard-plugin',
    IPAM: { Config: [{ Subnet: '192.168.5.0/24', Gateway: '192.168.5.1' }] },
    Options: {
      'io.bestov.wg.conffile': 'hub.conf',
      'io.bestov.wg.seed': 'dGVzdHNlZWQK',
      'io.bestov.wg.additional': 'dGVzdGFkZGl0aW9uYWwK',
    },
  };
  const { socketPath } = await serveUnix(t, answers({ '/networks/app': app }));
  const ask = (...args: string[]) =>
    wgdriver([
      ...['client-config', '--docker-socket', socketPath, '--network', 'app', '--secrets-dir', folder],
      ...args,
    ]);
  for (const missing of [[], hub.slice(0, 2), hub.slice(2)]) {
    const { status, stderr } = await ask('192.168.5.2', ...missing);
    assert.match(stderr, /network app has its hub in a configuration file: give --hub-key and --endpoint/);
    assert.equal(status, 2);
  }
  const { stdout } = await ask('192.168.5.2', ...hub);
  assert.equal(readWgQuick(stdout).privateKey?.toBase64(), privateKey);
});

test('files are for their owner alone, and it says so', async () => {
  for (const [option, name, begins] of [
    ['--output', 'client.conf', '# wgdriver client-config'],
    ['--qr', 'client.png', '\u0089PNG'],
    ['--qr', 'client.svg', '<svg '],
  ] as const) {
    const file = join(folder, name);
    const { stdout, stderr, status } = await config('192.168.5.2', `${option}=${file}`);
    assert.equal(status, 0, stderr);
    assert.equal(stdout, '');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert((await readFile(file, 'latin1')).startsWith(begins));
    assert.match(stderr, new RegExp(`${name} (?:holds|shows) a private key: its mode is 0600`));
  }
});

test('a file that the command reads is not written', async () => {
  const seedFile = join(folder, 'given.seed');
  const picture = join(folder, 'seed.png');
  await writeFile(seedFile, 'dGVzdHNlZWQK', { mode: 0o600 });
  await symlink(seedFile, picture);
  for (const [option, file] of [
    ['--output', seedFile],
    ['--qr', picture],
  ] as const) {
    const { status, stderr } = await wgdriver([
      ...['client-config', ...hub, '192.168.5.2', '--seed-file', seedFile, `${option}=${file}`],
    ]);
    assert.match(
      stderr,
      new RegExp(`option ${option}: ${file} is read by this command and would be overwritten`),
    );
    assert.equal(status, 2);
    assert.equal(await readFile(seedFile, 'utf8'), 'dGVzdHNlZWQK');
  }
  const script = '"$@" <"$SEED"';
  const command = [process.execPath, bundle, 'client-config', ...hub, '192.168.5.2', '--seed-file', '-'];
  const { stderr } = spawnSync('sh', ['-c', script, 'sh', ...command, '--output', seedFile], {
    encoding: 'utf8',
    env: { ...process.env, SEED: seedFile },
  });
  assert.match(stderr, /option --output: .* is read by this command/);
});

test('a device or a pipe is written into, and stays one', async () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (const [option, begins] of [
    ['--output', '# wgdriver client-config'],
    ['--qr', '<svg '],
  ] as const) {
    const name = option === '--qr' ? `${pipe}.svg` : pipe;
    await symlink(pipe, name).catch(() => {});
    // A thread that opens it would never end where nobody writes.
    const reader = promisify(execFile)('timeout', ['10', 'cat', pipe]);
    const { status, stderr } = await config('192.168.5.2', `${option}=${name}`);
    assert.equal(status, 0, stderr);
    assert((await stat(pipe)).isFIFO());
    assert((await reader).stdout.startsWith(begins));
  }
});

test('an option counts by either of its spellings, each time it is given', async () => {
  const { stdout } = await config('192.168.5.2', '--allowedIps', '10.0.0.0/8', '--allowed-ips=10.1.0.0/16');
  assert.match(stdout, /^AllowedIPs = 10\.0\.0\.0\/8, 10\.1\.0\.0\/16$/m);
});

for (const option of ['--qr', '--qr=-']) {
  test(`${option} draws the code on stdout`, async () => {
    const { stdout } = await config('192.168.5.2', option);
    assert(stdout.startsWith('\u001b[30;107m') && stdout.includes('▀'), stdout);
    assert(!stdout.includes('PrivateKey'));
    assert.equal(scannedTerminal(stdout), (await config('192.168.5.2')).stdout);
  });
}

test('a private key goes to no file that others can read', () => {
  const script = 'umask 022; "$@" >"$OUT"';
  const { status, stderr } = spawnSync(
    'sh',
    ['-c', script, 'sh', process.execPath, bundle, 'client-config', ...scheme, ...hub, '192.168.5.2'],
    { encoding: 'utf8', env: { ...process.env, OUT: join(folder, 'open') } },
  );
  assert.equal(status, 1);
  assert.match(
    stderr,
    /stdout is a file that others can read, and the output holds a private key: use --output/,
  );
  assert.equal(execFileSync('cat', [join(folder, 'open')], { encoding: 'utf8' }), '');
});

test('the public key that it names is that of the private key', async () => {
  const { privateKey: key } = readWgQuick((await config('192.168.5.2')).stdout);
  assert(key);
  assert.equal(publicKeyOf(key), clientKey);
});

for (const [what, args, message] of [
  ['no address', hub, /expected the client’s address as an argument/],
  ['an address that is none', [...hub, '192.168.5'], /expected the client’s address/],
  ['an address that no client can have', [...hub, '0.0.0.0'], /no client can have the unspecified address/],
  ['no hub', ['192.168.5.2'], /expected --network, or --hub-key/],
  ['no endpoint', ['192.168.5.2', '--hub-key', hubKey], /expected --network, or --endpoint with host:port/],
  [
    'an endpoint that is none',
    [...hub, '192.168.5.2', '--endpoint', 'x'],
    /option --endpoint: expected host:port, .*; the port is missing/,
  ],
  [
    'a hub’s key that is none',
    [...hub, '192.168.5.2', '--hub-key', `${hubKey}=`],
    /option --hub-key: expected a public key, .*; it has too many = at its end/,
  ],
  [
    'a hub’s key as the UAPI has it',
    [...hub, '192.168.5.2', '--hub-key', Buffer.from(hubKey, 'base64').toString('hex')],
    /option --hub-key: expected a public key, .*; it is hexadecimal/,
  ],
  [
    'prefixes that are none',
    [...hub, '192.168.5.2', '--allowed-ips', 'all'],
    /option --allowed-ips: expected prefixes/,
  ],
  [
    'a DNS server that would be more lines',
    [...hub, '192.168.5.2', '--dns', '10.0.0.1\nPostUp = reboot'],
    /option --dns: expected addresses of servers/,
  ],
  [
    'a picture of another kind',
    [...hub, '192.168.5.2', '--qr=x.gif'],
    /option --qr: expected no value, - for stdout, or a file/,
  ],
  [
    'an IPv6 prefix that is too long',
    [...hub, '192.168.5.2', '--ipv6', 'fd12::/97'],
    /option --ipv6: expected an IPv6 prefix of at most \/96/,
  ],
  [
    'an MTU that its IPv6 address cannot have',
    [...hub, '192.168.5.2', '--mtu', '1279', '--ipv6', 'fd12::/64', '--allowed-ips', '10.0.0.0/8'],
    /option --mtu: expected at least 1280 with IPv6 addresses \(RFC 8200\), got 1279$/,
  ],
  [
    'an MTU that its IPv6 route cannot have',
    [...hub, '192.168.5.2', '--mtu', '600'],
    /option --mtu: expected at least 1280 .*, got 600: raise it with --mtu, or give --allowed-ips without IPv6 prefixes$/,
  ],
  ['two addresses', [...hub, '192.168.5.2', '192.168.5.3'], /unexpected argument 192\.168\.5\.3/],
] as const) {
  test(`wrong arguments, ${what}: one line and status 2`, async () => {
    const { status, stdout, stderr } = await wgdriver(['client-config', ...scheme, ...args]);
    const lines = stderr.split('\n').filter((line) => !line.includes('warning'));
    assert.equal(lines.length, 2, stderr);
    assert.match(lines[0] ?? '', message);
    assert.deepEqual([status, stdout], [2, '']);
  });
}
