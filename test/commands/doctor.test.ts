import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wgdriver } from '../support/wgdriver.ts';

test('doctor --mtu without an engine says what to do', async () => {
  const { status, stderr } = await wgdriver(['doctor', '--mtu', 'app', '--docker-socket', '/nowhere']);
  assert.equal(status, 1);
  assert.equal(
    stderr,
    'wgdriver: Docker does not answer on /nowhere (ENOENT): start it, or name its socket with --docker-socket or ' +
      'DOCKER_HOST\n',
  );
});
