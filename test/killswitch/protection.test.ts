import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ContainerNetwork,
  type ProtectionRoute,
  protectionOf,
} from '../../src/killswitch/protection.ts';
import { formatPrefix, parseAddress, prefixOf } from '../../src/wireguard/address.ts';

const links = {
  lo: { index: 1, name: 'lo', alias: undefined },
  wg0: { index: 7, name: 'wg0', alias: 'ours:a' },
  wg1: { index: 8, name: 'wg1', alias: 'ours:b' },
  eth0: { index: 9, name: 'eth0', alias: undefined },
};
type Name = keyof typeof links;

/** `eth0 172.30.0.0/24` or `eth0 0.0.0.0/0 172.30.0.1` */
function seen(names: readonly Name[], ...routes: readonly string[]): ContainerNetwork {
  return {
    links: names.map((name) => links[name]),
    routes: routes.map((text) => {
      const [name = '', destination = '', gateway = ''] = text.split(' ');
      const oif = links[name as Name].index;
      return { oif, destination: prefixOf(destination), gateway: parseAddress(gateway) };
    }),
  };
}

function tunnel(alias: string, ...prefixes: readonly string[]) {
  const isLink = (link: { readonly alias: string | undefined }) => link.alias === alias;
  return { isLink, prefixes: prefixes.map(prefixOf) };
}

/** `203.0.113.0/24 by wg0` */
function text({ destination, link, gateway, metric }: ProtectionRoute): string {
  const way = link === undefined ? `unreachable ${metric}` : [link.name, gateway].filter(Boolean).join(' ');
  return `${formatPrefix(destination)} by ${way}`;
}

const everything = ['0.0.0.0/0', '::/0'];
const nowhere = ['0.0.0.0/0 by unreachable 2147483647', '::/0 by unreachable 2147483647'];

function rulesOf(view: ContainerNetwork, ...tunnels: ReturnType<typeof tunnel>[]): string[] {
  const { chains } = protectionOf(view, tunnels).filter;
  const { rules = [] } = chains.find(({ name }) => name === 'postrouting') ?? {};
  return rules.map((statements) => statements.map((statement) => statement.text).join(' '));
}

test('before its link comes, a tunnel to everywhere closes everything', () => {
  const { routes, filter, rules } = protectionOf(seen(['lo']), [tunnel('ours:a', ...everything)]);
  assert.deepEqual(routes.map(text), nowhere);
  assert.deepEqual(
    filter.chains.map(({ name, policy }) => `${name} ${policy}`),
    ['prerouting accept', 'output accept', 'postrouting drop'],
  );
  assert.deepEqual(rules, []);
});

test('until its link is of use, it is known by its name, and the engine’s routes are left alone', () => {
  const first = [tunnel('ours:a', ...everything)];
  for (const view of [seen(['lo']), seen(['lo', 'wg0']), seen(['lo', 'wg0'], 'wg0 fe80::/64')]) {
    assert(rulesOf(view, ...first).includes('oifname "wg*" accept'));
    assert.deepEqual(protectionOf(view, first).rules, []);
  }
  const ready = seen(['lo', 'wg0'], 'wg0 192.168.5.0/24');
  assert.deepEqual(rulesOf(ready, ...first).slice(0, 2), ['oif 1 accept', 'oif 7 accept']);
  assert(!rulesOf(ready, ...first).includes('oifname "wg*" accept'));
  assert.deepEqual(
    protectionOf(ready, first).rules.map(({ family, priority, table }) => `${family} ${priority} ${table}`),
    ['ipv4 30567 254', 'ipv4 30569 30567', 'ipv6 30567 254', 'ipv6 30569 30567'],
  );
  const second = [...first, tunnel('ours:b', ...everything)];
  assert(rulesOf(ready, ...second).includes('oifname "wg*" accept'), 'another one is to come');
});

test('a link without an address of a family does not carry it', () => {
  const view = seen(['lo', 'wg0'], 'wg0 192.168.5.0/24', 'wg0 fe80::/64');
  const { routes } = protectionOf(view, [tunnel('ours:a', ...everything)]);
  assert.deepEqual(routes.map(text), ['0.0.0.0/0 by wg0', ...nowhere]);
});

test('a tunnel to all of IPv4 closes IPv6, too', () => {
  const view = seen(['lo', 'wg0', 'eth0'], 'wg0 192.168.5.0/24', 'eth0 fd00:30::/64');
  for (const prefixes of [['0.0.0.0/0'], ['0.0.0.0/1', '128.0.0.0/1']]) {
    const { routes, filter } = protectionOf(view, [tunnel('ours:a', ...prefixes)]);
    assert.equal(filter.chains.at(-1)?.policy, 'drop');
    assert(routes.map(text).includes('::/0 by unreachable 2147483647'));
  }
});

test('connected networks pass by their own link, and nothing else by it', () => {
  const view = seen(
    ['lo', 'wg0', 'eth0'],
    'wg0 192.168.5.0/24',
    'eth0 0.0.0.0/0 172.30.0.254',
    'eth0 172.30.0.0/24',
    'eth0 10.0.0.0/8 172.30.0.9',
  );
  assert.deepEqual(rulesOf(view, tunnel('ours:a', ...everything)), [
    'oif 1 accept',
    'oif 7 accept',
    'oif 9 meta protocol ip ip daddr 172.30.0.0/24 meta mark set 1073741824 accept',
    'oif 9 ct direction reply meta mark 1073741833 ct mark 1073741833 accept',
    'meta protocol ip6 ip6 daddr ff02::/16 meta l4proto ipv6-icmp meta mark set 1073741824 accept',
  ]);
});

test('replies leave by the gateway that the engine gave', () => {
  const connected = ['eth0 172.30.0.0/24', 'eth0 fd00:30::/64', 'eth0 fe80::/64'];
  const replies = (view: ContainerNetwork) =>
    protectionOf(view, [tunnel('ours:a', ...everything)])
      .routes.filter(({ table }) => table !== 30567)
      .map((route) => `${route.table}: ${text(route)}`);
  assert.deepEqual(replies(seen(['lo', 'eth0'], ...connected)), []);
  assert.deepEqual(
    replies(seen(['lo', 'eth0'], 'eth0 0.0.0.0/0 172.30.0.254', 'eth0 ::/0 fd00:30::1', ...connected)),
    ['1073741833: 0.0.0.0/0 by eth0 172.30.0.254', '1073741833: ::/0 by eth0 fd00:30::1'],
  );
});

test('a split tunnel closes what it is for, and nothing else', () => {
  const view = seen(['lo', 'wg0', 'eth0'], 'wg0 192.168.5.0/24', 'eth0 172.30.0.0/24');
  const split = tunnel('ours:a', '10.0.0.0/8', 'fd00::/8');
  const { routes, filter, frameFilter } = protectionOf(view, [split]);
  assert.deepEqual(routes.map(text), [
    '10.0.0.0/8 by wg0',
    '10.0.0.0/8 by unreachable 2147483647',
    'fd00::/8 by unreachable 2147483647',
  ]);
  assert.equal(filter.chains.at(-1)?.policy, 'accept');
  assert.equal(frameFilter.chains[0]?.policy, 'accept');
  assert.deepEqual(rulesOf(view, split).slice(-2), [
    'meta protocol ip ip daddr 10.0.0.0/8 drop',
    'meta protocol ip6 ip6 daddr fd00::/8 drop',
  ]);
});

test('of two tunnels to everywhere the one with the engine’s default route; a split one keeps its own', () => {
  const both = ['wg0 192.168.5.0/24', 'wg1 192.168.6.0/24'];
  const tunnels = [tunnel('ours:a', ...everything), tunnel('ours:b', ...everything)];
  const ways = (view: ContainerNetwork, list = tunnels) => protectionOf(view, list).routes.map(text);
  assert.equal(ways(seen(['lo', 'wg0', 'wg1'], ...both))[0], '0.0.0.0/0 by wg0');
  assert.equal(ways(seen(['lo', 'wg0', 'wg1'], ...both, 'wg1 0.0.0.0/0 192.168.6.1'))[0], '0.0.0.0/0 by wg1');
  const split = [tunnel('ours:a', ...everything), tunnel('ours:b', '10.0.0.0/8')];
  const routes = ways(seen(['lo', 'wg0', 'wg1'], ...both), split);
  assert(routes.includes('0.0.0.0/0 by wg0'));
  assert(routes.includes('10.0.0.0/8 by wg1'));
});
