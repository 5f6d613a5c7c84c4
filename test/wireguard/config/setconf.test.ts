import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setconf } from '../../../src/wireguard/config/setconf.ts';
import { PresharedKey } from '../../../src/wireguard/key.ts';
import {
  address,
  prefix,
  privateKey,
  privateKeyText,
  publicKey,
  publicKeyTexts,
} from '../../support/hubs.ts';

const key = privateKey(privateKeyText);

test('a device with all there is', () => {
  const device = {
    privateKey: key,
    listenPort: 51820,
    fwmark: 51820,
    peers: [
      {
        publicKey: publicKey(publicKeyTexts[0]),
        presharedKey: new PresharedKey(new Uint8Array(32).fill(0xab)),
        endpoint: { address: address('2001:db8::1'), port: 51821 },
        persistentKeepaliveInterval: 25,
        allowedIps: [prefix('0.0.0.0/0'), prefix('::/0')],
      },
    ],
  };
  assert.equal(
    setconf(device),
    `[Interface]
PrivateKey = ${privateKeyText}
ListenPort = 51820
FwMark = 51820

[Peer]
PublicKey = ${publicKeyTexts[0]}
PresharedKey = q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=
Endpoint = [2001:db8::1]:51821
PersistentKeepalive = 25
AllowedIPs = 0.0.0.0/0, ::/0
`,
  );
});

test('what is absent is not written', () => {
  const device = {
    privateKey: key,
    peers: [{ publicKey: publicKey(publicKeyTexts[0]), allowedIps: [prefix('192.168.5.0/24')] }],
  };
  assert.equal(
    setconf(device),
    `[Interface]
PrivateKey = ${privateKeyText}

[Peer]
PublicKey = ${publicKeyTexts[0]}
AllowedIPs = 192.168.5.0/24
`,
  );
  assert.equal(setconf({ privateKey: key, peers: [] }), `[Interface]\nPrivateKey = ${privateKeyText}\n`);
});

test('a keepalive and a listen port of 0 are written: they are not absent', () => {
  const text = setconf({
    privateKey: key,
    listenPort: 0,
    peers: [{ publicKey: publicKey(publicKeyTexts[0]), persistentKeepaliveInterval: 0, allowedIps: [] }],
  });
  assert.match(text, /^ListenPort = 0$/m);
  assert.match(text, /^PersistentKeepalive = 0$/m);
});
