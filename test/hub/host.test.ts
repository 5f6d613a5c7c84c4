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
    sh(
      'ip link add wg0 type bridge; ip link add eth7 type bridge; ip link set eth7 up; ip link add eth8 type bridge; ip link set eth8 up',
    );
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
      // Of somebody else: none is replaced, and none gets a second way.
      sh(`ip route add 10.4.0.0/16 dev eth7; ip route add unreachable 10.5.0.0/16; ip route add fd44::/64 dev eth7
          ip address add 10.6.0.1/24 dev eth7; ip address add fd66::1/64 dev eth7 nodad
          ip route add 10.3.0.0/16 nexthop dev eth7 nexthop dev eth8
          ip route add fd77::/64 nexthop via fd66::2 nexthop via fd66::3`);
      const others = sh('ip route; ip -6 route');
      for (const text of [
        '10.3.0.0/16',
        '10.4.0.0/16',
        '10.5.0.0/16',
        '10.6.0.0/24',
        'fd44::/64',
        'fd77::/64',
      ]) {
        await assert.rejects(host.addRoute('wg0', prefixOf(text)), /route .*(EEXIST|File exists)/, text);
      }
      assert.equal(sh('ip route; ip -6 route'), others);
      for (const text of routes) {
        await host.addRoute('wg0', prefixOf(text));
      }
      assert.deepEqual(
        (await host.otherRoutes('wg0'))
          .map(({ destination, metric, link }) => `${formatPrefix(destination)} ${metric} ${link}`)
          // The kernel's own of each link.
          .filter((text) => !text.startsWith('fe80:'))
          .sort(),
        [
          '10.3.0.0/16 0 undefined',
          '10.4.0.0/16 0 eth7',
          '10.5.0.0/16 0 undefined',
          '10.6.0.0/24 0 eth7',
          'fd44::/64 1024 eth7',
          'fd66::/64 256 eth7',
          'fd77::/64 1024 undefined',
        ],
      );
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
      sh('ip link delete wg0; ip link delete eth7; ip link delete eth8; ip route flush table main');
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
