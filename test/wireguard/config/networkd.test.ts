import assert from 'node:assert/strict';
import { test } from 'node:test';
import { netdev, network } from '../../../src/wireguard/config/networkd.ts';
import { hub, privateKeyText, publicKeyTexts, whole, withoutKey } from './hubs.ts';

test('a .netdev names the key’s file and does not hold the key', async () => {
  assert.equal(
    await whole(netdev(hub)),
    `# two peers
[NetDev]
Name=wgtest
Kind=wireguard

[WireGuard]
PrivateKeyFile=/etc/wireguard/key
ListenPort=51820

[WireGuardPeer]
PublicKey=${publicKeyTexts[0]}
AllowedIPs=192.168.5.2/32

[WireGuardPeer]
PublicKey=${publicKeyTexts[1]}
AllowedIPs=192.168.5.3/32,fd00::3/128
`,
  );
});

test('a .network has the address, and forwarding under its old and its new name', async () => {
  assert.equal(
    await whole(network(hub)),
    `# two peers
[Match]
Name=wgtest

[Network]
Address=192.168.5.1/24
IPv4Forwarding=yes
IPForward=ipv4
`,
  );
});

test('the key is in neither, even if it is known', async () => {
  assert(!`${await whole(netdev(hub))}${await whole(network(hub))}`.includes(privateKeyText.slice(0, 20)));
  assert.doesNotMatch(await whole(netdev(withoutKey(hub))), /PrivateKey/);
});
