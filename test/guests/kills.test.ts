/** `wgdriver serve` killed at the steps of its calls, with the kernel's WireGuard. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openLab } from '../../build/lab/index.ts';
import { failures, scenarioScript } from '../../build/lab/project.ts';
import { faultFiles } from './fault-files.ts';

const kills = Number(process.env.WGDRIVER_TEST_KILLS ?? 100);

const lab = await openLab();
after(() => lab.close());

test(`${kills} kills of serve, on the kernel’s links`, async (t) => {
  const guest = await lab.boot({ suite: 'trixie', files: faultFiles });
  const script = `export WGDRIVER_TEST_BACKEND=netlink WGDRIVER_TEST_KILLS=${kills} WGDRIVER_TEST_SPEED=4
    ${scenarioScript(['test/faults/kills.test.ts'])}`;
  const { status, output } = await guest.exec(script, { timeoutSeconds: 120 + 30 * kills });
  t.diagnostic(output);
  assert.equal(status, 0, failures(output));
  // It runs itself once more, in namespaces of its own, past the report of the first.
  assert.match(output, /^ℹ pass 1$/m);
  await guest.powerOff({ hard: true });
});
