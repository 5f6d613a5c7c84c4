import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completed, parseDump, wgRuns } from '../../../src/links/iproute/wg.ts';
import { formatPrefix } from '../../../src/wireguard/address.ts';
import { PresharedKey } from '../../../src/wireguard/key.ts';
import {
  address,
  ownPublicKeyText,
  prefix,
  privateKey,
  privateKeyText,
  publicKey,
  publicKeyTexts,
} from '../../support/hubs.ts';

const [first, second] = [publicKey(publicKeyTexts[0]), publicKey(publicKeyTexts[1])];
const psk = (n: number) => new PresharedKey(new Uint8Array(32).fill(n));
const allowedIps = [prefix('10.0.0.0/8'), prefix('fd00::/8')];

test('what needs no secret is one `wg set`', () => {
  const endpoint = { address: address('2001:db8::1'), port: 51821 };
  assert.deepEqual(
    wgRuns('wg0', {
      peers: [
        { publicKey: first, endpoint, persistentKeepaliveInterval: 0, allowedIps },
        { publicKey: second, remove: true, presharedKey: psk(1), allowedIps },
        { publicKey: second, presharedKey: 'none', allowedIps: [] },
      ],
    }),
    [
      {
        args: [
          ...['set', 'wg0', 'peer', first, 'endpoint', '[2001:db8::1]:51821', 'persistent-keepalive', '0'],
          ...['allowed-ips', '10.0.0.0/8,fd00::/8', 'peer', second, 'remove'],
          ...['peer', second, 'preshared-key', '/dev/null', 'allowed-ips', ''],
        ],
      },
    ],
  );
  assert.deepEqual(wgRuns('wg0', {}), []);
});

test('secrets go by stdin: whole peers together, a preshared key alone by itself, all in order', () => {
  const runs = wgRuns('wg0', {
    privateKey: privateKey(privateKeyText),
    fwmark: 7,
    peers: [
      { publicKey: first, presharedKey: psk(1), allowedIps, persistentKeepaliveInterval: 25 },
      { publicKey: second, presharedKey: psk(2), allowedIps: [] },
      { publicKey: first, persistentKeepaliveInterval: 5 },
      { publicKey: first, presharedKey: psk(3) },
      { publicKey: second, presharedKey: psk(4) },
    ],
  });
  assert.deepEqual(runs, [
    {
      args: ['addconf', 'wg0', '/proc/self/fd/0'],
      stdin: `[Interface]
PrivateKey = ${privateKeyText}
FwMark = 7

[Peer]
PublicKey = ${first}
PresharedKey = ${psk(1).toBase64()}
PersistentKeepalive = 25
AllowedIPs = 10.0.0.0/8, fd00::/8

[Peer]
PublicKey = ${second}
PresharedKey = ${psk(2).toBase64()}
`,
    },
    {
      args: [
        ...['set', 'wg0', 'peer', first, 'persistent-keepalive', '5'],
        ...['peer', first, 'preshared-key', '/proc/self/fd/0'],
      ],
      stdin: `${psk(3).toBase64()}\n`,
    },
    {
      args: ['set', 'wg0', 'peer', second, 'preshared-key', '/proc/self/fd/0'],
      stdin: `${psk(4).toBase64()}\n`,
    },
  ]);
});

test('a private key and a preshared one that change together are one run', () => {
  const status = { hasPresharedKey: true, persistentKeepaliveInterval: 0, receivedBytes: 0, sentBytes: 0 };
  const present = [
    { ...status, publicKey: first, endpoint: undefined, lastHandshake: undefined, allowedIps },
    { ...status, publicKey: second, endpoint: undefined, lastHandshake: undefined, allowedIps: [] },
  ];
  const change = {
    privateKey: privateKey(privateKeyText),
    peers: [
      { publicKey: first, updateOnly: true, presharedKey: psk(1) },
      { publicKey: second, presharedKey: psk(2) },
    ],
  };
  const [run, ...others] = wgRuns('wg0', completed(change, present));
  assert.deepEqual(others, []);
  assert.deepEqual(run?.args, ['addconf', 'wg0', '/proc/self/fd/0']);
  assert.match(
    run.stdin ?? '',
    /\nPublicKey = .*\nPresharedKey = .*\nAllowedIPs = 10\.0\.0\.0\/8, fd00::\/8\n/,
  );
  assert.deepEqual(
    completed(change, present.slice(1)).peers?.map(({ publicKey }) => publicKey),
    [second],
  );
});

test('a dump of `wg show`, without its secrets', () => {
  const dump = [
    `${privateKeyText}\t${ownPublicKeyText}\t51820\t0x1234`,
    `${first}\t${privateKeyText}\t[2001:db8::1]:51821\t10.0.0.0/8,fd00::/8\t1700000000\t12\t34\t25`,
    `${second}\t(none)\t(none)\t(none)\t0\t0\t0\toff`,
    '',
  ].join('\n');
  const status = parseDump(dump);
  assert(!JSON.stringify(status).includes(privateKeyText));
  assert.deepEqual(
    {
      ...status,
      peers: status.peers.map((peer) => ({ ...peer, allowedIps: peer.allowedIps.map(formatPrefix) })),
    },
    {
      publicKey: ownPublicKeyText,
      listenPort: 51820,
      fwmark: 0x1234,
      peers: [
        {
          publicKey: first,
          hasPresharedKey: true,
          endpoint: { address: address('2001:db8::1'), port: 51821 },
          persistentKeepaliveInterval: 25,
          lastHandshake: new Date(1_700_000_000_000),
          receivedBytes: 12,
          sentBytes: 34,
          allowedIps: ['10.0.0.0/8', 'fd00::/8'],
        },
        {
          publicKey: second,
          hasPresharedKey: false,
          endpoint: undefined,
          persistentKeepaliveInterval: 0,
          lastHandshake: undefined,
          receivedBytes: 0,
          sentBytes: 0,
          allowedIps: [],
        },
      ],
    },
  );
  assert.deepEqual(parseDump('(none)\t(none)\t0\toff\n'), {
    publicKey: undefined,
    listenPort: 0,
    fwmark: 0,
    peers: [],
  });
  // Cut short in its last line, too, where a figure may be one without its end.
  for (const text of ['', '\n', 'x\n', `${dump}x\n`, dump.slice(0, -1), dump.slice(0, dump.indexOf('\n'))]) {
    assert.throws(() => parseDump(text), /^Error: wg show dump: expected /);
  }
});
