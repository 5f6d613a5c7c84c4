import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { createCounters, type EndpointMetrics } from '../../src/metrics/metrics.ts';
import { parsePrefix } from '../../src/wireguard/address.ts';
import type { PublicKey } from '../../src/wireguard/key.ts';

const publicKey = '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=' as PublicKey;
const peer = {
  publicKey,
  hasPresharedKey: false,
  endpoint: undefined,
  persistentKeepaliveInterval: 0,
  lastHandshake: new Date(),
  receivedBytes: 1,
  sentBytes: Number.MAX_SAFE_INTEGER,
  allowedIps: [parsePrefix('0.0.0.0/0') ?? assert.fail()],
};
const endpoint = (container: string): EndpointMetrics => ({
  network: 'w"g\\n\net',
  container,
  address: '192.168.5.2',
  isProtected: true,
  link: { name: 'wg0', mtu: 1420, publicKey, listenPort: 0, fwmark: 0, peers: [peer] },
});

test('`promtool check metrics` has nothing to say of ours', () => {
  const counters = createCounters({ version: '0.1.0', runtime: 'node 26', backend: 'netlink' });
  for (const seconds of [0, 0.3, 100]) {
    counters.observeCall('Join', 'ok', seconds);
  }
  const text = counters.format([endpoint('a'), endpoint('b'), endpoint('b')]);
  const output = execFileSync('sh', ['-c', 'promtool check metrics 2>&1'], { input: text, encoding: 'utf8' });
  assert.equal(output, '');
  // It does look.
  const { status, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: `${text}x{ 1\n`,
    encoding: 'utf8',
  });
  assert.notEqual(status, 0);
  assert.match(stderr, /error while linting/);
});

test('the alert rules of docs/prometheus, with their own tests', () => {
  for (const args of [
    'check rules docs/prometheus/alerts.yml',
    'test rules docs/prometheus/alerts-test.yml',
  ]) {
    assert.match(execFileSync('promtool', args.split(' '), { encoding: 'utf8' }), /SUCCESS/);
  }
  const names = execFileSync('grep', ['-ohE', 'w(gdriver|ireguard)_[a-z_]+', 'docs/prometheus/alerts.yml']);
  const text = createCounters({ version: '0.1.0', runtime: 'node 26', backend: 'netlink' }).format([]);
  for (const name of String(names).trim().split('\n')) {
    assert(text.includes(`# TYPE ${name.replace(/_count$/, '')} `), name);
  }
});
