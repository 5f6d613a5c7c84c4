import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import process from 'node:process';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatPrefix } from '../../../src/wireguard/address.ts';
import { readWgQuick, type WgQuickPeer } from '../../../src/wireguard/config/wg-quick-reader.ts';
import { peerKey, presharedKey, privateKey, secondPeerKey, shapes } from '../../support/shapes.ts';

for (const { who, text, peers, ...expected } of shapes) {
  test(`a file as of ${who}`, () => {
    const file = readWgQuick(text);
    assert.equal(file.privateKey?.toBase64(), privateKey.toBase64());
    assert.deepEqual(
      {
        addresses: file.addresses.map(formatPrefix),
        dns: file.dns,
        searchDomains: file.searchDomains,
        mtu: file.mtu,
        listenPort: file.listenPort,
        fwmark: file.fwmark,
        ignored: file.ignored,
      },
      {
        dns: [],
        searchDomains: [],
        mtu: undefined,
        listenPort: undefined,
        fwmark: undefined,
        ignored: [],
        ...expected,
      },
    );
    assert.deepEqual(file.peers.map(shown), peers);
    for (const peer of file.peers) {
      assert.equal(peer.presharedKey?.toBase64() ?? presharedKey.toBase64(), presharedKey.toBase64());
    }
  });
}

function shown({ publicKey, presharedKey, endpoint, persistentKeepaliveInterval, allowedIps }: WgQuickPeer) {
  const host = endpoint?.host.includes(':') ? `[${endpoint.host}]` : endpoint?.host;
  return {
    publicKey,
    ...(presharedKey && { preshared: true }),
    ...(endpoint && { endpoint: `${host}:${endpoint.port}` }),
    ...(persistentKeepaliveInterval === undefined ? {} : { keepalive: persistentKeepaliveInterval }),
    allowedIps: allowedIps.map(formatPrefix),
  };
}

test('a file of peers alone, and one of nothing', () => {
  const file = readWgQuick(`[Peer]\nPublicKey = ${peerKey}\n`);
  assert.equal(file.privateKey, undefined);
  assert.deepEqual(file.peers, [{ line: 1, publicKey: peerKey, allowedIps: [] }]);
  assert.deepEqual(readWgQuick('').peers, []);
});

const psk = presharedKey.toBase64();
const own = `[Interface]\nPrivateKey = ${privateKey.toBase64()}\n`;
const peer = `[Peer]\nPublicKey = ${peerKey}\n`;
const secrets = [psk, privateKey.toBase64()];

const wrong: [what: string, text: string, message: string | RegExp][] = [
  ['a line before any section', 'PrivateKey = x', /^line 1: expected \[Interface\] or \[Peer\] before/],
  ['a foreign section', '[Interface]\n[WebSocket]\n', /^line 2: expected \[Interface\] or \[Peer\] for a/],
  [
    'a section that does not end',
    '[Interface\n',
    /^line 1: expected \[Interface\] or \[Peer\] for a section/,
  ],
  [
    'two interfaces',
    `${own}${peer}[interface]\n`,
    /^line 5: expected only one \[Interface\], but line 1 already has one/,
  ],
  ['a line without a value', `${own}PostUp\n`, /^line 3: expected KEY = VALUE$/],
  [
    'a key on a line of its own',
    `[Interface]\n${psk}\n`,
    /^line 2: expected KEY = VALUE with a setting that/,
  ],
  [
    'a key broken over two lines',
    `[Interface]\nPrivateKey = ${psk.slice(0, 30)}\n${psk.slice(30)}\n`,
    /^line 3: expected KEY = VALUE with a setting that WireGuard knows$/,
  ],
  [
    'an empty key',
    '[Interface]\nPrivateKey =\n',
    /^line 2: PrivateKey: expected a private key, 32 bytes in base64, .*; it is empty$/,
  ],
  ['a short key', `[Interface]\nPrivateKey = ${psk.slice(4)}`, /^line 2: PrivateKey: .*; it has 29 bytes/],
  ['two keys', `${own}PrivateKey = ${psk}`, /^line 3: PrivateKey is already set in line 2$/],
  ['no public key', `${own}[Peer]\nAllowedIPs = ::/0\n`, /^line 3: this \[Peer\] has no PublicKey$/],
  ['a wrong public key', `[Peer]\nPublicKey = ${psk}=`, /^line 2: PublicKey: .* too many = at/],
  [
    'a wrong preshared key',
    `${peer}PresharedKey = ${psk}x`,
    /^line 3: PresharedKey: .* `wg genpsk` prints it/,
  ],
  [
    'a private key as the UAPI has it',
    `[Interface]\nPrivateKey = ${'a1'.repeat(32)}`,
    /^line 2: PrivateKey: expected a private key, .*; it is hexadecimal, but/,
  ],
  [
    'a public key as the UAPI has it',
    `[Peer]\nPublicKey = ${'a1'.repeat(32)}`,
    /^line 2: PublicKey: expected a public key, .*; it is hexadecimal, but/,
  ],
  [
    'a preshared key as the UAPI has it',
    `${peer}PresharedKey = ${'A1'.repeat(32)}`,
    /^line 3: PresharedKey: expected a preshared key, .*; it is hexadecimal, but/,
  ],
  [
    'the same peer twice',
    `${peer}[Peer]\nPublicKey = ${peerKey}`,
    'line 3: this [Peer] has the public key of the one in line 1',
  ],
  [
    'the same prefix at two peers, spelt otherwise',
    `${peer}AllowedIPs = 10.1.2.3/8\n[Peer]\nPublicKey = ${secondPeerKey}\nAllowedIPs = 10.0.0.0/8\n`,
    'line 4: this [Peer] has 10.0.0.0/8 among its AllowedIPs, as the one in line 1 does; expected each prefix in only one [Peer]',
  ],
  [
    'an address without its length',
    `${own}Address = 10.2.0.2\n`,
    'line 3: Address: expected the prefix length too, 10.2.0.2/32 for this address alone',
  ],
  ['an IPv6 one', `${own}Address = fd00::2\n`, /^line 3: Address: .* fd00::2\/128 for this address alone$/],
  [
    'a wrong address',
    `${own}Address = ${psk}\n`,
    /^line 3: Address: expected addresses with their prefix lengths/,
  ],
  [
    'a wrong DNS server',
    `${own}DNS = 10.0.0.256\n`,
    /^line 3: DNS: expected addresses of servers and search/,
  ],
  ['an MTU of letters', `${own}MTU = auto\n`, /^line 3: MTU: expected an integer from 576 to 65535/],
  ['an MTU too small', `${own}MTU = 68\n`, /^line 3: MTU: expected an integer from 576/],
  ['a port too large', `${own}ListenPort = 65536\n`, /^line 3: ListenPort: expected a port from 0 to 65535/],
  [
    'a mark too large',
    `${own}FwMark = 0x100000000\n`,
    /^line 3: FwMark: expected `off` or a number of 32 bits/,
  ],
  ['another mark too large', `${own}FwMark = 4294967296\n`, /^line 3: FwMark: expected/],
  [
    'an endpoint without a port',
    `${peer}Endpoint = vpn.example.org\n`,
    /^line 3: Endpoint: expected host:port/,
  ],
  ['an endpoint of port 0', `${peer}Endpoint = vpn.example.org:0\n`, /^line 3: Endpoint: expected host:port/],
  ['two endpoints', `${peer}Endpoint = a:1\nEndpoint = b:1`, /^line 4: Endpoint is already set in line 3$/],
  [
    'a keepalive of words',
    `${peer}PersistentKeepalive = on`,
    /^line 3: PersistentKeepalive: expected `off` or/,
  ],
  ['a keepalive too long', `${peer}PersistentKeepalive = 65536`, /^line 3: PersistentKeepalive: expected/],
  ['no prefixes', `${peer}AllowedIPs = all\n`, /^line 3: AllowedIPs: expected prefixes separated by commas/],
  ['an empty list', `${peer}AllowedIPs =\n`, /^line 3: AllowedIPs: expected prefixes separated/],
  ['a comma too many', `${peer}AllowedIPs = ::/0,\n`, /^line 3: AllowedIPs: expected prefixes separated/],
  ['a prefix too long', `${peer}AllowedIPs = 10.0.0.0/33\n`, /^line 3: AllowedIPs: expected prefixes/],
  [
    'a key of the other section',
    `${own}Endpoint = a:1\n`,
    'line 3: Endpoint is not a setting of WireGuard in [Interface]',
  ],
  [
    'a program for a peer',
    `${peer}PostUp = true\n`,
    'line 3: PostUp is not a setting of WireGuard in [Peer]',
  ],
  [
    'a foreign key',
    `${own}ObfsHost = example.org\n`,
    'line 3: ObfsHost is not a setting of WireGuard in [Interface]',
  ],
  ...['Jc = 4', 'jmin = 40', 'S1 = 15', 'H4 = 4', 'I1 = <b 0xc2>', 'Itime = 60'].map(
    (line): [string, string, RegExp] => [
      `AmneziaWG’s ${line}`,
      `${own}${line}\n`,
      new RegExp(`^line 3: ${line.split(' ')[0]} is a setting of AmneziaWG, which is another protocol`),
    ],
  ),
  ['UTF-16', '\ufffd\ufffd[\0I\0n\0t\0', /^expected UTF-8 text, but the file contains zero bytes/],
];

for (const [what, text, message] of wrong) {
  test(`refused: ${what}`, () => {
    assert.throws(
      () => readWgQuick(text),
      (error: Error) => {
        if (typeof message === 'string') {
          assert.equal(error.message, message);
        } else {
          assert.match(error.message, message);
        }
        for (const secret of secrets) {
          assert(
            !error.message.includes(secret.slice(30, 42)) && !error.message.includes(secret.slice(0, 12)),
          );
        }
        return true;
      },
    );
  });
}

test('whatever is broken in a file, its error has one line and nothing of the secrets', () => {
  const broken = fc
    .tuple(
      fc.constantFrom(...shapes.map(({ text }) => text)),
      fc.array(
        fc.record({
          at: fc.nat(900),
          length: fc.nat(12),
          instead: fc.constantFrom(
            '',
            '\n',
            '=',
            '#',
            '[',
            ']',
            ' ',
            '[Peer]\n',
            '/',
            ',',
            '0',
            'x',
            '\0',
            '\ufeff',
          ),
        }),
        { minLength: 1, maxLength: 4 },
      ),
    )
    .map(([text, edits]) =>
      edits.reduce(
        (all, { at, length, instead }) => all.slice(0, at) + instead + all.slice(at + length),
        text,
      ),
    );
  fc.assert(
    fc.property(fc.oneof(broken, fc.string({ unit: 'binary' })), (text) => {
      try {
        readWgQuick(text);
      } catch (error) {
        assert(error instanceof Error);
        assert.match(error.message, /^(?:line \d+: |expected UTF-8 text).+$/);
        for (const secret of secrets) {
          for (let at = 0; at + 8 <= secret.length; at += 1) {
            assert(!error.message.includes(secret.slice(at, at + 8)), error.message);
          }
        }
      }
    }),
    { numRuns: 1000, examples: [[`${peer}PresharedKey = ${psk.slice(0, 16)}\n${psk.slice(16, -1)}=]\n`]] },
  );
});

test('5,000 peers are read in less than a second of the processor’s', () => {
  const peers = Array.from({ length: 5000 }, (_, index) => {
    const bytes = Buffer.alloc(32);
    bytes.writeUInt32BE(index + 1);
    return (
      `[Peer]\nPublicKey = ${bytes.toString('base64')}\nPresharedKey = ${psk}\n` +
      `AllowedIPs = 10.${index >> 8}.${index & 255}.0/24, fd00::${index.toString(16)}:0/112\n`
    );
  });
  const text = own + peers.join('\n');
  const before = process.cpuUsage();
  const file = readWgQuick(text);
  const { user } = process.cpuUsage(before);
  assert.equal(file.peers.length, 5000);
  assert(user < 1e6, `${user} µs`);
});
