import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
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
  isLinkShared: false,
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

test('the configuration of Prometheus in docs/monitoring.md', () => {
  const page = readFileSync('docs/monitoring.md', 'utf8');
  const config =
    /^ *```yaml\n(?<text>[^`]*scrape_configs:[^`]*)^ *```$/m.exec(page)?.groups?.text ?? assert.fail();
  const folder = mkdtempSync(join(tmpdir(), 'wgdriver-prometheus-'));
  const file = join(folder, 'prometheus.yml');
  writeFileSync(file, config.replace('/etc/prometheus/alerts.yml', resolve('docs/prometheus/alerts.yml')));
  try {
    const output = execFileSync('promtool', ['check', 'config', file], { encoding: 'utf8' });
    assert.match(output, /SUCCESS: 1 rule files found/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
}

// Debian has no Grafana to load it: what can be said without one is said here.
test('the dashboard of docs/prometheus: its queries are PromQL on our metrics and labels, and no panel covers another', () => {
  const { panels, templating } = JSON.parse(readFileSync('docs/prometheus/dashboard.json', 'utf8')) as {
    readonly panels: readonly Panel[];
    readonly templating: { readonly list: readonly { readonly name: string }[] };
  };
  const queries = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  const variables = templating.list.map(({ name }) => name);
  for (const [, used = ''] of queries.join(' ').matchAll(/\$(\w+)/g)) {
    assert([...variables, '__rate_interval'].includes(used), used);
  }
  // Grafana puts in its variables before it asks.
  const asked = queries.map((expr) => expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$\w+/g, '.*'));
  const rules = asked.map((expr, index) => ({ record: `r${index}`, expr }));
  const checked = spawnSync('sh', ['-c', 'cat | promtool check rules /dev/stdin'], {
    input: JSON.stringify({ groups: [{ name: 'dashboard', rules }] }),
    encoding: 'utf8',
  });
  assert.match(checked.stdout, new RegExp(`SUCCESS: ${rules.length} rules found`), checked.stderr);

  const counters = createCounters({ version: '0.1.0', runtime: 'node 26', backend: 'netlink' });
  counters.observeCall('Join', 'ok', 1);
  const text = counters.format([endpoint('a')]);
  const labels = new Set([...text.matchAll(/[{,](\w+)="/g)].map(([, label]) => label));
  for (const name of queries.flatMap((expr) => expr.match(/w(?:gdriver|ireguard)_[a-z_]+/g) ?? [])) {
    assert(text.includes(`\n${name}{`) || text.includes(`\n${name} `), name);
  }
  for (const { legendFormat } of panels.flatMap(({ targets }) => targets)) {
    for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
      // Prometheus itself says which driver it was.
      assert(labels.has(label) || label === 'instance', label);
    }
  }

  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const cells = panels.flatMap(({ gridPos: { x, y, w, h }, title }) => {
    assert(x >= 0 && x + w <= 24, title);
    return Array.from({ length: w * h }, (_, n) => `${x + (n % w)},${y + Math.floor(n / w)}`);
  });
  assert.equal(new Set(cells).size, cells.length);
});
