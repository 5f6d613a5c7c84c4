import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { decodeHubConfig } from '../../src/hub/config.ts';
import { passRules, taggedRules } from '../../src/hub/docker-user.ts';
import { obstaclesOf, type SeenFirewalls } from '../../src/hub/obstacles.ts';

const config = decodeHubConfig(
  'networks: { app: { subnet: 192.168.5.0/24, seedfile: a } }\nallow: { outside: [10.1.0.0/16] }',
  'hub.yaml',
);
const none: SeenFirewalls = {
  iptables: { ipv4: undefined, ipv6: undefined },
  chains: [],
  firewalld: undefined,
};
const accepting = '-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n';
const docker = `-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -j RETURN
`;
// `iptables -S` on Debian 13 with ufw 0.36 enabled.
const ufw = readFileSync(new URL('../support/ufw.iptables', import.meta.url), 'utf8');
const seen = (ipv4: string, more: Partial<SeenFirewalls> = {}): SeenFirewalls => ({
  ...none,
  iptables: { ipv4, ipv6: accepting },
  ...more,
});
const commandsOf = (firewalls: SeenFirewalls) =>
  obstaclesOf(config, firewalls).flatMap(({ commands }) => commands);

test('nothing in the way', () => {
  assert.deepEqual(obstaclesOf(config, none), []);
  assert.deepEqual(obstaclesOf(config, seen(accepting)), []);
});

test('Docker’s drop policy, and the rules for its own chain', () => {
  const [obstacle, ...others] = obstaclesOf(config, seen(docker));
  assert.deepEqual(others, []);
  assert.match(obstacle?.what ?? '', /^Docker has set the policy of iptables’s chain FORWARD to drop$/);
  assert.deepEqual(obstacle?.commands, [
    'iptables -I DOCKER-USER -i wg0 -m comment --comment wgdriver-hub-wg0 -j ACCEPT',
    'iptables -I DOCKER-USER -o wg0 -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment wgdriver-hub-wg0 -j ACCEPT',
    'iptables -I DOCKER-USER -s 10.1.0.0/16 -o wg0 -m comment --comment wgdriver-hub-wg0 -j ACCEPT',
  ]);
  assert.match(obstacle.instead ?? '', /firewall: docker-user/);
  // Each rule that is missing, and no other.
  let list = docker;
  for (const command of obstacle.commands) {
    assert(commandsOf(seen(list)).includes(command));
    list += `${command.replace('iptables -I', '-A')}\n`;
    assert(!commandsOf(seen(list)).includes(command));
  }
  assert.deepEqual(obstaclesOf(config, seen(list)), []);
});

test('a family that only clients have is forwarded, too', () => {
  const clients = decodeHubConfig(
    `clients: { pc: { address: [10.8.0.2, 'fd99::2'], publickey: ${Buffer.alloc(32, 1).toString('base64')} } }`,
    'hub.yaml',
  );
  const found = obstaclesOf(clients, { ...none, iptables: { ipv4: docker, ipv6: docker } });
  assert.deepEqual(
    found.map(({ what }) => what),
    ['iptables', 'ip6tables'].map(
      (program) => `Docker has set the policy of ${program}’s chain FORWARD to drop`,
    ),
  );
});

test('rules of somebody’s own that let pass as much or more, and those that do not', () => {
  const left = (...rules: string[]) =>
    commandsOf(seen(`${docker}${rules.map((rule) => `-A ${rule}\n`).join('')}`)).length;
  assert.equal(left('DOCKER-USER -i wg0 -j ACCEPT', 'FORWARD -o wg0 -j ACCEPT'), 0);
  assert.equal(
    left('FORWARD -m state --state RELATED,ESTABLISHED,UNTRACKED -j ACCEPT', 'FORWARD -i wg0 -j ACCEPT'),
    1,
  );
  assert.equal(left('FORWARD -s 10.0.0.0/8 -o wg0 -m comment --comment "a b" -j ACCEPT'), 2);
  assert.equal(
    left(
      'FORWARD -i wg0 -p tcp -j ACCEPT',
      'FORWARD -i wg0 -d 10.0.0.0/8 -j ACCEPT',
      'FORWARD ! -i wg0 -j ACCEPT',
      'FORWARD -i wg0 -j DROP',
      'FORWARD -o wg0 -m conntrack --ctstate NEW -j ACCEPT',
      'DOCKER -o wg0 -j ACCEPT',
    ),
    3,
  );
});

test('everybody from outside: the rules as a list has them, without a source', () => {
  const open = decodeHubConfig(
    `networks: { app: { subnet: 192.168.5.0/24, seedfile: a, ipv6: "fd12::/64" } }
allow: { outside: [0.0.0.0/0, "::/0"] }`,
    'hub.yaml',
  );
  const rules = passRules(open).map(({ family, words }) => `${family} ${words.slice(0, 3).join(' ')}`);
  assert.deepEqual(rules.slice(2), ['ipv4 -o wg0 -m', 'ipv6 -i wg0 -m', 'ipv6 -o wg0 -m', 'ipv6 -o wg0 -m']);
  const iptables = { ipv4: ufw, ipv6: ufw.replaceAll('ufw-', 'ufw6-') };
  assert.deepEqual(
    obstaclesOf(open, { ...none, iptables }).flatMap(({ commands }) => commands),
    [
      'ufw route allow in on wg0',
      'ufw route allow out on wg0 from 0.0.0.0/0',
      'ufw route allow out on wg0 from ::/0',
      'ufw allow 51820/udp',
    ],
  );
});

test('the port: by its protocol, in lists and in ranges', () => {
  const isOpen = (...rules: string[]) =>
    commandsOf(
      seen(
        `-P INPUT DROP\n-P FORWARD ACCEPT\n${rules.map((rule) => `-A INPUT ${rule} -j ACCEPT\n`).join('')}`,
      ),
    ).length === 0;
  for (const rule of [
    '-p udp -m udp --dport 51820',
    '-i eth0 -p udp -m udp --dport 51820',
    '-p udp -m multiport --dports 53,51820',
    '-p udp -m udp --dport 50000:60000',
    '-p udp -m multiport --dports 53,51000:52000',
    '-p udp',
  ]) {
    assert(isOpen(rule), rule);
  }
  for (const rule of [
    '-p tcp -m tcp --dport 51820',
    '-p udp -m udp --dport 5182',
    '-p udp -m udp --sport 51820',
    '-p udp -m udp --dport 51821:60000',
    '-i lo',
  ]) {
    assert(!isOpen(rule), rule);
  }
  // Chains that INPUT leads it to, and those that it does not.
  const policy = '-P INPUT DROP\n-P FORWARD ACCEPT\n';
  for (const [rules, isReached] of [
    ['-A INPUT -p udp -m conntrack --ctstate NEW -j UDP\n-A UDP -p udp -m udp --dport 51820 -j ACCEPT', true],
    ['-A INPUT -g ONE\n-A ONE -p udp -j TWO\n-A TWO -j ACCEPT', true],
    ['-A INPUT -i br0 -j BRIDGE\n-A BRIDGE -j ACCEPT', false],
    ['-A INPUT -p tcp -j TCP\n-A TCP -j ACCEPT', false],
    ['-A INPUT -m conntrack --ctstate ESTABLISHED -j OLD\n-A OLD -j ACCEPT', false],
    ['-A OUTPUT -j SENT\n-A SENT -j ACCEPT', false],
  ] as const) {
    assert.equal(commandsOf(seen(`${policy}${rules}\n`)).length === 0, isReached, rules);
  }
});

test('ufw, for what is forwarded and for the port', () => {
  assert.deepEqual(commandsOf(seen(ufw)), [
    'ufw route allow in on wg0',
    'ufw route allow out on wg0 from 10.1.0.0/16',
    'ufw allow 51820/udp',
  ]);
  // It has one command for both families.
  const ofBoth = decodeHubConfig(
    'networks: { app: { subnet: 192.168.5.0/24, seedfile: a, ipv6: "fd12::/64" } }',
    'hub.yaml',
  );
  const iptables = { ipv4: ufw, ipv6: ufw.replaceAll('ufw-', 'ufw6-') };
  assert.deepEqual(
    obstaclesOf(ofBoth, { ...none, iptables }).flatMap(({ commands }) => commands),
    ['ufw route allow in on wg0', 'ufw allow 51820/udp'],
  );
  const half = `${ufw}-A ufw-user-input -p udp -m udp --dport 51820 -j ACCEPT
-A ufw-user-forward -i wg0 -j ACCEPT
`;
  assert.deepEqual(commandsOf(seen(half)), ['ufw route allow out on wg0 from 10.1.0.0/16']);
  const mended = `${half}-A ufw-user-forward -s 10.1.0.0/16 -o wg0 -j ACCEPT\n`;
  assert.deepEqual(commandsOf(seen(mended)), []);
});

test('firewalld: the link’s zone, the port in the zones it comes in by, and what may come from outside', () => {
  const zone = { name: 'public', ports: '', services: 'dhcpv6-client ssh' };
  const commands = (firewalld: SeenFirewalls['firewalld']) => commandsOf({ ...none, firewalld });
  const closed = { linkZone: undefined, zones: [zone], policyRules: undefined };
  const trust = 'firewall-cmd --permanent --zone=trusted --add-interface=wg0';
  const port = 'firewall-cmd --permanent --zone=public --add-port=51820/udp';
  const policy = 'firewall-cmd --permanent --policy=wgdriver-hub';
  const outside = [
    'firewall-cmd --permanent --new-policy=wgdriver-hub',
    `${policy} --add-ingress-zone=ANY`,
    `${policy} --add-egress-zone=trusted`,
    `${policy} --add-rich-rule='rule family="ipv4" source address="10.1.0.0/16" accept'`,
  ];
  const reload = 'firewall-cmd --reload';
  assert.deepEqual(commands(closed), [trust, port, ...outside, reload]);
  assert.deepEqual(commands({ ...closed, linkZone: 'trusted' }), [port, ...outside, reload]);
  const rule = 'rule family="ipv4" source address="10.1.0.0/16" accept';
  assert.deepEqual(commands({ ...closed, policyRules: rule }), [trust, port, reload]);
  assert.deepEqual(commands({ ...closed, policyRules: '' }), [trust, port, outside[3], reload]);
  for (const open of [
    { ports: '80/tcp 51820/udp' },
    { ports: '51000-52000/udp' },
    { services: 'ssh wireguard' },
  ]) {
    assert.deepEqual(commands({ linkZone: 'trusted', zones: [{ ...zone, ...open }], policyRules: rule }), []);
  }
  assert.deepEqual(
    commands({ linkZone: 'trusted', zones: [{ ...zone, ports: '51820/tcp 5182/udp' }], policyRules: rule }),
    [port, reload],
  );
});

test('a policy of iptables or of a table of nftables by somebody’s own hand', () => {
  assert.deepEqual(commandsOf(seen('-P INPUT ACCEPT\n-P FORWARD DROP\n')).length, 3);
  const chain = { family: 'inet', table: 'mine', name: 'fw', hook: 'forward', policy: 'drop' };
  const input = { ...chain, name: 'in', hook: 'input' };
  const ours = { ...chain, table: 'wgdriver-hub-wg0' };
  const byIptables = { ...chain, family: 'ip', table: 'filter', name: 'FORWARD' };
  assert.deepEqual(commandsOf(seen(accepting, { chains: [chain, input, ours, byIptables] })), [
    'nft insert rule inet mine fw iifname "wg0" accept',
    'nft insert rule inet mine fw oifname "wg0" ct state established,related accept',
    'nft insert rule inet mine in udp dport 51820 accept',
  ]);
});

test('ours among the rules of a list', () => {
  const [first] = passRules(config);
  const list = `-N DOCKER-USER
-A DOCKER-USER ${first?.words.join(' ')}
-A DOCKER-USER -i eth0 -m comment --comment "somebody’s own" -j DROP
-A DOCKER-USER -i wg1 -m comment --comment wgdriver-hub-wg1 -j ACCEPT
-A DOCKER-USER -j RETURN
`;
  assert.deepEqual(taggedRules(list, 'wgdriver-hub-wg0'), [first?.words]);
});
