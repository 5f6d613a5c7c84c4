import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wgQuick, wgSetconf } from '../../../src/wireguard/config/wg-quick.ts';
import { hub, privateKeyText, publicKeyTexts, withoutKey } from './hubs.ts';

const peers = `
[Peer]
PublicKey = ${publicKeyTexts[0]}
AllowedIPs = 192.168.5.2/32

[Peer]
PublicKey = ${publicKeyTexts[1]}
AllowedIPs = 192.168.5.3/32, fd00::3/128
`;

test('a file for wg-quick has the hub’s address and switches on forwarding', () => {
  assert.equal(
    wgQuick(hub),
    `# two peers
[Interface]
PrivateKey = ${privateKeyText}
ListenPort = 51820
Address = 192.168.5.1/24
PostUp = sysctl -q -w net.ipv4.conf.%i.forwarding=1
${peers}`,
  );
});

test('a file for `wg setconf` has neither, since wg refuses them', () => {
  assert.equal(
    wgSetconf(hub),
    `# two peers
[Interface]
PrivateKey = ${privateKeyText}
ListenPort = 51820
${peers}`,
  );
});

test('without a key there is no line for it', () => {
  for (const write of [wgQuick, wgSetconf]) {
    assert.equal(write(withoutKey(hub)), write(hub).replace(`PrivateKey = ${privateKeyText}\n`, ''));
  }
});
