import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wgQuick, wgSetconf } from '../../../src/wireguard/config/wg-quick.ts';
import { hub, privateKeyText, publicKeyTexts, whole, withoutKey } from './hubs.ts';

const peers = `
[Peer]
PublicKey = ${publicKeyTexts[0]}
AllowedIPs = 192.168.5.2/32

[Peer]
PublicKey = ${publicKeyTexts[1]}
AllowedIPs = 192.168.5.3/32, fd00::3/128
`;

test('a file for wg-quick has the hub’s address and switches on forwarding', async () => {
  assert.equal(
    await whole(wgQuick(hub)),
    `# two peers
[Interface]
PrivateKey = ${privateKeyText}
ListenPort = 51820
Address = 192.168.5.1/24
PostUp = sysctl -q -w net/ipv4/conf/%i/forwarding=1
${peers}`,
  );
});

test('a file for `wg setconf` has neither, since wg refuses them', async () => {
  assert.equal(
    await whole(wgSetconf(hub)),
    `# two peers
[Interface]
PrivateKey = ${privateKeyText}
ListenPort = 51820
${peers}`,
  );
});

test('without a key there is no line for it', async () => {
  for (const write of [wgQuick, wgSetconf]) {
    assert.equal(
      await whole(write(withoutKey(hub))),
      (await whole(write(hub))).replace(`PrivateKey = ${privateKeyText}\n`, ''),
    );
  }
});
