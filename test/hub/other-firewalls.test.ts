import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readFirewalls } from '../../src/hub/other-firewalls.ts';

const path = process.env.PATH;
const folder = mkdtempSync(join(tmpdir(), 'wgdriver-firewalls-'));
after(() => {
  process.env.PATH = path;
  rmSync(folder, { recursive: true });
});

const standIn = (name: string, script: string) =>
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });

test('a firewalld that does not answer yet is told apart from one that does not run', async () => {
  process.env.PATH = folder;
  for (const program of ['iptables', 'ip6tables', 'nft']) {
    standIn(program, 'exit 1');
  }
  // As of firewalld 1.3 and systemd 252.
  standIn('firewall-cmd', 'echo "not running" >&2; exit 252');
  for (const [state, expected] of [
    ['activating', 'starting'],
    ['active', 'starting'],
    ['inactive', undefined],
    ['failed', undefined],
  ] as const) {
    standIn('systemctl', `echo ${state}`);
    assert.equal((await readFirewalls('wg0', [])).firewalld, expected, state);
  }
  standIn('systemctl', 'exit 1');
  assert.equal((await readFirewalls('wg0', [])).firewalld, undefined, 'no systemd');
});
