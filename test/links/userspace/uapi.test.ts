import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import { decodeErrno, decodeGet, encodeSet } from '../../../src/links/userspace/uapi.ts';
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

const privateHex = '2097ed6878e010b4910f73d796548f9f71298959ab12342ea55ca7c1c7eef051';
const publicHex = 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f';

test('a set operation as wireguard.com/xplatform has it', () => {
  const device = {
    privateKey: privateKey(privateKeyText),
    listenPort: 51820,
    peers: [
      {
        publicKey: publicKey(publicKeyTexts[0]),
        endpoint: { address: address('2001:db8::1'), port: 51821 },
        persistentKeepaliveInterval: 0,
        allowedIps: [prefix('0.0.0.0/0'), prefix('::/0')],
      },
    ],
  };
  assert.equal(
    encodeSet({ ...device, replacePeers: true }),
    `set=1
private_key=${privateHex}
listen_port=51820
replace_peers=true
public_key=${publicHex}
endpoint=[2001:db8::1]:51821
persistent_keepalive_interval=0
replace_allowed_ips=true
allowed_ip=0.0.0.0/0
allowed_ip=::/0

`,
  );
});

test('what is absent is not set', () => {
  assert.equal(
    encodeSet({ privateKey: privateKey(privateKeyText), replacePeers: true, peers: [] }),
    `set=1\nprivate_key=${privateHex}\nreplace_peers=true\n\n`,
  );
});

test('the errno of an answer', () => {
  assert.equal(decodeErrno('errno=0\n\n'), 0);
  assert.equal(decodeErrno('errno=-22\n\n'), -22);
  assert.equal(decodeErrno('listen_port=1\nerrno=98\n\n'), 98);
  for (const answer of ['', '\n\n', 'errno=\n\n', 'xerrno=0\n\n', 'errno=0x\n\n']) {
    assert.equal(decodeErrno(answer), undefined);
  }
});

test('a change sets what it names, and nothing else', () => {
  const [first, second] = [publicKey(publicKeyTexts[0]), publicKey(publicKeyTexts[1])];
  const presharedKey = new PresharedKey(new Uint8Array(32).fill(0xab));
  assert.equal(
    encodeSet({
      fwmark: 0x1234,
      peers: [
        { publicKey: second, remove: true, allowedIps: [prefix('10.0.0.0/8')] },
        { publicKey: first, updateOnly: true, presharedKey, allowedIps: [] },
        { publicKey: first, presharedKey: 'none' },
      ],
    }),
    `set=1
fwmark=4660
public_key=${Buffer.from(second, 'base64').toString('hex')}
remove=true
public_key=${publicHex}
update_only=true
preshared_key=${'ab'.repeat(32)}
replace_allowed_ips=true
public_key=${publicHex}
preshared_key=${'0'.repeat(64)}

`,
  );
  assert.equal(encodeSet({ listenPort: 0 }), 'set=1\nlisten_port=0\n\n');
});

/** As wireguard-go writes it, with an unknown key as a newer one might. */
const answer = `private_key=${privateHex}
listen_port=51820
fwmark=4660
new_of_device=1
public_key=${publicHex}
preshared_key=${'ab'.repeat(32)}
protocol_version=1
endpoint=192.0.2.1:51821
last_handshake_time_sec=1700000000
last_handshake_time_nsec=500000000
tx_bytes=12345678901
rx_bytes=2
persistent_keepalive_interval=25
allowed_ip=0.0.0.0/0
allowed_ip=fd00::/64
new_of_peer=a=b
public_key=${privateHex}
preshared_key=${'0'.repeat(64)}
protocol_version=1
endpoint=[fe80::1%eth0]:443
last_handshake_time_sec=0
last_handshake_time_nsec=0
tx_bytes=0
rx_bytes=0
persistent_keepalive_interval=0
errno=0

`;

test('what a get operation tells, without the secrets', () => {
  const device = decodeGet(answer);
  assert.deepEqual(
    {
      ...device,
      peers: device.peers.map((peer) => ({ ...peer, allowedIps: peer.allowedIps.map(formatPrefix) })),
    },
    {
      publicKey: ownPublicKeyText,
      listenPort: 51820,
      fwmark: 0x1234,
      peers: [
        {
          publicKey: publicKeyTexts[0],
          hasPresharedKey: true,
          endpoint: { address: address('192.0.2.1'), port: 51821 },
          persistentKeepaliveInterval: 25,
          lastHandshake: new Date(1_700_000_000_500),
          receivedBytes: 2,
          sentBytes: 12_345_678_901,
          allowedIps: ['0.0.0.0/0', 'fd00::/64'],
        },
        {
          publicKey: Buffer.from(privateHex, 'hex').toString('base64'),
          hasPresharedKey: false,
          endpoint: { address: address('fe80::1'), port: 443 },
          persistentKeepaliveInterval: 0,
          lastHandshake: undefined,
          receivedBytes: 0,
          sentBytes: 0,
          allowedIps: [],
        },
      ],
    },
  );
});

test('a device without a key, and without peers', () => {
  for (const text of ['errno=0\n\n', 'listen_port=0\nerrno=0\n\n']) {
    assert.deepEqual(decodeGet(text), { publicKey: undefined, listenPort: 0, fwmark: 0, peers: [] });
  }
});
