import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closedFamilies, isIpv6Implied, scopeOf } from '../../src/networks/scope.ts';
import { formatPrefix, prefixOf } from '../../src/wireguard/address.ts';
import { readWgQuick } from '../../src/wireguard/config/wg-quick-reader.ts';
import { articleOptions, network, peerKeyText } from '../support/networks.ts';

const closed = (...prefixes: readonly string[]) => closedFamilies(prefixes.map(prefixOf));

test('all of a family closes both, by one prefix or in parts', () => {
  for (const list of [['0.0.0.0/0'], ['::/0'], ['0.0.0.0/1', '128.0.0.0/2', '192.0.0.0/2']]) {
    assert.deepEqual(closed(...list), ['ipv4', 'ipv6']);
  }
});

test('more than half of IPv4 and nothing of IPv6 closes IPv6, and a part of either nothing', () => {
  assert.deepEqual(closed('0.0.0.0/1', '128.0.0.0/2'), ['ipv6']);
  assert.deepEqual(closed('0.0.0.0/1'), []);
  assert.deepEqual(closed('0.0.0.0/1', '128.0.0.0/2', 'fd00::/8'), []);
  assert.deepEqual(closed('10.0.0.0/8', 'fd00::/8'), []);
});

test('the scope of a network: its own IPv6 opens nothing, and --internal closes nothing but the subnet', () => {
  const most = network({
    options: { ...articleOptions, allowedips: '0.0.0.0/1,128.0.0.0/2', ipv6: 'fd12::/64' },
  });
  assert.deepEqual(scopeOf(most, {}).closed, ['ipv6']);
  assert(isIpv6Implied(most, {}));
  assert(!isIpv6Implied(network(), {}));
  const { prefixes, closed: none } = scopeOf(network({ internal: true }), {});
  assert.deepEqual([prefixes.map(formatPrefix), none], [['192.168.5.0/24'], []]);
  const excepting = network({ options: { ...articleOptions, exclude: '10.1.2.3/8' } });
  assert.deepEqual(scopeOf(excepting, {}).excluded.map(formatPrefix), ['10.0.0.0/8']);
  assert.deepEqual(scopeOf(excepting, {}).closed, ['ipv4', 'ipv6']);
});

test('a configuration file that holds most of IPv4 and nothing of IPv6 closes IPv6, as the option does', () => {
  const ofFile = network({ options: { conffile: 'app.conf' } });
  const file = (allowedIps: string) => ({
    configuration: readWgQuick(
      `[Interface]\nPrivateKey = ${peerKeyText}\n[Peer]\nPublicKey = ${peerKeyText}\nAllowedIPs = ${allowedIps}\n`,
    ),
  });
  for (const [allowedIps, closed, implied] of [
    ['0.0.0.0/1, 128.0.0.0/2', ['ipv6'], true],
    ['0.0.0.0/1, 128.0.0.0/2, fd00::/8', [], false],
    ['0.0.0.0/0', ['ipv4', 'ipv6'], false],
    ['10.0.0.0/8', [], false],
  ] as const) {
    assert.deepEqual(scopeOf(ofFile, file(allowedIps)).closed, closed, allowedIps);
    assert.equal(isIpv6Implied(ofFile, file(allowedIps)), implied, allowedIps);
  }
});

test('a configuration file that keeps nothing in the tunnel has no scope', () => {
  const ofFile = network({ options: { conffile: 'app.conf' } });
  for (const text of ['', `[Peer]\nPublicKey = ${peerKeyText}\n`]) {
    assert.throws(() => scopeOf(ofFile, { configuration: readWgQuick(text) }), /no peer has AllowedIPs/);
  }
});

test('exclude: not with --internal nor without the kill switch, and nothing of the subnet', () => {
  const excluding = (exclude: string, more: Readonly<Record<string, string>> = {}, internal = false) =>
    network({ options: { ...articleOptions, exclude, ...more }, internal });
  assert.throws(() => excluding('10.0.0.0/8', {}, true), /exclude cannot be combined with --internal/);
  assert.throws(
    () => excluding('10.0.0.0/8', { killswitch: 'off' }),
    /exclude cannot be combined with .*killswitch=off/,
  );
  for (const prefix of ['192.168.0.0/16', '192.168.5.128/25']) {
    assert.throws(() => excluding(prefix), /exclude: expected prefixes outside the network’s subnet/);
  }
  assert.throws(() => excluding('10.0.0.0'), /exclude.*expected CIDR prefixes/);
});
