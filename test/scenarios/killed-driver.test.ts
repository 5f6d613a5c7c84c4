import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run, until } from '../../build/host/commands.ts';
import { pluginSocket, startDriver } from '../../build/host/driver.ts';
import { testImage } from '../../build/host/engine.ts';
import { hostForTests } from '../../build/host/host.ts';
import { inFullRun } from '../../build/host/scenarios.ts';
import { expectNoTraceSince, takeTraces } from '../../build/host/traces.ts';

const host = await hostForTests();
const { docker } = host.engine;
const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;

async function startAgain(): Promise<void> {
  host.driver = await startDriver('--backend', host.tunnel.backend);
}

const createOne = () => docker('create', '--name=one', '--network=wgnet', testImage, 'sleep', '100000');
const startOne = () => docker('start', 'one');
const onePings = () => host.ping('one', host.hub.address);
const runOne = async () => {
  await host.startContainer('one', '--network=wgnet');
  await onePings();
};

// The life of a network and a container; in one test, for a step costs an emulated machine seconds.
const life: readonly [state: string, reach: () => Promise<unknown>][] = [
  ['the network is created', () => host.createNetwork('wgnet')],
  ['a container is created', createOne],
  ['it runs', startOne],
  ['it is stopped', () => docker('stop', '-t', '0', 'one')],
  [
    'it is started and disconnected',
    async () => {
      await startOne();
      await onePings();
      await docker('network', 'disconnect', 'wgnet', 'one');
    },
  ],
  [
    'it is connected and removed',
    async () => {
      await docker('network', 'connect', 'wgnet', 'one');
      await onePings();
      await docker('rm', '-f', 'one');
    },
  ],
  ['the network is removed', () => docker('network', 'rm', 'wgnet')],
];

test('the driver killed and started in each state from network create to network rm: all goes on', async () => {
  const before = await takeTraces();
  for (const [state, reach] of life) {
    try {
      await reach();
      await host.driver.stop('SIGKILL');
      if (state === 'it runs') {
        // Its tunnel needs no driver.
        await onePings();
      }
      await startAgain();
    } catch (error) {
      throw new Error(`killed when ${state}`, { cause: error });
    }
  }
  await expectNoTraceSince(before);
  await host.createNetwork('wgnet');
  await runOne();
});

/** Waits until the engine has sent the driver something that it has not read. */
async function untilCalled(): Promise<void> {
  await until('the engine has called the driver', async () => {
    const sockets = await run('ss', ['-xaH', 'src', pluginSocket]);
    // Netid, state, then bytes to read, or for a listening socket connections to accept.
    return sockets.split('\n').some((line) => Number(line.trim().split(/\s+/)[2]) > 0);
  });
}

/** Kills the driver with a call in its hands, and starts it; the outcome of the command that called. */
async function killInCall<Result>(command: () => Promise<Result>): Promise<Result> {
  process.kill(host.driver.pid, 'SIGSTOP');
  const outcome = command();
  // Nobody waits for it before the driver is back.
  outcome.catch(() => {});
  await untilCalled();
  await host.driver.stop('SIGKILL');
  await startAgain();
  return outcome;
}

// The engine repeats a call that broke off, but without its body: the driver refuses that.
test('the driver killed in the middle of network create: refused, and created the next time', async () => {
  await assert.rejects(killInCall(() => host.createNetwork('wgnet')));
  await host.createNetwork('wgnet');
  await runOne();
});

test('the driver killed in the middle of a start: refused, and started the next time', async () => {
  await host.createNetwork('wgnet');
  await createOne();
  await assert.rejects(killInCall(startOne));
  await startOne();
  await onePings();
});

test('the driver killed in the middle of a removal: the container is removed, and no link is left', async () => {
  await host.createNetwork('wgnet');
  const before = await takeTraces();
  await runOne();
  await killInCall(() => docker('rm', '-f', 'one'));
  await expectNoTraceSince(before);
});

// Between the one before, which has the call in its hands, and the one after, which comes too late.
test('the driver dead when a removal begins, and started meanwhile: no link is left', {
  skip: !isFull && 'in the full run',
}, async () => {
  await host.createNetwork('wgnet');
  const before = await takeTraces();
  await runOne();
  await host.driver.stop('SIGKILL');
  const removed = docker('rm', '-f', 'one');
  await startAgain();
  await removed;
  await expectNoTraceSince(before);
});

test('the driver dead while containers are removed: addresses are free, and no link is left', {
  skip: inFullRun,
}, async () => {
  await host.createNetwork('wgnet');
  const before = await takeTraces();
  await runOne();
  // The engine gives up telling the driver after 15 s for each call, of one container after the other.
  if (isFull) {
    await host.startContainer('two', '--network=wgnet');
  }
  await host.driver.stop('SIGKILL');
  await Promise.all((isFull ? ['one', 'two'] : ['one']).map((name) => docker('rm', '-f', name)));
  await startAgain();
  // The driver still knows them. The one makes room for the next container with its address, unless it was found
  // before that, as the other is: ten seconds are not long for an emulated machine.
  await runOne();
  assert.match(await host.exec('one', 'ip', 'address', 'show', 'wg0'), /192\.168\.5\.2\/24/);
  await docker('rm', '-f', 'one');
  await expectNoTraceSince(before);
  if (isFull) {
    assert.match(host.driver.output(), /stale endpoint deleted .*its link stayed on the host/);
  }
});
