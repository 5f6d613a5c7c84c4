// The kernel reads back through nft(8) what was written by netlink, in a namespace of its own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { netlinkObstacle } from '../../../src/links/netlink/probe.ts';
import { replaceTables, type Table } from '../../../src/netlink/nftables/client.ts';
import * as statement from '../../../src/netlink/nftables/statement.ts';
import { NETLINK_NETFILTER, withNetlinkSocket } from '../../../src/netlink/socket.ts';
import { formatPrefix, prefixOf } from '../../../src/wireguard/address.ts';
import { merged } from '../../../src/wireguard/coverage.ts';
import { enterFreshNamespace } from '../../support/fresh-namespace.ts';

const { skip = netlinkObstacle() } = await enterFreshNamespace('nft');

const rules: readonly (readonly statement.Statement[])[] = [
  [statement.isEstablished, statement.verdict('accept')],
  [statement.iifName('wg0'), statement.notOifName('eth-with-a-name'), statement.verdict('drop')],
  [statement.notOif(7), statement.notOif(8), statement.oifNamed('wg'), statement.verdict('accept')],
  [statement.notIifName('wg0'), statement.oifName('wg0'), statement.verdict('drop')],
];

const sources = ['192.168.5.0/24', 'fd12::/64'].map((prefix) => [statement.source(prefixOf(prefix))]);

const options = skip === undefined ? {} : { skip };

test('by netlink and by nft, the same rules', options, async () => {
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
  execFileSync('nft', ['-f', '-'], { input: `table inet by-nft\ndelete table inet by-nft\n${input}` });
  const listed = (name: string) =>
    execFileSync('nft', ['list', 'table', 'inet', name], { encoding: 'utf8' })
      .replace(name, 'NAME')
      // nft sees addresses in what it has written itself, and else bits of the header.
      .replace('@nh,96,32 & 0xffffff00 == 0xc0a80500', 'ip saddr 192.168.5.0/24')
      .replace(/@nh,64,128 & 0xf{16}0{16} == 0xfd12(0000){7}/, 'ip6 saddr fd12::/64');
  assert.equal(listed('by-netlink'), listed('by-nft'));
  assert.match(listed('by-netlink'), /masquerade/);
});

test('sets of thousands of ranges, and messages of ICMP by their type', options, async () => {
  const many = Array.from({ length: 2000 }, (_, index) =>
    prefixOf(`10.${index >> 7}.${(2 * index) & 255}.0/25`),
  );
  const texts = ['0.0.0.0/8', '192.168.5.0/24', '224.0.0.0/3'];
  const sets = [
    { name: 'v4', family: 'ipv4', ranges: merged([...texts.map(prefixOf), ...many], 'ipv4') },
    { name: 'v6', family: 'ipv6', ranges: merged(['::/64', 'ff00::/8'].map(prefixOf), 'ipv6') },
  ] as const;
  const inSets = [
    [statement.destinationIn('v4', 'ipv4'), statement.verdict('drop')],
    [statement.destinationIn('v6', 'ipv6'), statement.verdict('drop')],
    [statement.icmpType(5), statement.verdict('drop')],
    [statement.icmpv6Type(134), statement.verdict('drop')],
  ];
  const chain = { name: 'out', type: 'filter', hook: 'output', priority: 0, policy: 'accept' } as const;
  const table: Table = {
    family: 'inet',
    name: 'by-netlink',
    sets,
    chains: [{ ...chain, rules: inSets.map((rule) => rule.flatMap(({ expressions }) => expressions)) }],
  };
  await withNetlinkSocket({ protocol: NETLINK_NETFILTER }, (socket) => replaceTables(socket, [table]));
  const manyText = many.map(formatPrefix).join(', ');
  const input = `table inet by-nft {
    set v4 { type ipv4_addr; flags interval; auto-merge; elements = { ${texts.join(', ')}, ${manyText} } }
    set v6 { type ipv6_addr; flags interval; elements = { ::/64, ff00::/8 } }
    chain out { type filter hook output priority 0; policy accept;
      ${inSets.map((rule) => rule.map(({ text }) => text).join(' ')).join('\n')}\n }
  }`;
  execFileSync('nft', ['-f', '-'], { input: `table inet by-nft\ndelete table inet by-nft\n${input}` });
  const listed = (name: string) =>
    execFileSync('nft', ['list', 'table', 'inet', name], { encoding: 'utf8' })
      .replace(name, 'NAME')
      .replace('meta protocol ip @nh,128,32', 'meta protocol ip ip daddr')
      .replace('meta protocol ip6 @nh,192,128', 'meta protocol ip6 ip6 daddr')
      .replace('meta protocol ip ip daddr', 'ip daddr')
      .replace('meta protocol ip6 ip6 daddr', 'ip6 daddr')
      .split('\n')
      .filter((line) => line.trim() !== '' && !line.includes('auto-merge'));
  const [byNetlink, byNft] = [listed('by-netlink'), listed('by-nft')];
  // Line by line: a difference of the whole would be thousands of lines.
  assert.deepEqual(
    byNetlink.filter((line, index) => line !== byNft[index]),
    [],
  );
  assert.match(byNetlink.join(''), /224\.0\.0\.0\/3/);
});
