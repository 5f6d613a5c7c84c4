import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeErrno, decodePeer, encodeSet } from '../../../src/links/userspace/uapi.ts';
import {
  address,
  prefix,
  privateKey,
  privateKeyText,
  publicKey,
  publicKeyTexts,
} from '../../wireguard/config/hubs.ts';

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
    encodeSet(device),
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
    encodeSet({ privateKey: privateKey(privateKeyText), peers: [] }),
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

test('how the peer of an answer fares', () => {
  const answer = (seconds: number) =>
    `private_key=${privateHex}\nlisten_port=51820\npublic_key=${publicHex}\n` +
    `endpoint=192.0.2.1:51820\nlast_handshake_time_sec=${seconds}\nlast_handshake_time_nsec=500000000\n` +
    `tx_bytes=1\nrx_bytes=2\npersistent_keepalive_interval=25\nallowed_ip=0.0.0.0/0\nprotocol_version=1\nerrno=0\n\n`;
  assert.deepEqual(decodePeer(answer(1_700_000_000)), {
    lastHandshake: new Date(1_700_000_000_500),
    persistentKeepaliveInterval: 25,
  });
  const never = 'last_handshake_time_sec=0\nlast_handshake_time_nsec=0\npersistent_keepalive_interval=0\n';
  for (const text of [never, `private_key=${privateHex}\nerrno=0\n\n`]) {
    assert.deepEqual(decodePeer(text), { lastHandshake: undefined, persistentKeepaliveInterval: 0 });
  }
});
