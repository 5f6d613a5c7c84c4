import assert from 'node:assert/strict';
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
  firewalldZone: undefined,
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
// Of `iptables -S` on a Debian with ufw enabled, what is looked at.
const ufw = `-P INPUT DROP
-P FORWARD DROP
-P OUTPUT ACCEPT
-N ufw-user-forward
-N ufw-user-input
-A FORWARD -j ufw-before-forward
`;
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
  const mended = `${docker}-A DOCKER-USER -i wg0 -m comment --comment wgdriver-hub-wg0 -j ACCEPT\n`;
  assert.deepEqual(obstaclesOf(config, seen(mended)), []);
});

test('ufw, for what is forwarded and for the port', () => {
  assert.deepEqual(commandsOf(seen(ufw)), [
    'ufw route allow in on wg0',
    'ufw route allow out on wg0 from 10.1.0.0/16',
    'ufw allow 51820/udp',
  ]);
  const mended = `${ufw}-A ufw-user-input -p udp -m udp --dport 51820 -j ACCEPT
-A ufw-user-forward -i wg0 -j ACCEPT
`;
  assert.deepEqual(commandsOf(seen(mended)), []);
});

test('firewalld, unless the link is trusted already', () => {
  assert.deepEqual(commandsOf({ ...none, firewalldZone: 'none' }), [
    'firewall-cmd --permanent --zone=trusted --add-interface=wg0',
    'firewall-cmd --permanent --add-port=51820/udp',
    'firewall-cmd --reload',
  ]);
  assert.deepEqual(commandsOf({ ...none, firewalldZone: 'trusted' }), []);
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
