import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Survey } from '../../src/doctor/engine-survey.ts';
import { isLinkUp, judgeHubLinks } from '../../src/doctor/hub-link.ts';

const networks = [{ hublink: 'wg0' }, {}] as unknown as Survey['networks'];
const docker = '-P FORWARD DROP\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN';
const accepting = '-P FORWARD ACCEPT';

const isUp = () => true;

test('no hub on this host, nothing to look at', () => {
  const rules = { iptables: docker, ip6tables: docker };
  assert.equal(judgeHubLinks({ networks: networks.slice(1) }, rules, isUp).status, 'pass');
});

test('Docker’s drop policy, and the rules that let it pass', () => {
  const finding = judgeHubLinks({ networks }, { iptables: docker, ip6tables: accepting }, isUp);
  assert.equal(finding.status, 'warn');
  assert.equal(
    finding.fix,
    'let it pass: iptables -I DOCKER-USER -i wg0 -j ACCEPT; ' +
      'iptables -I DOCKER-USER -o wg0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
  );
  const half = `${docker}\n-A DOCKER-USER -i wg0 -j ACCEPT`;
  assert.equal(
    judgeHubLinks({ networks }, { iptables: half, ip6tables: accepting }, isUp).fix,
    'let it pass: iptables -I DOCKER-USER -o wg0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
  );
  const mended = `${half}\n-A DOCKER-USER -o wg0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`;
  assert.equal(judgeHubLinks({ networks }, { iptables: mended, ip6tables: accepting }, isUp).status, 'pass');
});

test('no drop policy, or no iptables at all', () => {
  for (const list of [accepting, undefined]) {
    assert.equal(judgeHubLinks({ networks }, { iptables: list, ip6tables: list }, isUp).status, 'pass');
  }
});

test('a link that is missing or down', () => {
  const finding = judgeHubLinks({ networks }, { iptables: docker, ip6tables: docker }, () => false);
  assert.equal(finding.status, 'fail');
  assert.match(finding.cause, /^the hub wg0 is missing, down or without an address/);
  assert.deepEqual(['lo', 'wg-nosuch'].map(isLinkUp), [true, false]);
});
