import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { routingDifference } from '../../src/killswitch/difference.ts';
import {
  type ContainerNetwork,
  concerns,
  haveSameTables,
  isProtectionRule,
  isProtectionTable,
  type ProtectedTunnel,
  type ProtectionRoute,
  protectionOf,
  tunnelOf,
} from '../../src/killswitch/rules.ts';
import { formatPrefix, masked, parseAddress, prefixOf } from '../../src/wireguard/address.ts';
import { everything, tunnelScope } from '../support/tunnel-scope.ts';

const links = {
  lo: { index: 1, name: 'lo', alias: undefined, isUp: true },
  wg0: { index: 7, name: 'wg0', alias: 'ours:a', isUp: true },
  wg1: { index: 8, name: 'wg1', alias: 'ours:b', isUp: true },
  eth0: { index: 9, name: 'eth0', alias: undefined, isUp: true },
};
type Name = keyof typeof links;

/**
 * `eth0 172.30.0.2/24` is an address, with `made` one that came of itself, with `narrow` one of the link or a site;
 * `eth0 by 172.30.0.1` a default route.
 */
function seen(names: readonly Name[], ...lines: readonly string[]): ContainerNetwork {
  const words = lines.map((line) => line.split(' ') as [Name, string, string?]);
  return {
    links: names.map((name) => links[name]),
    addresses: words
      .filter(([, word]) => word !== 'by')
      .map(([name, address, of]) => ({
        index: links[name].index,
        network: masked(prefixOf(address)),
        isPermanent: of !== 'made',
        isGlobal: of !== 'narrow',
      })),
    defaultRoutes: words
      .filter(([, word]) => word === 'by')
      .map(([name, , text = '']) => {
        const gateway = parseAddress(text);
        return { oif: links[name].index, family: gateway?.kind() ?? 'ipv4', gateway };
      }),
    routes: [],
    rules: [],
  };
}

function tunnel(alias: string, ...prefixes: readonly string[]): ProtectedTunnel {
  return excluding(alias, [], ...prefixes);
}

function excluding(
  alias: string,
  excluded: readonly string[],
  ...prefixes: readonly string[]
): ProtectedTunnel {
  const isLink = (link: { readonly alias: string | undefined }) => link.alias === alias;
  return tunnelOf(isLink, tunnelScope(prefixes, excluded));
}

/** `203.0.113.0/24 by wg0` */
function text({ destination, oif, isThrow, gateway, metric }: ProtectionRoute): string {
  const link = Object.values(links).find(({ index }) => index === oif);
  const way =
    link === undefined
      ? isThrow
        ? 'throw'
        : `unreachable ${metric}`
      : [link.name, gateway].filter(Boolean).join(' ');
  return `${formatPrefix(destination)} by ${way}`;
}

const nowhere = ['0.0.0.0/0 by unreachable 2147483647', '::/0 by unreachable 2147483647'];

function rulesOf(view: ContainerNetwork, ...tunnels: ReturnType<typeof tunnel>[]): string[] {
  const { chains } = protectionOf(view, tunnels).filter;
  const { rules = [] } = chains.find(({ name }) => name === 'postrouting') ?? {};
  return rules.map((statements) => statements.map((statement) => statement.text).join(' '));
}

test('before its link comes, a tunnel to everywhere closes everything', () => {
  const { routes, filter, rules } = protectionOf(seen(['lo', 'eth0']), [tunnel('ours:a', ...everything)]);
  assert.deepEqual(routes.map(text), nowhere);
  assert.deepEqual(
    filter.chains.map(({ name, policy }) => `${name} ${policy}`),
    ['prerouting accept', 'output accept', 'postrouting drop'],
  );
  assert.deepEqual(rules, []);
});

test('until its link is of use, it is known by its name, and the engine’s routes are left alone', () => {
  const first = [tunnel('ours:a', ...everything)];
  for (const view of [
    seen(['lo', 'eth0']),
    seen(['lo', 'wg0', 'eth0']),
    seen(['lo', 'wg0', 'eth0'], 'wg0 fe80::/64'),
  ]) {
    assert(rulesOf(view, ...first).includes('oifname "wg*" accept'));
    assert.deepEqual(protectionOf(view, first).rules, []);
  }
  const ready = seen(['lo', 'wg0', 'eth0'], 'wg0 192.168.5.0/24');
  assert.deepEqual(rulesOf(ready, ...first).slice(0, 2), ['oif 1 accept', 'oif 7 accept']);
  assert(!rulesOf(ready, ...first).includes('oifname "wg*" accept'));
  assert.deepEqual(
    protectionOf(ready, first).rules.map(({ family, priority, table }) => `${family} ${priority} ${table}`),
    ['ipv4', 'ipv6'].flatMap((family) =>
      [254, 0x4000_0009, 30567].map((table) => `${family} 32765 ${table}`),
    ),
  );
  const second = [...first, tunnel('ours:b', ...everything)];
  assert(rulesOf(ready, ...second).includes('oifname "wg*" accept'), 'another one is to come');
});

test('while a tunnel is to come, what has its kind of name and is somebody else’s stays closed', () => {
  const anybodys = { ...links.eth0, index: 10, name: 'wg9' };
  const view = { ...seen(['lo', 'eth0']), links: [links.lo, links.eth0, anybodys] };
  assert(rulesOf(view, tunnel('ours:a', ...everything)).includes('oif != 10 oifname "wg*" accept'));
});

test('a tunnel of use keeps its rules while another one comes, or has lost its link', () => {
  const both = [tunnel('ours:a', ...everything), tunnel('ours:b', '10.0.0.0/8')];
  const rules = [{ family: 'ipv4', priority: 32765, table: 30567 }] as const;
  const view = { ...seen(['lo', 'wg0', 'eth0'], 'wg0 192.168.5.2/24', 'eth0 172.30.0.2/24'), rules };
  const { rules: kept, routes } = protectionOf(view, both);
  assert.deepEqual(kept, protectionOf(view, both.slice(0, 1)).rules);
  assert(kept.length > 0);
  assert.deepEqual(routes.map(text), [
    '0.0.0.0/0 by wg0',
    ...nowhere,
    '10.0.0.0/8 by unreachable 2147483647',
  ]);
  // What a container starts with is as the engine made it until all of its tunnels have come.
  assert.deepEqual(protectionOf({ ...view, rules: [] }, both).rules, []);
  assert.deepEqual(protectionOf({ ...seen(['lo', 'eth0']), rules }, both).rules, []);
});

test('what has a tunnel alone to send by needs its filter alone, the same before its link has come and after', () => {
  const alone = { ...tunnel('ours:a', ...everything), linkIndex: links.wg0.index };
  const before = protectionOf(seen(['lo']), [alone]);
  assert.deepEqual([before.routes, before.rules, before.frameFilter.chains], [[], [], []]);
  assert.deepEqual(
    before.filter.chains.map(({ name, policy }) => `${name} ${policy}`),
    ['prerouting accept', 'postrouting drop'],
  );
  const advertising = 'meta protocol ip6 ip6 daddr ff02::/16 meta l4proto ipv6-icmp accept';
  assert.deepEqual(rulesOf(seen(['lo']), alone), ['oif 1 accept', 'oif 7 oifname "wg*" accept', advertising]);
  for (const view of [seen(['lo', 'wg0']), seen(['lo', 'wg0'], 'wg0 192.168.5.0/24', 'wg0 by 192.168.5.1')]) {
    assert(haveSameTables(protectionOf(view, [alone]), before));
  }
  const renamed = { ...seen([]), links: [links.lo, { ...links.wg0, name: 'vpn0' }] };
  assert.deepEqual(rulesOf(renamed, alone), ['oif 1 accept', 'oif 7 accept', advertising]);
});

test('with anything else to send by it needs more, and so it does with what a protection has left there', () => {
  const alone = { ...tunnel('ours:a', ...everything), linkIndex: links.wg0.index };
  const more = [
    protectionOf(seen(['lo', 'wg0', 'eth0']), [alone]),
    protectionOf({ ...seen(['lo', 'wg0']), links: [links.lo, links.wg0, { ...links.wg0, index: 8 }] }, [
      alone,
    ]),
    protectionOf(seen(['lo', 'wg0']), [alone, tunnel('ours:b', '10.0.0.0/8')]),
    // The engine has no default route.
    protectionOf(seen(['lo', 'wg0']), [tunnel('ours:a', ...everything)]),
    protectionOf(seen(['lo', 'wg0']), [{ ...tunnel('ours:a', '10.0.0.0/8'), linkIndex: links.wg0.index }]),
    protectionOf({ ...seen(['lo', 'wg0']), rules: [{ family: 'ipv4', priority: 32765, table: 30567 }] }, [
      alone,
    ]),
  ];
  for (const { routes, lone } of more) {
    assert(routes.length > 0);
    assert.equal(lone, undefined);
  }
});

test('news of the one tunnel’s link concerns no protection, unless it is another link now, or has gone', () => {
  const alone = { ...tunnel('ours:a', ...everything), linkIndex: links.wg0.index };
  const protection = protectionOf(seen(['lo']), [alone]);
  const { index } = links.wg0;
  for (const news of [{ index }, { index, link: links.wg0 }, { index: 1 }, { index: 1, link: links.lo }]) {
    assert(!concerns(news, protection));
  }
  for (const news of [
    { index, link: undefined },
    { index, link: { ...links.wg0, alias: undefined } },
    { index, link: { ...links.wg0, name: 'vpn0' } },
    { index: 9, link: links.eth0 },
    { index: 9 },
    { index: undefined },
    { index: 1, link: { ...links.lo, name: 'eth0' } },
    { index: 1, link: undefined },
  ]) {
    assert(concerns(news, protection));
  }
  assert(concerns({ index }, protectionOf(seen(['lo', 'wg0', 'eth0']), [alone])));
});

test('a link without an address of a family does not carry it', () => {
  const view = seen(['lo', 'wg0', 'eth0'], 'wg0 192.168.5.0/24', 'wg0 fe80::/64');
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
    'eth0 by 172.30.0.254',
    'eth0 172.30.0.0/24',
  );
  assert.deepEqual(rulesOf(view, tunnel('ours:a', ...everything)), [
    'oif 1 accept',
    'oif 7 accept',
    'oif 9 meta protocol ip ip daddr 172.30.0.0/24 meta mark set 1073741824 accept',
    'oif 9 ct direction reply meta mark 1073741833 ct mark 1073741833 accept',
    'meta protocol ip6 ip6 daddr ff02::/16 meta l4proto ipv6-icmp meta mark set 1073741824 accept',
  ]);
});

test('connected is what the engine gave: no address that came of itself, nor a second one', () => {
  const view = seen(
    ['lo', 'wg0', 'eth0'],
    'wg0 192.168.5.2/24',
    // Before them those of a narrower scope.
    'eth0 8.0.0.1/5 narrow',
    'eth0 172.30.0.2/24',
    'eth0 10.9.0.1/8',
    'eth0 169.254.7.7/16',
    // The kernel lists addresses of IPv6 from the newest to the oldest.
    'eth0 fd00:99::1/16',
    'eth0 fd00:30::2/64',
    'eth0 fec0::1/1 narrow',
    'eth0 2001:db8::5/3 made',
    'eth0 fe80::1/64 made',
  );
  const connected = rulesOf(view, tunnel('ours:a', ...everything))
    .map((rule) => /oif 9 .* ip6? daddr (\S+) meta mark set/.exec(rule)?.[1])
    .filter((prefix) => prefix !== undefined);
  assert.deepEqual(connected, ['172.30.0.0/24', '169.254.0.0/16', 'fd00:30::/64', 'fe80::/10']);
});

test('no router advertisement nor redirect comes in where a tunnel is for everything, from the first moment', () => {
  const incoming = (...prefixes: readonly string[]) =>
    protectionOf(seen(['lo']), [tunnel('ours:a', ...prefixes)])
      .filter.chains.find(({ name }) => name === 'prerouting')
      ?.rules.map((statements) => statements.map((statement) => statement.text).join(' '));
  assert.deepEqual(incoming(...everything), [
    'meta l4proto 1 icmp type 5 drop',
    'meta l4proto 58 icmpv6 type 134 drop',
    'meta l4proto 58 icmpv6 type 137 drop',
  ]);
  assert.deepEqual(incoming('10.0.0.0/8', 'fd00::/8'), []);
});

test('replies leave by the gateway that the engine gave', () => {
  const connected = ['eth0 172.30.0.0/24', 'eth0 fd00:30::/64', 'eth0 fe80::/64'];
  const replies = (view: ContainerNetwork) =>
    protectionOf(view, [tunnel('ours:a', ...everything)])
      .routes.filter(({ table }) => table !== 30567)
      .map((route) => `${route.table}: ${text(route)}`);
  assert.deepEqual(replies(seen(['lo', 'eth0'], ...connected)), []);
  assert.deepEqual(
    replies(seen(['lo', 'eth0'], 'eth0 by 172.30.0.254', 'eth0 by fd00:30::1', ...connected)),
    ['1073741833: 0.0.0.0/0 by eth0 172.30.0.254', '1073741833: ::/0 by eth0 fd00:30::1'],
  );
});

test('a split tunnel closes what it is for, and nothing else', () => {
  const view = seen(['lo', 'wg0', 'eth0'], 'wg0 192.168.5.0/24', 'eth0 172.30.0.0/24');
  const split = tunnel('ours:a', '10.0.0.0/8', 'fd00::/8');
  const { routes, filter, frameFilter } = protectionOf(view, [split]);
  assert.deepEqual(routes.map(text), ['10.0.0.0/8 by wg0', 'fd00::/8 by unreachable 2147483647']);
  assert.equal(filter.chains.at(-1)?.policy, 'accept');
  assert.equal(frameFilter.chains[0]?.policy, 'accept');
  assert.deepEqual(rulesOf(view, split).slice(-2), [
    'meta protocol ip ip daddr @tunnel-0-ipv4 drop',
    'meta protocol ip6 ip6 daddr @tunnel-0-ipv6 drop',
  ]);
  assert.deepEqual(
    filter.sets.map(({ ranges }) => ranges[0]),
    [
      [0x0a00_0000n, 0x0aff_ffffn],
      [0xfdn << 120n, (0xfen << 120n) - 1n],
    ],
  );
});

test('what is excluded may leave by another link, and all else stays closed', () => {
  const view = seen(['lo', 'wg0', 'eth0'], 'wg0 192.168.5.2/24', 'eth0 172.30.0.2/24');
  const excepting = excluding('ours:a', ['192.168.0.0/16', 'fd00::/8'], ...everything);
  const { routes, filter } = protectionOf(view, [excepting]);
  assert.equal(filter.chains.at(-1)?.policy, 'drop');
  assert.deepEqual(routes.map(text), [
    '0.0.0.0/0 by wg0',
    ...nowhere,
    '192.168.0.0/16 by throw',
    'fd00::/8 by throw',
  ]);
  const passing = ['ip ip daddr 192.168.0.0/16', 'ip6 ip6 daddr fd00::/8'].map(
    (words) => `meta protocol ${words} meta mark set 1073741824 accept`,
  );
  assert.deepEqual(rulesOf(view, excepting).slice(-2), passing);
  // Another network that is for everything keeps it, and one that is for a part of it, that part.
  assert(
    !rulesOf(view, excepting, tunnel('ours:b', ...everything)).some((rule) => rule.includes('fd00::/8')),
  );
  const wider = tunnel('ours:b', '192.128.0.0/9');
  assert(!rulesOf(view, excepting, wider).some((rule) => rule.includes('192.168.0.0/16')));
  assert(!protectionOf(view, [excepting, wider]).routes.map(text).includes('192.168.0.0/16 by throw'));
  assert.deepEqual(rulesOf(view, excepting, tunnel('ours:b', '192.168.7.0/24')).slice(-3), [
    'meta protocol ip ip daddr 192.168.7.0/24 drop',
    ...passing,
  ]);
});

test('a list of 5,000 prefixes is a set, and not gone through for each of its prefixes', () => {
  const list = (length: number) =>
    Array.from({ length }, (_, index) => `10.${index >> 8}.${index & 255}.0/25`);
  const view = seen(['lo', 'wg0', 'eth0'], 'wg0 192.168.5.2/24', 'eth0 172.30.0.2/24');
  const cost = (length: number) => {
    const long = tunnel('ours:a', ...list(length));
    const started = process.cpuUsage();
    const protection = protectionOf(view, [long]);
    routingDifference({ routes: protection.routes, rules: [] }, protection, ['ipv4', 'ipv6']);
    const { user, system } = process.cpuUsage(started);
    return (user + system) / 1000;
  };
  // 20 to 170 ms were measured; pair by pair it would be a minute.
  assert(cost(5000) < 2000);
  const { filter } = protectionOf(view, [tunnel('ours:a', ...list(5000))]);
  assert(filter.chains.flatMap(({ rules }) => rules).length < 20, 'the list is a set');
});

test('most of IPv4 and nothing of IPv6 closes IPv6, and leaves the rest of IPv4 open', () => {
  const view = seen(['lo', 'wg0', 'eth0'], 'wg0 192.168.5.2/24', 'eth0 172.30.0.2/24');
  const most = tunnel('ours:a', '0.0.0.0/1', '128.0.0.0/2', '192.0.0.0/3');
  const { routes, filter, frameFilter } = protectionOf(view, [most]);
  assert.equal(filter.chains.at(-1)?.policy, 'accept');
  assert.equal(rulesOf(view, most).at(-1), 'meta protocol ip6 ip6 daddr ::/0 drop');
  assert.equal(
    frameFilter.chains[0]?.rules
      .at(-1)
      ?.map((part) => part.text)
      .join(' '),
    rulesOf(view, most).at(-1),
  );
  assert(routes.map(text).includes('::/0 by unreachable 2147483647'));
  assert.deepEqual(tunnel('ours:a', '0.0.0.0/1').closed, []);
  assert.deepEqual(tunnel('ours:a', '0.0.0.0/1', '128.0.0.0/2', 'fd00::/8').closed, []);
});

test('two halves on two networks are everything: all else is closed', () => {
  const view = seen(
    ['lo', 'wg0', 'wg1', 'eth0'],
    'wg0 192.168.5.2/24',
    'wg1 192.168.6.2/24',
    'eth0 fd00:30::2/64',
  );
  const halves = ['0.0.0.0/1', '128.0.0.0/1'].map((half, index) => tunnel(`ours:${'ab'[index]}`, half));
  const { filter, frameFilter, routes } = protectionOf(view, halves);
  assert.deepEqual([filter.chains.at(-1)?.policy, frameFilter.chains[0]?.policy], ['drop', 'drop']);
  assert.deepEqual(routes.map(text), [
    ...nowhere,
    '0.0.0.0/1 by wg0',
    '0.0.0.0/1 by unreachable 2147483647',
    '128.0.0.0/1 by wg1',
    '128.0.0.0/1 by unreachable 2147483647',
  ]);
  const partly = [tunnel('ours:a', '0.0.0.0/1'), tunnel('ours:b', '128.0.0.0/2')];
  assert.equal(protectionOf(view, partly).filter.chains.at(-1)?.policy, 'accept');
});

test('of two tunnels to everywhere the one with the engine’s default route; a split one keeps its own', () => {
  const both = ['wg0 192.168.5.0/24', 'wg1 192.168.6.0/24'];
  const tunnels = [tunnel('ours:a', ...everything), tunnel('ours:b', ...everything)];
  const ways = (view: ContainerNetwork, list = tunnels) => protectionOf(view, list).routes.map(text);
  assert.equal(ways(seen(['lo', 'wg0', 'wg1'], ...both))[0], '0.0.0.0/0 by wg0');
  assert.equal(ways(seen(['lo', 'wg0', 'wg1'], ...both, 'wg1 by 192.168.6.1'))[0], '0.0.0.0/0 by wg1');
  const split = [tunnel('ours:a', ...everything), tunnel('ours:b', '10.0.0.0/8')];
  const routes = ways(seen(['lo', 'wg0', 'wg1'], ...both), split);
  assert(routes.includes('0.0.0.0/0 by wg0'));
  assert(routes.includes('10.0.0.0/8 by wg1'));
});

test('what others have in a container is not taken for a protection’s', () => {
  const rule = { family: 'ipv4', priority: 32765 } as const;
  assert.deepEqual([30567, 0x4000_0009].map(isProtectionTable), [true, true]);
  // Of wg-quick, Tailscale and Mullvad; and any with the bit of a mark that may pass.
  assert(![51820, 52, 0x6d6f_6c65, 0xc000_0009].some(isProtectionTable));
  assert(isProtectionRule({ ...rule, table: 254, suppressPrefixLength: 7 }));
  assert(
    isProtectionRule({ ...rule, priority: 30567, table: 254, suppressPrefixLength: 0 }),
    'of driver 0.1',
  );
  assert(isProtectionRule({ ...rule, priority: 30569, table: 30567 }));
  assert(!isProtectionRule({ ...rule, table: 254, suppressPrefixLength: 0 }), 'of wg-quick');
  assert(!isProtectionRule({ ...rule, priority: 30568, table: 51820 }));
  assert(!isProtectionRule({ ...rule, priority: 30567, table: 254 }));
});
