import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, link, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, beforeEach, type TestContext, test } from 'node:test';
import { whyNoPrograms } from '../support/fresh-namespace.ts';
import { answers, serveUnix } from '../support/unix-server.ts';
import { bundle, wgdriver } from '../support/wgdriver.ts';

const seed = ['--seed', 'dGVzdHNlZWQK'];
const article = [...seed, '--additional', 'dGVzdGFkZGl0aW9uYWwK'];
const articleKey = '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=';
const hubKey = 'IJftaHjgELSRD3PXllSPn3EpiVmrEjQupVynwcfu8FE=';

let folder: string;
let keyFile: string;
let output: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-hub-'));
  keyFile = join(folder, 'key');
  output = join(folder, 'wg0.conf');
  await writeFile(keyFile, `${hubKey}\n`, { mode: 0o600 });
});
beforeEach(() => rm(output, { force: true }));
after(() => rm(folder, { recursive: true }));

test('a file for wg-quick, by default', async () => {
  const { status, stdout, stderr } = await config('192.168.5.0/29', '--private-key-file', keyFile);
  assert.match(stderr, /^wgdriver: warning: the seed has fewer than 16 bytes .*\n$/);
  assert.equal(status, 0);
  const [own = '', ...peers] = sections(stdout);
  assert.equal(
    own.replaceAll(/ \|\| echo .*/g, ''),
    `# wgdriver endpoint-config 192.168.5.0/29, 5 peers
[Interface]
PrivateKey = ${hubKey}
ListenPort = 51820
Address = 192.168.5.1/29
Table = off
PostUp = sysctl -q -w net/ipv4/conf/%i/forwarding=1
PostUp = ! iptables -S FORWARD 2>/dev/null | grep -q -e '-P FORWARD DROP'`,
  );
  assert.equal(peers[0], `[Peer]\nPublicKey = ${articleKey}\nAllowedIPs = 192.168.5.2/32`);
  // Without the network, the broadcast address and the hub.
  assert.deepEqual(
    addresses(stdout),
    [2, 3, 4, 5, 6].map((last) => `192.168.5.${last}/32`),
  );
});

test('the peers’ keys are those of `keys`', async () => {
  const { stdout } = await config('192.168.5.0/29');
  const keys = await wgdriver(['keys', ...article, '192.168.5.2-192.168.5.6']);
  assert.deepEqual(publicKeys(stdout), keys.stdout.trim().split('\n'));
});

test('for `wg setconf`', async () => {
  const { stdout } = await config(
    '192.168.5.0/30',
    '--format',
    'setconf',
    '--private-key-file',
    keyFile,
    '--listen-port',
    '7',
  );
  assert.equal(
    stdout,
    `# wgdriver endpoint-config 192.168.5.0/30, 1 peers
[Interface]
PrivateKey = ${hubKey}
ListenPort = 7

# wgdriver: peers from here on are made by \`wgdriver endpoint-config\`; changes in them get lost

[Peer]
PublicKey = ${articleKey}
AllowedIPs = 192.168.5.2/32

# wgdriver: end of peers
`,
  );
});

test('for systemd-networkd: two files, neither with the key', async () => {
  const { stdout } = await config(
    '192.168.5.0/30',
    '--format',
    'networkd',
    '--private-key-file',
    keyFile,
    '--interface',
    'wg7',
  );
  assert.equal(
    stdout,
    `# ---- .netdev
# wgdriver endpoint-config 192.168.5.0/30, 1 peers
[NetDev]
Name=wg7
Kind=wireguard

[WireGuard]
PrivateKeyFile=/etc/systemd/network/wg7.key
ListenPort=51820

# wgdriver: peers from here on are made by \`wgdriver endpoint-config\`; changes in them get lost

[WireGuardPeer]
PublicKey=${articleKey}
AllowedIPs=192.168.5.2/32

# wgdriver: end of peers
# ---- .network
# wgdriver endpoint-config 192.168.5.0/30, 1 peers
[Match]
Name=wg7

[Network]
Address=192.168.5.1/30
# systemd before 256 cannot forward for one interface: \`sysctl net/ipv4/conf/wg7/forwarding=1\` there.
IPv4Forwarding=yes
`,
  );
});

test('as JSON, without the key', async () => {
  const { stdout } = await config('192.168.5.0/30', '--format', 'json', '--private-key-file', keyFile);
  assert.deepEqual(JSON.parse(stdout), {
    interface: 'wg0',
    address: '192.168.5.1/30',
    listenPort: 51820,
    privateKeyFile: keyFile,
    peers: [{ publicKey: articleKey, allowedIps: ['192.168.5.2/32'] }],
  });
});

test('without the hub’s key wg-quick and networkd read it on the hub, and nothing is warned of', async () => {
  for (const [format, line] of [
    ['wg-quick', /^PostUp = wg set %i private-key \/etc\/wireguard\/wg0\.key \|\| /m],
    ['networkd', /^PrivateKeyFile=\/etc\/systemd\/network\/wg0\.key$/m],
  ] as const) {
    const { stdout, stderr, status } = await config('192.168.5.0/30', '--format', format);
    assert.match(stdout, line);
    assert.doesNotMatch(stderr, /private key/);
    assert.equal(status, 0);
    const named = await config('192.168.5.0/30', '--format', format, '--hub-key-file', '/root/hub.key');
    assert.match(named.stdout, /\/root\/hub\.key/);
  }
});

test('without the hub’s key `wg setconf` takes it away there, and a warning says so', async () => {
  const { stdout, stderr, status } = await config('192.168.5.0/30', '--format', 'setconf');
  assert.match(
    stderr,
    /warning: this configuration has no private key, so `wg setconf` .* remove the hub’s:/,
  );
  assert(!stdout.includes('PrivateKey'));
  assert.equal(status, 0);
});

test('several subnets in one file, which `wg syncconf` takes whole', async () => {
  const { stdout } = await config('192.168.5.0/30', '10.0.0.0/29', '--address', '10.0.0.4');
  assert.match(stdout, /^Address = 192\.168\.5\.1\/30\nAddress = 10\.0\.0\.4\/29$/m);
  assert.deepEqual(addresses(stdout), [
    '192.168.5.2/32',
    ...[1, 2, 3, 5, 6].map((last) => `10.0.0.${last}/32`),
  ]);
  const json = await config('192.168.5.0/30', '10.0.0.0/29', '--format', 'json');
  const { address, addresses: all } = JSON.parse(json.stdout);
  assert.deepEqual([address, all], ['192.168.5.1/30', ['192.168.5.1/30', '10.0.0.1/29']]);
});

test('IPv6 addresses that go with IPv4 ones: of the hub and of each peer', async (t) => {
  const expected = ['192.168.5.2/32, fd12::c0a8:502/128'];
  const { stdout } = await config('192.168.5.0/30', '--ipv6', 'fd12::/64');
  assert.match(stdout, /^Address = 192\.168\.5\.1\/30\nAddress = fd12::c0a8:501\/126$/m);
  assert.match(stdout, /^PostUp = grep -qs 1 \/proc\/sys\/net\/ipv6\/conf\/all\/forwarding/m);
  assert.deepEqual(addresses(stdout), expected);
  // A file of 0.1's has the same peer with one address: it is ours as well.
  await writeFile(output, stdout.replaceAll(/^# wgdriver.*$/gm, ''));
  assert.equal((await config('192.168.5.0/30', '--ipv6', 'fd12::/64', '--keep', output)).stdout, stdout);
  const Options = { ...inspection().Options, 'io.bestov.wg.ipv6': 'fd12::/64' };
  const Config = [{ Subnet: '192.168.5.0/30' }];
  const known = await fromEngine(t, { wgnet: inspection({ Options, IPAM: { Config } }) });
  assert.deepEqual(addresses(known.stdout), expected);
});

test('a network of IPv6 alone: the hub is ::1, and the subnet’s own first address nobody’s', async () => {
  const { stdout } = await config('fd00::/125', '--peers', '3');
  assert.match(stdout, /^Address = fd00::1\/125$/m);
  assert.deepEqual(addresses(stdout), ['fd00::2/128', 'fd00::3/128', 'fd00::4/128']);
});

test('several ranges of peers, each address once; and exceptions', async () => {
  const { stdout } = await config(
    '192.168.5.0/24',
    '--peers',
    '192.168.5.10-192.168.5.12,192.168.5.20',
    '--peers=192.168.5.12-192.168.5.13',
    '--except',
    '192.168.5.11',
  );
  assert.deepEqual(
    addresses(stdout),
    [10, 12, 20, 13].map((last) => `192.168.5.${last}/32`),
  );
  const counted = await config('192.168.5.0/24', '--peers', '2', '--except', '192.168.5.2-192.168.5.5');
  assert.deepEqual(addresses(counted.stdout), ['192.168.5.6/32', '192.168.5.7/32']);
});

test('a part of the subnet, as --ip-range has it: Docker assigns its first and its last address too', async () => {
  const { stdout } = await config('192.168.5.0/24', '--peers', '192.168.5.64/30,192.168.5.252/30');
  const expected = [64, 65, 66, 67, 252, 253, 254].map((last) => `192.168.5.${last}/32`);
  assert.deepEqual(addresses(stdout), expected);
  const rest = await config('192.168.5.0/28', '--except', '192.168.5.0/30');
  assert.deepEqual(addresses(rest.stdout)[0], '192.168.5.4/32');
});

/** What somebody made of a file of ours: their own peer, with its comment, and their own hooks. */
function edited(text: string): string {
  return (
    text.replace('[Interface]\n', '[Interface]\n# the admin was here\nMTU = 1380\nPostUp = ./mine.sh\n') +
    `\n# Anna’s laptop\n[Peer]\nPublicKey = ${'B'.repeat(42)}E=\nAllowedIPs = 192.168.5.9/32\n`
  );
}

test('--keep: what is in the hub’s file and not ours stays, and what is ours is made anew', async () => {
  const before = await config('192.168.5.0/29', '--private-key-file', keyFile);
  await writeFile(output, edited(before.stdout));
  const args = ['192.168.5.0/28', '--peers', '192.168.5.2-192.168.5.4', '--keep', output];
  const { stdout, status } = await config(...args);
  assert.equal(status, 0);
  for (const line of [
    '# the admin was here',
    'MTU = 1380',
    'PostUp = ./mine.sh',
    // It had the key, and this call has none.
    `PrivateKey = ${hubKey}`,
    '# Anna’s laptop\n[Peer]',
    'Address = 192.168.5.1/28',
  ]) {
    assert.equal(stdout.split(line).length, 2, line);
  }
  assert.deepEqual(
    addresses(stdout),
    [9, 2, 3, 4].map((last) => `192.168.5.${last}/32`),
  );
  assert.doesNotMatch(stdout, /wg set %i private-key/);
  // And once more: nothing is doubled.
  await writeFile(output, stdout);
  assert.equal((await config(...args)).stdout, stdout);
});

test('--keep of a file for setconf that has the hub’s key: it stays, and nothing is warned of', async () => {
  const before = await config('192.168.5.0/29', '--format', 'setconf', '--private-key-file', keyFile);
  await writeFile(output, before.stdout);
  const { stdout, stderr } = await config('192.168.5.0/29', '--format', 'setconf', '--keep', output);
  assert.match(stdout, new RegExp(`^PrivateKey = ${hubKey}$`, 'm'));
  assert.doesNotMatch(stderr, /no private key/);
});

test('--keep of a file that 0.1 wrote: its peers at our addresses are ours', async () => {
  await writeFile(
    output,
    `# wgdriver endpoint-config 192.168.5.0/29, 1 peers\n[Interface]\nListenPort = 51820\nAddress = 192.168.5.1/29\nPostUp = sysctl -q -w net/ipv4/conf/%i/forwarding=1\n\n[Peer]\nPublicKey = ${'B'.repeat(42)}E=\nAllowedIPs = 192.168.5.2/32\n`,
  );
  const fresh = await config('192.168.5.0/29');
  assert.equal((await config('192.168.5.0/29', '--keep', output)).stdout, fresh.stdout);
  // Nor is there anything in it that --output would have to ask about.
  assert.equal((await config('192.168.5.0/29', '--output', output)).status, 0);
  assert.equal(await readFile(output, 'utf8'), fresh.stdout);
});

test('--output does not overwrite what somebody has put into the file', async () => {
  const before = edited((await config('192.168.5.0/29', '--private-key-file', keyFile)).stdout);
  await writeFile(output, before);
  const refused = await config('192.168.5.0/29', '--output', output);
  assert.match(
    refused.stderr,
    /wg0\.conf: it holds what wgdriver did not write \(lines of \[Interface\]: 4, peers: 1\): give --keep .*wg0\.conf/,
  );
  assert.equal(refused.status, 1);
  assert.equal(await readFile(output, 'utf8'), before);
  assert.equal((await config('192.168.5.0/29', '--output', output, '--keep', output)).status, 0);
  assert.match(await readFile(output, 'utf8'), /Anna’s laptop/);
});

test('a peer of somebody’s at a container’s address: neither --keep nor --output drops it, and it says what to do', async () => {
  const before = edited((await config('192.168.5.0/28')).stdout);
  await writeFile(output, before);
  const line = before.split('\n').lastIndexOf('[Peer]') + 1;
  for (const args of [
    ['--keep', output],
    ['--output', output],
    ['--keep', output, '--output', output],
  ]) {
    const { status, stderr, stdout } = await config('192.168.5.0/28', ...args);
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(
      stderr,
      new RegExp(
        `wg0\\.conf: line ${line}: this \\[Peer\\] has 192\\.168\\.5\\.9/32, .* --except 192\\.168\\.5\\.9,`,
      ),
    );
    assert.equal(await readFile(output, 'utf8'), before);
  }
  const { stdout } = await config('192.168.5.0/28', '--keep', output, '--except', '192.168.5.9');
  assert.match(stdout, /^# Anna’s laptop\n\[Peer\]\nPublicKey = B+E=\nAllowedIPs = 192\.168\.5\.9\/32$/m);
  assert.equal(stdout.split('192.168.5.9/32').length, 2);
  // By its IPv6 address too, which goes with the IPv4 one.
  await writeFile(output, before.replace(/192\.168\.5\.9\/32\n$/, 'fd12::c0a8:509/128\n'));
  const ipv6 = await config('192.168.5.0/28', '--ipv6', 'fd12::/64', '--keep', output);
  assert.match(ipv6.stderr, /has fd12::c0a8:509\/128, .* --except 192\.168\.5\.9,/);
});

test('a ListenPort that somebody has changed is neither kept nor changed in silence', async () => {
  const before = (await config('192.168.5.0/29', '--listen-port', '4500')).stdout;
  await writeFile(output, before);
  for (const option of ['--keep', '--output']) {
    const { status, stderr } = await config('192.168.5.0/29', option, output);
    assert.equal(status, 1);
    assert.match(
      stderr,
      /wg0\.conf: ListenPort is 4500 in this file but .* give --listen-port 4500 to keep it/,
    );
  }
  const kept = await config('192.168.5.0/29', '--keep', output, '--listen-port', '4500');
  assert.equal(kept.stdout, before);
  assert.equal((await config('192.168.5.0/29', '--output', output, '--listen-port', '7')).status, 0);
});

test('--output of networkd and JSON does not overwrite what somebody has changed', async () => {
  const laptop = `\n[WireGuardPeer]\nPublicKey=${'B'.repeat(42)}E=\nAllowedIPs=192.168.5.9/32\n`;
  const withoutMarks = (text: string) => text.replaceAll(/^# wgdriver: .*\n\n?/gm, '');
  const write = (format: string) =>
    config('192.168.5.0/29', '--ipv6', 'fd12::/64', '--format', format, '--output', output);
  const cases: [string, string, (text: string) => string][] = [
    ['networkd', '.netdev', (text) => text.replace('ListenPort=51820', 'ListenPort=4500')],
    ['networkd', '.netdev', (text) => text + laptop],
    ['networkd', '.netdev', (text) => withoutMarks(text) + laptop],
    ['networkd', '.network', (text) => `${text}DNS=192.168.5.53\n`],
    ['json', '', (text) => text.replace('51820', '4500')],
    ['json', '', (text) => text.replace('192.168.5.6/32', '192.168.5.9/32')],
    ['json', '', (text) => text.replace('"publicKey"', '"name": "a", "publicKey"')],
  ];
  for (const [format, suffix, edit] of cases) {
    const file = output + suffix;
    assert.equal((await write(format)).status, 0);
    // What is there and ours is no obstacle, with 0.1's networkd file, which has no marks, among it.
    await writeFile(file, withoutMarks(await readFile(file, 'utf8')));
    assert.equal((await write(format)).status, 0, `${format} ${suffix}`);
    const changed = edit(await readFile(file, 'utf8'));
    await writeFile(file, changed);
    const { status, stderr } = await write(format);
    assert.equal(status, 1, `${format} ${edit}`);
    assert.match(
      stderr,
      /: line \d+( and \d+ others)? would be lost, because the new file does not have it: /,
    );
    assert.equal(await readFile(file, 'utf8'), changed);
    for (const each of ['', '.netdev', '.network']) {
      await rm(output + each, { force: true });
    }
  }
});

test('--keep of a file that cannot be read, and with a format that has another way', async () => {
  await writeFile(output, '[Interface]\nJc = 4\n');
  const { stderr, status } = await config('192.168.5.0/29', '--keep', output);
  assert.match(stderr, /^wgdriver: .*wg0\.conf: line 2: Jc is a setting of AmneziaWG/);
  assert.equal(status, 1);
  const networkd = await config('192.168.5.0/29', '--format', 'networkd', '--keep', output);
  assert.match(
    networkd.stderr,
    /option --keep: expected --format wg-quick or setconf; networkd .* wg0\.netdev\.d\//,
  );
  assert.equal(networkd.status, 2);
});

test('scenario 1 of the article: 100 containers in a /25', async () => {
  const { stdout } = await config('192.168.5.0/25', '--peers', '100');
  const peers = addresses(stdout);
  assert.equal(peers.length, 100);
  assert.deepEqual([peers[0], peers.at(-1)], ['192.168.5.2/32', '192.168.5.101/32']);
  assert.equal(new Set(publicKeys(stdout)).size, 100);
});

test('a few peers of a subnet that has more addresses than can be asked for', async () => {
  const { stdout } = await config('10.0.0.0/8', '--peers', '2');
  assert.deepEqual(addresses(stdout), ['10.0.0.2/32', '10.0.0.3/32']);
});

test('scenario 2: ten more', async () => {
  const { stdout } = await config('192.168.5.0/25', '--peers', '192.168.5.102-192.168.5.111');
  assert.deepEqual(
    addresses(stdout),
    Array.from({ length: 10 }, (_, index) => `192.168.5.${102 + index}/32`),
  );
});

test('scenario 3: a leaked key, so a new additional gives new keys for the same addresses', async () => {
  const before = await config('192.168.5.0/25', '--peers', '100');
  const after = await wgdriver([
    'endpoint-config',
    ...seed,
    '--additional',
    'bmV3',
    '--peers',
    '100',
    '192.168.5.0/25',
  ]);
  assert.deepEqual(addresses(after.stdout), addresses(before.stdout));
  const old = new Set(publicKeys(before.stdout));
  assert(publicKeys(after.stdout).every((key) => !old.has(key)));
});

test('another address for the hub, which is then no peer’s', async () => {
  const { stdout } = await config('192.168.5.0/29', '--address', '192.168.5.3');
  assert.match(stdout, /^Address = 192\.168\.5\.3\/29$/m);
  assert.deepEqual(
    addresses(stdout),
    [1, 2, 4, 5, 6].map((last) => `192.168.5.${last}/32`),
  );
});

test('a count counts peers: the hub is not one', async () => {
  const { stdout } = await config('192.168.5.0/29', '--address', '192.168.5.2', '--peers', '3');
  assert.deepEqual(
    addresses(stdout),
    [1, 3, 4].map((last) => `192.168.5.${last}/32`),
  );
});

for (const format of ['wg-quick', 'setconf', 'json']) {
  test(`--output of ${format} is for root alone, even over a file that was not`, async () => {
    const args = ['192.168.5.0/30', '--format', format, '--private-key-file', keyFile];
    const { stdout: expected } = await config(...args);
    for (const prepare of [async () => {}, () => chmod(output, 0o644)]) {
      await prepare();
      const { stdout, status } = await config(...args, '--output', output);
      assert.equal(stdout, '');
      assert.equal(status, 0);
      assert.equal((await stat(output)).mode & 0o777, 0o600);
      assert.equal(await readFile(output, 'utf8'), expected);
    }
    assert.deepEqual((await readdir(folder)).sort(), ['key', 'wg0.conf']);
  });
}

test('- is stdin and stdout, which can be one thing each', async () => {
  const args = ['endpoint-config', ...article, '192.168.5.0/30'];
  const expected = await config('192.168.5.0/30', '--private-key-file', keyFile);
  const dashes = ['--private-key-file', '-', '--output', '-'];
  assert.deepEqual(await wgdriver([...args, ...dashes], { input: `${hubKey}\n` }), expected);
  const twice = await wgdriver([...args, ...dashes, '--keep', '-'], { input: `${hubKey}\n` });
  assert.equal(twice.status, 2);
  assert.match(
    twice.stderr,
    /^wgdriver: stdin cannot be both the private key and the hub’s file: use a file/,
  );
  assert.deepEqual(
    (await readdir('.')).filter((name) => name === '-'),
    [],
  );
});

test('--output into a device or a pipe leaves it one', { timeout: 60_000 }, async () => {
  const args = ['192.168.5.0/30', '--private-key-file', keyFile];
  const { stdout: expected } = await config(...args);
  // The test's pipe is what /dev/stdout is.
  const piped = spawnSync(
    'sh',
    ['-c', '"$@" | cat', 'sh', process.execPath, bundle, 'endpoint-config', ...article, ...args].concat([
      '--output',
      '/dev/stdout',
    ]),
    { encoding: 'utf8' },
  );
  assert.equal(piped.stdout, expected);

  execFileSync('mkfifo', [output]);
  const [read] = await Promise.all([readFile(output, 'utf8'), config(...args, '--output', output)]);
  assert.equal(read, expected);
  assert((await stat(output)).isFIFO());
});

test('--output of networkd is two files that networkd can read, without the key', async () => {
  await config('192.168.5.0/30', '--format', 'networkd', '--private-key-file', keyFile, '--output', output);
  for (const suffix of ['.netdev', '.network']) {
    assert.equal((await stat(output + suffix)).mode & 0o777, 0o644);
    assert(!(await readFile(output + suffix, 'utf8')).includes(hubKey));
    await rm(output + suffix);
  }
});

test('a file that others can read gets a secret with a warning, and is written all the same', async () => {
  const before = await config('192.168.5.0/29', '--private-key-file', keyFile);
  const kept = join(folder, 'kept.conf');
  await writeFile(kept, before.stdout);
  const keptPeer = join(folder, 'kept-peer.conf');
  const peer = `[Peer]\nPublicKey = ${hubKey}\nPresharedKey = ${hubKey}\nAllowedIPs = 10.0.0.0/8\n`;
  await writeFile(keptPeer, `[Interface]\n${peer}`);
  const script = 'umask "$1"; output=$2; shift 2; rm -f "$output"; "$@" >"$output"';
  const run = (umask: string, ...args: string[]) => {
    const command = [process.execPath, bundle, 'endpoint-config', ...article, '192.168.5.0/29', ...args];
    return spawnSync('sh', ['-c', script, 'sh', umask, output, ...command], { encoding: 'utf8' });
  };
  const warning =
    /^wgdriver: warning: stdout is a file that others can read, and the output holds (.*): use /m;
  for (const [args, secret] of [
    [['--private-key-file', keyFile], 'a private key'],
    [['--format', 'setconf', '--keep', kept], 'a private key'],
    [['--keep', keptPeer], 'preshared keys'],
    [['--private-key-file', keyFile, '--format', 'json'], undefined],
    [[], undefined],
  ] as const) {
    const { status, stderr } = run('022', ...args);
    assert.deepEqual([status, warning.exec(stderr)?.[1]], [0, secret], stderr);
    assert((await stat(output)).size > 0);
    assert.doesNotMatch(run('077', ...args).stderr, warning);
  }
});

test('--output replaces no file that the command reads, by whatever name', async (t) => {
  const { 'io.bestov.wg.seed': seedText, ...options } = inspection().Options;
  const [seedFile, linked] = [join(folder, 'given.seed'), join(folder, 'linked.netdev')];
  await writeFile(seedFile, seedText, { mode: 0o600 });
  await link(seedFile, linked);
  const kept = join(folder, 'kept-beside.conf');
  await writeFile(kept, (await config('192.168.5.0/29')).stdout);
  const own = ['endpoint-config', '192.168.5.0/29', '--seed-file', seedFile];
  const wgnet = inspection({ Options: { ...options, 'io.bestov.wg.seedfile': 'given.seed' } });
  for (const ended of [
    await wgdriver([...own, '--output', `${folder}/../${basename(folder)}/given.seed`]),
    await wgdriver([...own, '--output', seedFile, '--keep', kept]),
    await wgdriver([...own, '--output', linked.replace('.netdev', ''), '--format', 'networkd']),
    await wgdriver([...own, '--output', keyFile, '--private-key-file', keyFile, '--keep', kept]),
    await fromEngine(t, { wgnet }, '--secrets-dir', folder, '--output', seedFile),
  ]) {
    assert.match(
      ended.stderr,
      /option --output: .* is read by this command and would be overwritten: choose/,
    );
    assert.equal(ended.status, 2);
  }
  assert.equal(await readFile(seedFile, 'utf8'), seedText);
  assert.equal(await readFile(keyFile, 'utf8'), `${hubKey}\n`);
  // What is kept may be written anew.
  const again = await wgdriver([...own, '--output', kept, '--keep', kept]);
  assert.equal(again.status, 0, again.stderr);
});

test('wg-quick takes what --output wrote', await whyNoPrograms('wg-quick'), async () => {
  await config('192.168.5.0/25', '--private-key-file', keyFile, '--output', output);
  const stripped = execFileSync('wg-quick', ['strip', output], { encoding: 'utf8' });
  assert.equal(publicKeys(stripped).length, 125);
  assert.match(stripped, new RegExp(`PrivateKey = ${hubKey.replaceAll('+', '\\+')}`));
});

/** What `GET /networks/NAME` is answered with, as far as it matters here [seen on 20.10]. */
function inspection(more: object = {}) {
  return {
    Name: 'wgnet',
    Driver: 'wireguard-plugin',
    IPAM: { Driver: 'default', Options: {}, Config: [{ Subnet: '192.168.5.0/29' }] },
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Options: {
      'io.bestov.wg.peer': 'hub.example.org:7000',
      'io.bestov.wg.peerkey': articleKey,
      'io.bestov.wg.seed': 'dGVzdHNlZWQK',
      'io.bestov.wg.additional': 'dGVzdGFkZGl0aW9uYWwK',
    },
    ...more,
  };
}

async function fromEngine(t: TestContext, networks: Readonly<Record<string, object>>, ...args: string[]) {
  const byPath = Object.entries(networks).map(([name, body]) => [`/networks/${name}`, body]);
  const { socketPath } = await serveUnix(t, answers(Object.fromEntries(byPath)));
  return wgdriver(['endpoint-config', '--docker-socket', socketPath, '--network', 'wgnet', ...args]);
}

/** Without the line that says what the file is for. */
const body = (text: string) => text.replace(/^#.*\n/, '');

test('--network: all of it from the engine, and the key is checked', async (t) => {
  const expected = await config('192.168.5.0/29', '--listen-port', '7000', '--private-key-file', keyFile);
  const wgnet = inspection();
  const { status, stdout } = await fromEngine(t, { wgnet }, '--private-key-file', keyFile);
  assert.equal(status, 0);
  assert.equal(stdout, expected.stdout);
  assert.equal(
    (await fromEngine(t, { wgnet }, '--listen-port', '7')).stdout.match(/ListenPort = 7$/m)?.length,
    1,
  );

  const other = join(folder, 'other');
  await writeFile(other, `${'A'.repeat(42)}E=\n`, { mode: 0o600 });
  const refused = await fromEngine(t, { wgnet }, '--private-key-file', other);
  await rm(other);
  assert.match(refused.stderr, /other: its public key is not the network’s io\.bestov\.wg\.peerkey \+Pm8/);
  assert.deepEqual([refused.status, refused.stdout], [1, '']);
});

test('--network: preshared keys of its own or derived ones are in each format, and it says so', async (t) => {
  const psk = 'xy/E4uqJb45RI4OKtF9q1/v+fhv7ePpq0hFPiPtlrg4=';
  const options = inspection().Options;
  const derived = inspection({ Options: { ...options, 'io.bestov.wg.presharedkey': 'derived' } });
  const shared = join(folder, 'app.psk');
  await writeFile(shared, `${psk}\n`, { mode: 0o600 });
  const own = inspection({ Options: { ...options, 'io.bestov.wg.presharedkeyfile': shared } });
  const keysOf = (text: string) =>
    [...text.matchAll(/PresharedKey"? ?[=:] ?"?([A-Za-z0-9+/]{43}=)/gi)].map(([, key]) => key);
  for (const format of ['wg-quick', 'setconf', 'networkd', 'json']) {
    const { stdout, stderr, status } = await fromEngine(t, { wgnet: derived }, '--format', format);
    assert.equal(status, 0, stderr);
    assert.match(stderr, /warning: the peers’ preshared keys are in this configuration, so it is secret: /);
    const keys = keysOf(stdout);
    assert.equal(new Set(keys).size, 5);
    assert.equal(keys[0], psk, format);
    const ofOne = keysOf((await fromEngine(t, { wgnet: own }, '--format', format)).stdout);
    assert.deepEqual(ofOne, new Array(5).fill(psk));
  }
  await fromEngine(t, { wgnet: derived }, '--format', 'networkd', '--output', output);
  assert.equal((await stat(`${output}.netdev`)).mode & 0o777, 0o640);
  assert.equal((await stat(`${output}.network`)).mode & 0o777, 0o644);
  await rm(`${output}.netdev`);
  await rm(`${output}.network`);
  await rm(shared);
});

test('--network: the gateway is the hub; all subnets, or those that are named', async (t) => {
  const Config = [
    { Subnet: '10.1.0.0/29', Gateway: '10.1.0.3' },
    { Subnet: '10.2.0.0/29', IPRange: '10.2.0.4/30' },
  ];
  const wgnet = inspection({ IPAM: { Config } });
  const all = await fromEngine(t, { wgnet });
  assert.match(all.stdout, /^Address = 10\.1\.0\.3\/29\nAddress = 10\.2\.0\.1\/29$/m);
  assert.equal(addresses(all.stdout).length, 10);
  const named = await fromEngine(t, { wgnet }, '10.1.0.0/29');
  assert.match(named.stdout, /^Address = 10\.1\.0\.3\/29$/m);
  // All of the subnet, since other hosts assign the rest of it.
  assert.equal(addresses((await fromEngine(t, { wgnet }, '10.2.0.0/29')).stdout).length, 5);
  for (const args of [['10.3.0.0/29'], ['10.1.0.0/29', '10.3.0.0/29']]) {
    const { status, stderr } = await fromEngine(t, { wgnet }, ...args);
    assert.equal(status, 2);
    assert.match(
      stderr,
      /network wgnet: expected some of its subnets as arguments, or none for all of them; it has 10\.1\.0\.0\/29, 10\.2\.0\.0\/29/,
    );
  }
});

test('--network: an --aux-address gets a peer if it is asked for, and host bits of a subnet do not matter', async (t) => {
  const Config = [{ Subnet: '10.1.0.5/29', Gateway: '10.1.0.1', AuxiliaryAddresses: { laptop: '10.1.0.3' } }];
  const wgnet = inspection({ IPAM: { Config } });
  const last = ({ stdout }: { stdout: string }) =>
    addresses(stdout)
      .map((text) => text.slice(7, 8))
      .join('');
  assert.equal(last(await fromEngine(t, { wgnet })), '2456');
  assert.equal(last(await fromEngine(t, { wgnet }, '--peers', '3')), '245');
  assert.equal(last(await fromEngine(t, { wgnet }, '--peers', '10.1.0.2-10.1.0.4')), '24');
  assert.equal(last(await fromEngine(t, { wgnet }, '--peers', '10.1.0.2-10.1.0.4,10.1.0.3')), '234');
});

test('--network with an --aux-address: its peer by hand stays in a file that 0.1 wrote, and the containers’ are ours', async (t) => {
  const Config = [{ Subnet: '192.168.5.0/29', AuxiliaryAddresses: { laptop: '192.168.5.4' } }];
  const wgnet = inspection({ IPAM: { Config } });
  const peer = (key: string, address: string) =>
    `\n[Peer]\nPublicKey = ${key.repeat(42)}E=\nAllowedIPs = ${address}/32\n`;
  await writeFile(
    output,
    '# wgdriver endpoint-config 192.168.5.0/29, 2 peers\n[Interface]\nListenPort = 7000\nAddress = 192.168.5.1/29\n' +
      `PostUp = sysctl -q -w net/ipv4/conf/%i/forwarding=1\n${peer('B', '192.168.5.2')}${peer('C', '192.168.5.4')}`,
  );
  const { stdout, stderr, status } = await fromEngine(t, { wgnet }, '--keep', output);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /PublicKey = C+E=\nAllowedIPs = 192\.168\.5\.4\/32/);
  assert(!stdout.includes('BBBB'));
  assert.deepEqual(
    addresses(stdout),
    [4, 2, 3, 5, 6].map((last) => `192.168.5.${last}/32`),
  );
});

test('--network: what a swarm network lacks is in its --config-only network', async (t) => {
  const wgnet = inspection({
    Scope: 'swarm',
    IPAM: { Driver: 'default', Options: null, Config: null },
    ConfigFrom: { Network: 'wgconfig' },
    Options: null,
  });
  const wgconfig = inspection({ Name: 'wgconfig', Driver: 'null', ConfigOnly: true });
  assert.equal(
    (await fromEngine(t, { wgnet, wgconfig })).stdout,
    (await fromEngine(t, { wgnet: wgconfig })).stdout,
  );
  const { status, stderr } = await fromEngine(t, { wgnet });
  assert.equal(status, 1);
  assert.match(
    stderr,
    /from the --config-only network wgconfig: .* no network wgconfig.*; run this on a node/,
  );
});

test('--network: a seed file, in the secrets folder or by --seed-file', async (t) => {
  const { 'io.bestov.wg.seed': seedText, ...others } = inspection().Options;
  const file = join(folder, 'app.seed');
  await writeFile(file, seedText, { mode: 0o600 });
  const expected = body((await fromEngine(t, { wgnet: inspection() })).stdout);
  for (const [seedfile, ...args] of [
    [file],
    ['app.seed', '--secrets-dir', folder],
    ['/none', '--seed-file', file],
  ]) {
    const wgnet = inspection({ Options: { ...others, 'io.bestov.wg.seedfile': seedfile } });
    assert.equal(body((await fromEngine(t, { wgnet }, ...args)).stdout), expected, seedfile);
  }
  await rm(file);
  const wgnet = inspection({ Options: { ...others, 'io.bestov.wg.seedfile': 'app.seed' } });
  const { status, stderr } = await fromEngine(t, { wgnet }, '--secrets-dir', folder);
  assert.match(stderr, /^wgdriver: seed file .*\/app\.seed: there is no such file \(ENOENT\)\n$/);
  assert.equal(status, 1);
});

for (const [what, networks, args, status, message] of [
  ['none of that name', {}, [], 1, /Docker has no network wgnet; `docker network ls` lists the networks/],
  [
    'another driver’s',
    { wgnet: inspection({ Driver: 'bridge', Options: {} }) },
    [],
    1,
    /its driver is bridge/,
  ],
  [
    'options that are wrong',
    { wgnet: inspection({ Options: { 'io.bestov.wg.peer': 'x' } }) },
    [],
    1,
    /network wgnet: option io\.bestov\.wg\.peerkey is missing/,
  ],
  [
    'a seed',
    { wgnet: inspection() },
    ['--seed', 'QUFB'],
    2,
    /--seed, --additional and --derivation cannot be combined/,
  ],
  [
    'an additional',
    { wgnet: inspection() },
    ['--additional', 'QUFB'],
    2,
    /cannot be combined with --network/,
  ],
  [
    'no engine',
    {},
    ['--docker-socket', '/nowhere'],
    1,
    /Docker does not answer on \/nowhere \(ENOENT\): start it/,
  ],
] as const) {
  test(`--network and ${what}: one line`, async (t) => {
    const ended = await fromEngine(t, networks, ...args);
    assert.match(ended.stderr, message);
    assert.equal(ended.stderr.trimEnd().split('\n').length, 1, ended.stderr);
    assert.deepEqual([ended.status, ended.stdout], [status, '']);
  });
}

const marked = 'TUFSS0VEc2VjcmV0';
const wrong: [what: string, args: string[], message: RegExp][] = [
  ['no subnet', [], /subnet/i],
  [
    'a count for two subnets',
    ['10.0.0.0/24', '10.0.1.0/24', '--peers', '9'],
    /option --peers: expected ranges, because/,
  ],
  ['an address for a subnet', ['10.0.0.1'], /10\.0\.0\.1: expected the subnet as a prefix/],
  ['a subnet with host bits', ['10.0.0.1/24'], /expected 10\.0\.0\.0\/24 for the subnet or/],
  [
    'a subnet too large',
    ['10.0.0.0/8'],
    /10\.0\.0\.0\/8: expected at most 1048576 addresses.*: name fewer with --peers$/,
  ],
  [
    'an address outside',
    ['10.0.0.0/24', '--address', '10.0.1.1'],
    /option --address: expected the address of a host in 10\.0\.0\.0\/24/,
  ],
  [
    'the broadcast address',
    ['10.0.0.0/24', '--address', '10.0.0.255'],
    /option --address: expected the address of a host/,
  ],
  ['an address that is none', ['10.0.0.0/24', '--address', 'x'], /option --address: expected the address/],
  [
    'a port of 0',
    ['10.0.0.0/24', '--listen-port', '0'],
    /option --listen-port: expected a whole number from 1 to 65535/,
  ],
  [
    'a port too high',
    ['10.0.0.0/24', '--listen-port', '65536'],
    /option --listen-port: expected a whole number/,
  ],
  [
    'more peers than addresses',
    ['10.0.0.0/30', '--peers', '2'],
    /option --peers: expected a whole number from 1 to 1/,
  ],
  ['no peers', ['10.0.0.0/24', '--peers', '0'], /option --peers: expected a whole number from 1 to 1048576/],
  [
    'peers outside',
    ['10.0.0.0/24', '--peers', '10.0.0.250-10.0.1.5'],
    /option --peers: 10\.0\.1\.5 is not the address of a host in 10\.0\.0\.0\/24/,
  ],
  [
    'an exception outside',
    ['10.0.0.0/24', '--except', '10.0.1.7'],
    /option --except: 10\.0\.1\.7 is not the address of a host in 10\.0\.0\.0\/24/,
  ],
  ['nothing but exceptions', ['10.0.0.0/24', '--except', '10.0.0.0/24'], /no address is left that could get/],
  [
    'subnets that overlap',
    ['10.0.0.0/24', '10.0.0.0/25'],
    /10\.0\.0\.0\/25 overlaps 10\.0\.0\.0\/24: expected/,
  ],
  [
    'two addresses of the hub',
    ['10.0.0.0/24', '--address', '10.0.0.1', '--address', '10.0.0.2'],
    /option --address: expected one for 10\.0\.0\.0\/24, got two/,
  ],
  ...['hub.key', '/root/hub.key;reboot', '/root/my key', '/root/key\nPostUp=reboot'].map(
    (path): (typeof wrong)[number] => [
      `a path that a shell would take apart, ${JSON.stringify(path)}`,
      ['10.0.0.0/24', '--hub-key-file', path],
      /option --hub-key-file: expected an absolute path on the hub/,
    ],
  ),
  ['peers that are none', ['10.0.0.0/24', '--peers', 'some'], /some: expected an address, a prefix/],
  [
    'an interface’s name too long',
    ['10.0.0.0/24', '--interface', 'a'.repeat(16)],
    /option --interface: expected 1 to 15/,
  ],
  [
    'an IPv6 prefix that is too long',
    ['10.0.0.0/24', '--ipv6', 'fd12::/97'],
    /option --ipv6: expected an IPv6 prefix of at most/,
  ],
  [
    'an interface’s name of two lines',
    ['10.0.0.0/24', '--interface', 'a\nb'],
    /option --interface: expected 1 to 15/,
  ],
  [
    'an unknown format',
    ['10.0.0.0/24', '--format', 'yaml'],
    /option --format: expected one of wg-quick, setconf, networkd, json/,
  ],
  [
    'an unknown option',
    ['10.0.0.0/24', '--private-key', marked],
    /unknown option --private-key; did you mean --private-key-file\?$/,
  ],
];

for (const [what, args, message] of wrong) {
  test(`wrong arguments, ${what}: one line and status 2`, async () => {
    const { status, stdout, stderr } = await wgdriver(['endpoint-config', '--seed', marked, ...args]);
    const lines = stderr.split('\n').filter((line) => !line.includes('warning'));
    assert.equal(lines.length, 2, stderr);
    assert(stderr.startsWith('wgdriver: '), stderr);
    assert.match(lines[0] ?? '', message);
    assert.equal(stdout, '');
    assert.equal(status, 2);
    assert(!stderr.includes(marked), stderr);
  });
}

test('a private key file that is missing or holds none: one line, without what is in it', async () => {
  const wrongKey = join(folder, 'wrong');
  await writeFile(wrongKey, `${marked}\n`);
  for (const [file, message] of [
    [
      wrongKey,
      /^wgdriver: private key file .*wrong: expected a private key, 32 bytes in base64, .*; it has 12 bytes, but a key has 32/,
    ],
    [`${wrongKey}-none`, /^wgdriver: private key file .*wrong-none: there is no such file \(ENOENT\)/],
  ] as const) {
    const { status, stdout, stderr } = await config('10.0.0.0/30', '--private-key-file', file);
    assert.match(stderr, message);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
    assert(!stderr.includes(marked));
    assert.deepEqual([status, stdout], [1, '']);
  }
  await rm(wrongKey);
});

function config(...args: string[]) {
  return wgdriver(['endpoint-config', ...article, ...args]);
}

function sections(text: string): string[] {
  return text
    .trimEnd()
    .split('\n\n')
    .filter((section) => !section.startsWith('# wgdriver: '));
}

function addresses(text: string): string[] {
  return [...text.matchAll(/^AllowedIPs = (.*)$/gm)].map(([, value = '']) => value);
}

function publicKeys(text: string): string[] {
  return [...text.matchAll(/^PublicKey = (.*)$/gm)].map(([, value = '']) => value);
}
