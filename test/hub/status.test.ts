import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeHubConfig } from '../../src/hub/config.ts';
import type { WantedPeer } from '../../src/hub/peers.ts';
import type { Sources } from '../../src/hub/sources.ts';
import { hubStatus, rangesOf } from '../../src/hub/status.ts';
import { hostPrefix, parseAddress } from '../../src/wireguard/address.ts';
import { encodeBase64 } from '../../src/wireguard/base64.ts';
import type { PublicKey } from '../../src/wireguard/key.ts';
import type { PeerStatus } from '../../src/wireguard/status.ts';

const addressOf = (host: number) => parseAddress(`192.168.5.${host}`) ?? assert.fail();
const keyOf = (...bytes: number[]) =>
  encodeBase64(Uint8Array.from({ length: 32 }, (_, index) => bytes[index] ?? 0)) as PublicKey;
const now = Date.parse('2026-01-01T00:10:00Z');
const ago = (seconds: number) => new Date(now - seconds * 1000);

function status(publicKey: PublicKey, more: Partial<PeerStatus>): PeerStatus {
  return {
    publicKey,
    hasPresharedKey: false,
    endpoint: undefined,
    persistentKeepaliveInterval: 0,
    lastHandshake: undefined,
    receivedBytes: 0,
    sentBytes: 0,
    allowedIps: [],
    ...more,
  };
}

test('ranges of addresses', () => {
  assert.deepEqual(rangesOf([]), []);
  assert.deepEqual(rangesOf([9, 3, 2, 4, 7, 6].map(addressOf)), [
    '192.168.5.2-192.168.5.4',
    '192.168.5.6-192.168.5.7',
    '192.168.5.9',
  ]);
});

test('how a rotation has come along: moved, on old keys in use, and unused; clients too, by name', () => {
  const config = decodeHubConfig(
    `networks: { app: { subnet: 192.168.5.0/24, seedfiles: [n, o] } }
clients:
  pc: { address: 192.168.5.99, publickey: ${keyOf(9, 9)} }
  phone: { address: 192.168.5.98 }
  tablet: { address: 192.168.5.97 }`,
    'hub.yaml',
  );
  const twoKeys = (...hosts: number[]) =>
    hosts.map((host): [string, WantedPeer] => [
      addressOf(host).toString(),
      {
        allowedIps: [hostPrefix(addressOf(host))],
        keys: [{ publicKey: keyOf(1, host) }, { publicKey: keyOf(2, host) }],
      },
    ]);
  const peers = new Map(twoKeys(2, 3, 4, 5, 6, 98));
  const client = { allowedIps: [hostPrefix(addressOf(99))], keys: [{ publicKey: keyOf(9, 9) }] };
  const sources: Sources = {
    networks: new Map([['app', { signature: '', peers, isRotating: true }]]),
    clients: {
      signature: '',
      peers: new Map([[addressOf(99).toString(), client], ...twoKeys(98, 97)]),
      isRotating: true,
    },
  };
  const link = {
    name: 'wg0',
    mtu: 1420,
    publicKey: keyOf(7),
    listenPort: 51820,
    fwmark: 0,
    peers: [
      status(keyOf(1, 2), { allowedIps: [hostPrefix(addressOf(2))], lastHandshake: ago(10) }),
      status(keyOf(2, 3), { allowedIps: [hostPrefix(addressOf(3))], lastHandshake: ago(100) }),
      status(keyOf(2, 4), { allowedIps: [hostPrefix(addressOf(4))], lastHandshake: ago(181) }),
      status(keyOf(2, 5), { allowedIps: [hostPrefix(addressOf(5))] }),
      status(keyOf(1, 3), {}),
      status(keyOf(1, 4), {}),
      status(keyOf(9, 9), { lastHandshake: ago(5) }),
      status(keyOf(1, 98), {}),
      status(keyOf(2, 98), { allowedIps: [hostPrefix(addressOf(98))], lastHandshake: ago(5) }),
      status(keyOf(1, 97), {}),
      status(keyOf(2, 97), { allowedIps: [hostPrefix(addressOf(97))] }),
      status(keyOf(8), {}),
    ],
  };
  const { networks, clients, unknownPeers } = hubStatus(config, sources, link, new Set(), now);
  assert.deepEqual(networks, [
    {
      name: 'app',
      peers: 5,
      active: 2,
      // The one whose new key is not on the link yet, and the one without either.
      missing: 2,
      rotation: {
        moved: 1,
        activeOnOldKeys: 2,
        unused: ['192.168.5.4-192.168.5.6', '192.168.5.97'],
        clientsOnOldKeys: ['phone', 'tablet'],
      },
    },
  ]);
  assert.deepEqual(clients[0]?.lastHandshake, ago(5));
  assert.equal(unknownPeers, 1);
});
