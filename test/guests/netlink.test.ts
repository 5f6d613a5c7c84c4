/**
 * Netlink with the kernel's WireGuard, in a guest: the client itself, beside `ip` and `wg`, and the
 * bundle on Node. Scenarios run with it in scenarios.test.ts.
 */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after, test } from 'node:test';
import { type GuestFiles, openLab } from '../../build/lab/index.ts';
import {
  failures,
  parseReport,
  projectFiles,
  projectFolder,
  reportFile,
  scenarioScript,
  sourceFiles,
} from '../../build/lab/project.ts';

/** The client's tests. */
const tests: GuestFiles = Object.fromEntries(
  ['test/guests/inside', 'test/driver', 'test/gateway', 'test/support'].map((path) => [
    `${projectFolder}/${path}`,
    resolve(path),
  ]),
);

const serveUntilReady = `
  /root/wgdriver/dist/wgdriver serve --socket /run/test.sock --state-dir /run/test-state >log 2>&1 &
  until grep -q ' serving ' log; do kill -0 $! || break; sleep 0.1; done
  cat log; kill $!; wait $!`;

const lab = await openLab();
after(() => lab.close());

test('netlink with the kernel’s WireGuard', async (t) => {
  const guest = await lab.boot({
    suite: 'trixie',
    cpus: 2,
    files: { ...projectFiles, ...sourceFiles, ...tests },
  });
  // Each has the guest's namespace to itself: some delete whatever links are there.
  const runs = Object.entries({ 'the client': ['netlink', 'links'], 'inner tunnels': ['inner-tunnel'] });
  for (const [what, names] of runs) {
    await t.test(what, () => runInside(names));
  }
  await t.test('the bundle, by itself', async () => {
    const { status, output } = await guest.exec(serveUntilReady);
    assert.equal(status, 0, output);
    assert.match(output, / backend netlink reason="the kernel makes WireGuard links"/);
    assert.doesNotMatch(output, /Warning/);
  });
  const skip = process.env.WGDRIVER_TEST_FULL === undefined && 'in the full run';
  for (const [what, file] of [
    ...['hub-following', 'uplinks', 'hub-uplinks'].map(
      (name) => [`hubs and uplinks that move: ${name}`, `driver/${name}`] as const,
    ),
    ['a tunnel that containers share', 'gateway/gateways'],
  ] as const) {
    await t.test(what, { skip }, async () => {
      const { status, output } = await guest.exec(`cd ${projectFolder} && node test/${file}.test.ts`, {
        timeoutSeconds: 900,
      });
      assert.equal(status, 0, output);
    });
  }
  await t.test(
    'the kill switch beside macvlan and ipvlan, which this machine may not have',
    { skip },
    async () => {
      const { status, output } = await guest.exec(
        `cd ${projectFolder} &&
        WGDRIVER_TEST_FULL=1 NODE_OPTIONS=--test-name-pattern=^beside node test/killswitch/namespaces.test.ts`,
        { timeoutSeconds: 600 },
      );
      assert.equal(status, 0, output);
      assert.match(output, /pass 3$/m, output);
    },
  );
  await guest.powerOff({ hard: true });

  async function runInside(names: readonly string[]) {
    const script = scenarioScript(names.map((name) => `test/guests/inside/${name}.test.ts`));
    const { status, output } = await guest.exec(script, { timeoutSeconds: 1200 });
    console.log(output);
    const report = parseReport((await guest.get(reportFile))[reportFile]?.toString() ?? '');
    assert.equal(status, 0, failures(output));
    assert(report.length > 0 && report.every(({ passed }) => passed));
  }
});
