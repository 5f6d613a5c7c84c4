// The kernel reads back through nft(8) what was written by netlink, in a namespace of its own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { netlinkObstacle } from '../../../src/links/netlink/probe.ts';
import { replaceTables, type Table } from '../../../src/netlink/nftables/client.ts';
import * as statement from '../../../src/netlink/nftables/statement.ts';
import { NETLINK_NETFILTER, withNetlinkSocket } from '../../../src/netlink/socket.ts';
import { prefixOf } from '../../../src/wireguard/address.ts';
import { enterFreshNamespace } from '../../support/fresh-namespace.ts';

const { skip = netlinkObstacle() } = await enterFreshNamespace('nft');

const rules: readonly (readonly statement.Statement[])[] = [
  [statement.isEstablished, statement.verdict('accept')],
  [statement.iifName('wg0'), statement.notOifName('eth-with-a-name'), statement.verdict('drop')],
  [statement.notIifName('wg0'), statement.oifName('wg0'), statement.verdict('drop')],
];

const sources = ['192.168.5.0/24', 'fd12::/64'].map((prefix) => [statement.source(prefixOf(prefix))]);

test('by netlink and by nft, the same rules', { ...(skip === undefined ? {} : { skip }) }, async () => {
  const table: Table = {
    family: 'inet',
    name: 'by-netlink',
    chains: [
      {
        name: 'forward',
        type: 'filter',
        hook: 'forward',
        priority: 0,
        policy: 'accept',
        rules: [...rules, ...sources].map((rule) => rule.flatMap(({ expressions }) => expressions)),
      },
      {
        name: 'postrouting',
        type: 'nat',
        hook: 'postrouting',
        priority: 100,
        policy: 'accept',
        rules: [[...statement.oifName('eth0').expressions, ...statement.masquerade.expressions]],
      },
    ],
  };
  await withNetlinkSocket({ protocol: NETLINK_NETFILTER }, (socket) => replaceTables(socket, [table]));
  const lines = [...rules, ...sources].map((rule) => rule.map(({ text }) => text).join(' '));
  const input = `table inet by-nft {
    chain forward { type filter hook forward priority 0; policy accept; ${lines.join('\n')}\n }
    chain postrouting { type nat hook postrouting priority 100; policy accept;
      ${statement.oifName('eth0').text} ${statement.masquerade.text}\n }
  }`;
  execFileSync('nft', ['-f', '-'], { input });
  const listed = (name: string) =>
    execFileSync('nft', ['list', 'table', 'inet', name], { encoding: 'utf8' })
      .replace(name, 'NAME')
      // nft sees addresses in what it has written itself, and else bits of the header.
      .replace('@nh,96,32 & 0xffffff00 == 0xc0a80500', 'ip saddr 192.168.5.0/24')
      .replace(/@nh,64,128 & 0xf{16}0{16} == 0xfd12(0000){7}/, 'ip6 saddr fd12::/64');
  assert.equal(listed('by-netlink'), listed('by-nft'));
  assert.match(listed('by-netlink'), /masquerade/);
});
