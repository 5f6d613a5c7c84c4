import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wgQuick, wgSetconf } from '../../../src/wireguard/config/wg-quick.ts';
import { hub, prefix, privateKeyText, publicKeyTexts, whole, withoutKey } from '../../support/hubs.ts';

const peers = `
# wgdriver: peers from here on are made by \`wgdriver endpoint-config\`; changes in them get lost

[Peer]
PublicKey = ${publicKeyTexts[0]}
AllowedIPs = 192.168.5.2/32

[Peer]
PublicKey = ${publicKeyTexts[1]}
AllowedIPs = 192.168.5.3/32, fd00::3/128

# wgdriver: end of peers
`;

test('a file for wg-quick has the hub’s address and switches on forwarding', async () => {
  assert.equal(
    (await whole(wgQuick(hub))).replaceAll(/ \|\| echo .*/g, ''),
    `# two peers
[Interface]
PrivateKey = ${privateKeyText}
ListenPort = 51820
Address = 192.168.5.1/24
Table = off
PostUp = sysctl -q -w net/ipv4/conf/%i/forwarding=1
PostUp = ! iptables -S FORWARD 2>/dev/null | grep -q -e '-P FORWARD DROP'
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

test('without a key there is no line for it; wg-quick has it read from a file of the hub’s', async () => {
  assert.equal(
    await whole(wgSetconf(withoutKey(hub))),
    (await whole(wgSetconf(hub))).replace(`PrivateKey = ${privateKeyText}\n`, ''),
  );
  const quick = await whole(wgQuick(withoutKey(hub)));
  assert.match(quick, /^PostUp = wg set %i private-key \/etc\/wireguard\/wgtest\.key \|\| echo "wgdriver: /m);
  assert.equal(
    quick.replace(/^PostUp = wg set .*\n/m, ''),
    (await whole(wgQuick(hub))).replace(`PrivateKey = ${privateKeyText}\n`, ''),
  );
  const named = await whole(wgQuick({ ...withoutKey(hub), privateKeyFile: '/root/hub.key' }));
  assert.match(named, /^PostUp = wg set %i private-key \/root\/hub\.key \|\|/m);
});

test('every hook ends well whatever its command does: wg-quick takes the link away otherwise', async () => {
  const hooks = (await whole(wgQuick(withoutKey(hub)))).match(/^PostUp = .*$/gm) ?? [];
  assert.equal(hooks.length, 3);
  for (const hook of hooks) {
    assert.match(hook, / \|\| echo "[^"$`]+" >&2$/);
  }
});

test('two subnets: both addresses of the hub', async () => {
  const two = { ...hub, addresses: [prefix('192.168.5.1/24'), prefix('10.0.0.9/16')] };
  assert.match(await whole(wgQuick(two)), /^Address = 192\.168\.5\.1\/24\nAddress = 10\.0\.0\.9\/16$/m);
});
