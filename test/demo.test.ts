import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { attempt } from './host/commands.ts';

const canRun = process.getuid?.() === 0 && existsSync('/etc/debian_version');
if (!canRun && process.env.CI === 'true') {
  throw new Error('with CI=true nothing is skipped: the demo needs root, and Debian’s packages');
}

test('npm run demo: both pings are answered, and it comes to its end', { skip: !canRun }, async () => {
  // With any Node, as a user has it.
  const { status, stdout, stderr } = await attempt(process.execPath, ['build/run.mjs', 'demo']);
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.equal(stdout.match(/ 0% packet loss/g)?.length, 2, stdout);
  assert.match(stdout, /100% packet loss/);
  assert.match(stdout, /^Done in /m);
});
