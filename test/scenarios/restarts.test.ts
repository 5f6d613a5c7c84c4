import assert from 'node:assert/strict';
import { access, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { attempt, run, until } from '../../build/host/commands.ts';
import { pluginSocket, startDriver, wgdriver } from '../../build/host/driver.ts';
import { hostForTests } from '../../build/host/host.ts';
import { inFullRun } from '../../build/host/scenarios.ts';

const host = await hostForTests();

test('tunnels stay up while the driver is away, and everything goes on when it is back', async () => {
  await host.createNetwork('wgnet');
  await host.startContainer('one', '--network=wgnet');
  await host.ping('one', host.hub.address);

  assert.equal(await host.driver.stop(), 0);
  await host.ping('one', host.hub.address);
  await assert.rejects(access(pluginSocket), 'the socket is unlinked');

  host.driver = await startDriver('--backend', host.tunnel.backend);
  await host.ping('one', host.hub.address);
  await host.startContainer('two', '--network=wgnet');
  await host.ping('two', '192.168.5.2');
});

// As test/commands/serve.test.ts has it, without an engine.
test('a second driver on the same socket is refused', { skip: inFullRun }, async () => {
  await assert.rejects(startDriver('--backend', host.tunnel.backend), /another process answers on it/);
});

test('the engine killed and started again: containers can be started, and no link is left', {
  // live-restore.test.ts kills one too, and moby.test.ts kills one with the driver.
  skip: inFullRun,
}, async () => {
  await host.createNetwork('wgnet');
  await host.startContainer('one', '--network=wgnet');
  await host.engine.stop('SIGKILL');
  await host.engine.start();
  await host.engine.docker('restart', '-t', '0', 'one');
  await host.ping('one', host.hub.address);
});

test('the engine stopped and started again: restart=always brings the container and its tunnel back', async () => {
  await host.createNetwork('wgnet');
  await host.startContainer('one', '--network=wgnet', '--restart=always');
  await host.engine.stop();
  await host.engine.start();
  await host.ping('one', host.hub.address);
});

test('the engine boots without the driver: the log and doctor name five restart=always containers, and what to run', {
  // The engine tries each of them for 15 s.
  skip: inFullRun,
}, async () => {
  const { docker } = host.engine;
  const names = ['one', 'two', 'three', 'four', 'five'];
  await host.createNetwork('wgnet');
  for (const name of names) {
    await host.startContainer(name, '--network=wgnet', '--restart=always');
  }
  await host.engine.stop();
  await host.driver.stop();
  await host.engine.start();
  const running = async () => (await docker('ps', '-q')).split('\n').filter(Boolean).length;
  await until(
    'the engine to have tried all',
    async () =>
      (await docker('inspect', '--format={{.State.Error}}', ...names))
        .split('\n')
        .every((error) => error !== ''),
    300_000,
  );
  assert.equal(await running(), 0);

  host.driver = await startDriver('--backend', host.tunnel.backend);
  const told = /containers did not start because their network was not ready.* run="docker start ([^"]+)"/;
  await until('the log names them', () => told.test(host.driver.output()), 120_000);
  const [, inLog = ''] = told.exec(host.driver.output()) ?? [];
  assert.deepEqual(inLog.split(' ').sort(), names.toSorted());
  const { stdout } = await attempt(wgdriver, ['doctor', '--json']);
  const { checks } = JSON.parse(stdout) as { checks: { name: string; cause: string; fix?: string }[] };
  const { fix = '', cause } = checks.find(({ name }) => name === 'stopped') ?? assert.fail(stdout);
  assert.deepEqual(/^`docker start (.+)`$/.exec(fix)?.[1]?.split(' ').sort(), names.toSorted(), cause);

  // On a busy machine engine 20.10 says of one or another that its task exists already, and starts it the next time.
  await until(
    'all to run',
    async () => {
      await host.engine.tryDocker('start', ...inLog.split(' '));
      return (await running()) === names.length;
    },
    180_000,
  );
  await Promise.all(names.map((name) => host.ping(name, host.hub.address)));
});

const [hubAddress = '', hubPort = ''] = host.hub.endpoint.split(':');

/** Has a test say where a name leads. A driver remembers where one led, so each test has its own. */
async function withHubNamed(
  hubName: string,
  use: (name: (address?: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const name = (address?: string) =>
    writeFile('/run/hosts', `127.0.0.1 localhost\n${address === undefined ? '' : `${address} ${hubName}\n`}`);
  await name();
  await run('mount', ['--bind', '/run/hosts', '/etc/hosts']);
  try {
    await use(name);
  } finally {
    await run('umount', ['/etc/hosts']);
  }
}

test(
  'restart=always and a hub’s name gone for 20 s: the container runs, also after the engine started again',
  {
    skip: inFullRun,
  },
  () =>
    withHubNamed('leaving.invalid', async (nameHub) => {
      const { docker } = host.engine;
      await nameHub(hubAddress);
      await host.createNetwork('wgnet', { options: { peer: `leaving.invalid:${hubPort}` } });
      await host.startContainer('one', '--network=wgnet', '--restart=always');
      await host.ping('one', host.hub.address);
      const restarts = {
        'the container': () => docker('restart', '-t', '0', 'one'),
        'the engine': async () => {
          await host.engine.stop();
          await host.engine.start();
        },
      };
      for (const [what, restart] of Object.entries(restarts)) {
        await nameHub();
        // Another driver does not know where the name led.
        await host.driver.stop();
        host.driver = await startDriver('--backend', host.tunnel.backend);
        await restart();
        const isRunning = async () =>
          (await docker('inspect', '--format={{.State.Running}}', 'one')).trim() === 'true';
        await until(`one to run after a restart of ${what}`, isRunning, 120_000);
        const hasEndpoint = async () => !(await host.wgShow('one', 'endpoints')).endsWith('(none)');
        assert(!(await hasEndpoint()), what);
        await setTimeout(20_000);
        assert(await isRunning(), what);
        await nameHub(hubAddress);
        await until(`its endpoint after a restart of ${what}`, hasEndpoint, 60_000);
        await host.ping('one', host.hub.address);
      }
    }),
);

test(
  'a hub that moves to another address of its name: the container is back when its name was looked up',
  {
    // Names are looked up every 30 s.
    skip: inFullRun,
  },
  (t) =>
    withHubNamed('moving.invalid', async (nameHub) => {
      const move = (address: string) =>
        host.hub.exec(
          'sh',
          '-euc',
          'ip address flush dev eth0; ip address add "$1/24" dev eth0',
          'sh',
          address,
        );
      await nameHub(hubAddress);
      await host.createNetwork('wgnet', { options: { peer: `moving.invalid:${hubPort}` } });
      await host.startContainer('one', '--network=wgnet');
      await host.ping('one', host.hub.address);
      const other = hubAddress.replace(/\d+$/, '7');
      try {
        await move(other);
        await nameHub(other);
        const started = performance.now();
        const isBack = async () =>
          (await host.engine.tryDocker('exec', 'one', 'ping', '-c1', '-W1', host.hub.address)).status === 0;
        // 30 s, and what a busy machine takes.
        await until('the hub to answer at its new address', isBack, 90_000);
        t.diagnostic(`back after ${((performance.now() - started) / 1000).toFixed(1)} s`);
        assert.equal((await host.wgShow('one', 'endpoints')).split('\t')[1], `${other}:${hubPort}`);
      } finally {
        await move(hubAddress);
      }
    }),
);

test('a hub’s name that does not resolve: the container starts, and has its tunnel once it does', async () => {
  const [address, port] = host.hub.endpoint.split(':');
  await host.createNetwork('wgnet', { options: { peer: `hub.invalid:${port}` } });
  await host.startContainer('one', '--network=wgnet');
  assert.match(await host.wgShow('one', 'endpoints'), /\(none\)$/);

  await writeFile('/run/hosts', `127.0.0.1 localhost\n${address} hub.invalid\n`);
  await run('mount', ['--bind', '/run/hosts', '/etc/hosts']);
  try {
    const started = performance.now();
    while ((await host.wgShow('one', 'endpoints')).endsWith('(none)')) {
      assert(performance.now() - started < 30_000, 'it has its endpoint within 10 s, on an idle machine');
      await setTimeout(200);
    }
    await host.ping('one', host.hub.address);
  } finally {
    await run('umount', ['/etc/hosts']);
  }
});
