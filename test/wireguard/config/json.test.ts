import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hubJson } from '../../../src/wireguard/config/json.ts';
import { hub, publicKeyTexts, whole, withoutKey } from '../../support/hubs.ts';

const peers = [
  { publicKey: publicKeyTexts[0], allowedIps: ['192.168.5.2/32'] },
  { publicKey: publicKeyTexts[1], allowedIps: ['192.168.5.3/32', 'fd00::3/128'] },
];

test('JSON has all but the key, which stays in its file', async () => {
  assert.deepEqual(JSON.parse(await whole(hubJson(hub))), {
    interface: 'wgtest',
    address: '192.168.5.1/24',
    listenPort: 51820,
    privateKeyFile: '/etc/wireguard/key',
    peers,
  });
});

test('without a key there is no file to name', async () => {
  assert.deepEqual(JSON.parse(await whole(hubJson(withoutKey(hub)))), {
    interface: 'wgtest',
    address: '192.168.5.1/24',
    listenPort: 51820,
    peers,
  });
});
