import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attempt } from '../../build/host/commands.ts';

test('npm run demo: both pings are answered, and it comes to its end', async () => {
  const { status, stdout, stderr } = await attempt(process.execPath, ['build/run.mjs', 'demo']);
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.equal(stdout.match(/ 0% packet loss/g)?.length, 2, stdout);
  assert.match(stdout, /100% packet loss/);
  assert.match(stdout, /^Done in /m);
});
