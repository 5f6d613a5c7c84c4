// Real processes, one of them in a network namespace of its own.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { judgeSharers, probeSharers } from '../../src/doctor/sharers.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';

const { skip } = await enterFreshNamespace('unshare');

const container = { isPrivileged: false, capAdd: [], capDrop: [], sandboxKey: '', attachments: [], dns: [] };

test('sharers: one that is in another namespace than the container has now was left behind', {
  skip,
}, async (t) => {
  const elsewhere = spawn('unshare', ['--net', 'sh', '-c', 'echo; exec sleep 60']);
  t.after(() => elsewhere.kill());
  await once(elsewhere.stdout, 'data');
  const sharer = (name: string, pid: number | undefined) => ({ ...container, name, pid: pid ?? 0 });
  const app = {
    ...sharer('app', process.pid),
    sharers: [sharer('with', process.pid), sharer('left', elsewhere.pid), sharer('ended', 0)],
  };
  const left = await probeSharers({ containers: [app] });
  assert.deepEqual(left, [{ container: 'left', of: 'app' }]);
  const { status, cause, fix } = judgeSharers(left);
  assert.equal(status, 'warn');
  assert.match(cause, /: left \(of app\)$/);
  assert.equal(fix, '`docker restart left`');
  assert.equal(judgeSharers([]).status, 'pass');
});
