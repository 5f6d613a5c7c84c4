import assert from 'node:assert/strict';
import { test } from 'node:test';
import { netdev, network } from '../../../src/wireguard/config/networkd.ts';
import { hub, privateKeyText, publicKeyTexts, whole, withoutKey } from '../../support/hubs.ts';

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

# wgdriver: peers from here on are made by \`wgdriver endpoint-config\`; changes in them get lost

[WireGuardPeer]
PublicKey=${publicKeyTexts[0]}
AllowedIPs=192.168.5.2/32

[WireGuardPeer]
PublicKey=${publicKeyTexts[1]}
AllowedIPs=192.168.5.3/32,fd00::3/128

# wgdriver: end of peers
`,
  );
});

test('a .network has the address, and forwarding of its own interface alone', async () => {
  assert.equal(
    await whole(network(hub)),
    `# two peers
[Match]
Name=wgtest

[Network]
Address=192.168.5.1/24
# systemd before 256 cannot forward for one interface: \`sysctl net/ipv4/conf/wgtest/forwarding=1\` there.
IPv4Forwarding=yes
`,
  );
});

test('the key is in neither, even if it is known', async () => {
  assert(!`${await whole(netdev(hub))}${await whole(network(hub))}`.includes(privateKeyText.slice(0, 20)));
});

test('a .netdev always names a file for the key: without one networkd passes over it', async () => {
  assert.match(
    await whole(netdev(withoutKey(hub))),
    /^PrivateKeyFile=\/etc\/systemd\/network\/wgtest\.key$/m,
  );
});
