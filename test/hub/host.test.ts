// What the hub does to its host, by netlink and by programs, each checked by the other.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { decodeHubConfig } from '../../src/hub/config.ts';
import type { HubHost } from '../../src/hub/host.ts';
import { hostByNetlink } from '../../src/hub/host-by-netlink.ts';
import { hostByPrograms } from '../../src/hub/host-by-programs.ts';
import { hubTable, hubTableName } from '../../src/hub/rules.ts';
import { netlinkObstacle } from '../../src/links/netlink/probe.ts';
import { formatPrefix, prefixOf } from '../../src/wireguard/address.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';

const { skip } = await enterFreshNamespace('ip', 'nft');
const obstacle = netlinkObstacle();
const ways: [string, () => HubHost, string | undefined][] = [
  ['programs', hostByPrograms, skip],
  ['netlink', hostByNetlink, skip ?? obstacle],
];
const sh = (script: string) => execFileSync('sh', ['-euc', script], { encoding: 'utf8' });
const config = decodeHubConfig(
  `networks: { app: { subnet: 192.168.5.0/24, ipv6: 'fd12::/64', seedfile: a } }
clients: { laptop: { address: 192.168.5.200 } }
masquerade: true
allow: { containers: false, clients: [192.168.5.0/24], outside: [10.0.0.0/8] }`,
  'hub.yaml',
);

for (const [name, make, why] of ways) {
  const options = why === undefined ? {} : { skip: why };
  test(`a link, its addresses and its routes, by ${name}`, options, async () => {
    const host = make();
    assert.equal(await host.link('wg0'), undefined);
    sh('ip link add wg0 type bridge; ip link add eth7 type bridge; ip link set eth7 up');
    try {
      const before = await host.link('wg0');
      assert.equal(before?.kind, 'bridge');
      assert.equal(before.isUp, false);
      assert.equal(before.mtu, 1500);
      await host.setAlias('wg0', 'wgdriver:/hub:wg0');
      await host.setUp('wg0');
      const link = await host.link('wg0');
      assert.equal(link?.alias, 'wgdriver:/hub:wg0');
      assert.equal(link.isUp, true);
      assert.equal(link.index, before.index);

      const addresses = ['192.168.5.1/24', 'fd12::c0a8:501/64'];
      for (const text of [...addresses, ...addresses]) {
        await host.addAddress('wg0', prefixOf(text));
      }
      assert.deepEqual((await host.addresses('wg0')).map(formatPrefix).sort(), addresses);
      assert.match(sh('ip address show dev wg0'), /inet 192\.168\.5\.1\/24 scope global wg0/);
      assert.deepEqual(await host.routes('wg0'), []);
      const routes = ['10.8.0.2/32', '10.9.0.0/16', 'fd99::/64'];
      for (const text of [...routes, ...routes]) {
        await host.addRoute('wg0', prefixOf(text));
      }
      assert.deepEqual((await host.routes('wg0')).map(formatPrefix).sort(), routes);
      sh('ip route prepend 10.9.0.0/16 dev eth7');
      await host.deleteRoute('wg0', prefixOf('10.9.0.0/16'));
      await host.deleteAddress('wg0', prefixOf('fd12::c0a8:501/64'));
      assert.deepEqual((await host.routes('wg0')).map(formatPrefix).sort(), ['10.8.0.2/32', 'fd99::/64']);
      assert.deepEqual((await host.addresses('wg0')).map(formatPrefix), ['192.168.5.1/24']);

      assert.deepEqual(await host.uplinks(), []);
      sh('ip route add default dev eth7');
      assert.deepEqual(await host.uplinks(), ['eth7']);
    } finally {
      sh('ip link delete wg0; ip link delete eth7');
    }
    await assert.rejects(host.setUp('wg0'), /link wg0/);
  });

  test(`a table that comes, comes again and goes, by ${name}`, options, async () => {
    const host = make();
    await host.replaceTable(hubTable(config));
    const first = sh('nft list ruleset');
    assert.match(first, /table inet wgdriver-hub-wg0 \{/);
    assert.equal(first.match(/masquerade/g)?.length, 2);
    assert.match(first, /iifname "wg0" oifname "wg0" drop/);
    await host.replaceTable(hubTable(config));
    assert.equal(sh('nft list ruleset'), first);
    await host.deleteTable(hubTableName('wg0'));
    await host.deleteTable(hubTableName('wg0'));
    assert.equal(sh('nft list ruleset'), '');
  });
}
