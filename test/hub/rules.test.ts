import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeHubConfig } from '../../src/hub/config.ts';
import { hubAddresses, hubFamilies, hubRoutes, hubTable, hubTableName } from '../../src/hub/rules.ts';
import { formatPrefix } from '../../src/wireguard/address.ts';

const keyOf = (n: number) => Buffer.alloc(32, n).toString('base64');
const networks = `
networks:
  app: { subnet: [192.168.5.0/24, 192.168.6.0/24], ipv6: 'fd12:3456::/64', seedfile: a }
  six: { subnet: 'fd77::/64', peers: 10, seedfile: a }`;

const rulesOf = (text: string, chain: string) =>
  hubTable(decodeHubConfig(text, 'hub.yaml'))
    .chains.find(({ name }) => name === chain)
    ?.rules.map((rule) => rule.map(({ text }) => text).join(' '));

test('the hub has an address in each subnet, and for IPv6 the one that goes with it', () => {
  assert.deepEqual(hubAddresses(decodeHubConfig(networks, 'hub.yaml')).map(formatPrefix), [
    '192.168.5.1/24',
    'fd12:3456::c0a8:501/64',
    '192.168.6.1/24',
    'fd12:3456::c0a8:601/64',
    'fd77::1/64',
  ]);
});

test('a client that is in no network, and what is behind one, have routes', () => {
  const config = decodeHubConfig(
    `${networks}
clients:
  inside: { address: 192.168.5.200, publickey: ${keyOf(1)} }
  outside: { address: [10.8.0.2, 'fd99::2'], publickey: ${keyOf(2)} }
  router: { address: 192.168.5.201, publickey: ${keyOf(3)}, allowedips: [10.7.0.0/16, 10.8.0.0/16] }`,
    'hub.yaml',
  );
  assert.deepEqual(hubRoutes(config).map(formatPrefix), [
    '10.8.0.2/32',
    'fd99::2/128',
    '10.7.0.0/16',
    '10.8.0.0/16',
  ]);
});

test('the families of networks, and of clients that are in none', () => {
  const familiesOf = (text: string) => hubFamilies(decodeHubConfig(text, 'hub.yaml'));
  const ipv4 = 'networks: { app: { subnet: 192.168.5.0/24, seedfile: a } }';
  assert.deepEqual(familiesOf(ipv4), ['ipv4']);
  assert.deepEqual(
    familiesOf(`${ipv4}\nclients: { pc: { address: [192.168.5.200, 'fd99::2'], publickey: ${keyOf(1)} } }`),
    ['ipv4', 'ipv6'],
  );
  assert.deepEqual(familiesOf(`clients: { pc: { address: 10.8.0.2, publickey: ${keyOf(1)} } }`), ['ipv4']);
});

test('unless told otherwise peers reach all, and nobody else reaches them', () => {
  assert.deepEqual(rulesOf(networks, 'forward'), [
    'ct state established,related accept',
    'iifname != "wg0" oifname "wg0" drop',
  ]);
  assert.deepEqual(rulesOf(networks, 'postrouting'), []);
});

test('containers apart, clients to some subnets, some others in', () => {
  const rules = rulesOf(
    `${networks}
clients: { laptop: { address: 192.168.5.200, publickey: ${keyOf(1)} } }
allow: { containers: false, clients: [192.168.5.0/24, 10.0.0.0/8], outside: [172.16.0.0/12] }`,
    'forward',
  );
  const [ipv4, ipv6] = [
    'iifname "wg0" meta protocol ip ip saddr 192.168.5.200/32',
    'iifname "wg0" meta protocol ip6 ip6 saddr fd12:3456::c0a8:5c8/128',
  ];
  assert.deepEqual(rules, [
    'ct state established,related accept',
    `${ipv4} meta protocol ip ip daddr 192.168.5.0/24 accept`,
    `${ipv4} meta protocol ip ip daddr 10.0.0.0/8 accept`,
    `${ipv4} drop`,
    // There is nothing that it may reach by IPv6; nft refuses a rule of two families.
    `${ipv6} drop`,
    'iifname "wg0" oifname "wg0" drop',
    'iifname != "wg0" oifname "wg0" meta protocol ip ip saddr 172.16.0.0/12 accept',
    'iifname != "wg0" oifname "wg0" drop',
  ]);
});

test('masquerading, of one family', () => {
  assert.deepEqual(rulesOf(`${networks}\nmasquerade: ipv4`, 'postrouting'), [
    'oifname != "wg0" meta protocol ip ip saddr 192.168.5.0/24 masquerade',
    'oifname != "wg0" meta protocol ip ip saddr 192.168.6.0/24 masquerade',
  ]);
  assert.deepEqual(rulesOf(`${networks}\nmasquerade: ipv6`, 'postrouting'), [
    'oifname != "wg0" meta protocol ip6 ip6 saddr fd12:3456::/64 masquerade',
    'oifname != "wg0" meta protocol ip6 ip6 saddr fd77::/64 masquerade',
  ]);
});

test('the table’s name is one that nft takes, whatever the link’s is', () => {
  assert.equal(hubTableName('wg+eu=1').name, 'wgdriver-hub-wg_eu_1');
});
