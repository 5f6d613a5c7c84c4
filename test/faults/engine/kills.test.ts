import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { run, sh } from '../../../build/host/commands.ts';
import { startDriver } from '../../../build/host/driver.ts';
import { testImage } from '../../../build/host/engine.ts';
import { hostForTests } from '../../../build/host/host.ts';
import { unjoinedEndpointFiles } from '../../../build/host/state.ts';
import { expectNoTraceSince, takeTraces } from '../../../build/host/traces.ts';
import { createRandom } from '../../support/random.ts';

const host = await hostForTests();

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
const kills = Number(process.env.WGDRIVER_TEST_KILLS ?? (isFull ? 100 : 8));
const seed = Number(process.env.WGDRIVER_TEST_SEED ?? Date.now() % 2 ** 31);

/** What a user may be told of a driver that is not there, or has just come back. */
const knownRefusals =
  /got nothing \(a retry of a call that broke off\?\)|connection refused|no such file or directory|EOF|connection reset|endpoint [0-9a-f]+ is not known in network/;

test(`${kills} kills at random moments while containers come and go: nothing is lost, nothing is left`, async (t) => {
  t.diagnostic(`seed ${seed}`);
  const random = createRandom(seed);
  await host.createNetwork('wgnet');
  await host.startContainer('steady', '--network=wgnet');
  await host.ping('steady', host.hub.address);
  await sh('ip link add wgdf00f00f00f0 type bridge');
  const traces = await takeTraces();

  let isOver = false;
  const outcomes = { started: 0, refused: 0 };
  async function churn(worker: number): Promise<void> {
    for (let count = 0; !isOver; count++) {
      const name = `c${worker}-${count}`;
      const { status, stderr } = await host.engine.tryDocker(
        ...['run', '-d', '--name', name, '--network=wgnet', testImage, 'sleep', '100000'],
      );
      outcomes[status === 0 ? 'started' : 'refused'] += 1;
      if (status !== 0) {
        assert.match(stderr, knownRefusals);
      }
      await host.engine.docker('rm', '-f', name);
    }
  }
  const churning = Promise.all([churn(1), churn(2)]);
  for (let count = 0; count < kills; count++) {
    await Promise.race([churning, sleep(random.below(1200))]);
    await host.driver.stop('SIGKILL');
    host.driver = await startDriver('--backend', host.tunnel.backend);
    await host.engine.docker('exec', 'steady', 'ping', '-c', '1', '-W', '5', host.hub.address);
  }
  isOver = true;
  await churning;
  t.diagnostic(`${outcomes.started} containers started, ${outcomes.refused} refused`);

  // What the last lives left is found at a start, or ten seconds later.
  await host.driver.stop('SIGKILL');
  host.driver = await startDriver('--backend', host.tunnel.backend);
  // An endpoint whose Join and deletion both met a dead driver is kept for five minutes (reconcile.ts).
  const unjoined = await unjoinedEndpointFiles('/var/lib/wgdriver');
  t.diagnostic(`${unjoined.length} endpoints that were never joined`);
  await expectNoTraceSince({ ...traces, state: [...traces.state, ...unjoined] }).catch((error) => {
    throw new Error(`${(error as Error).message}\n${host.driver.output()}`);
  });
  assert.match(await run('ip', ['-brief', 'link', 'show']), /^wgdf00f00f00f0/m);
  await sh('ip link delete wgdf00f00f00f0');
  await host.startContainer('last', '--network=wgnet');
  await host.ping('last', host.hub.address);
  await host.ping('steady', host.hub.address);
});
