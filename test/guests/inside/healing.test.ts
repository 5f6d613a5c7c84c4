/**
 * A hundred containers of one network, and what happens to a hub and to a host in the course of time; 10 minutes of it.
 * Namespaces stand in for the containers. The driver, the hub, the names and the time are real.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { attempt, run, sh, until } from '../../../build/host/commands.ts';
import { startDriver, wgdriver } from '../../../build/host/driver.ts';
import { allowInotify } from '../../../build/host/inotify.ts';
import { startMovingHub } from '../../../build/host/moving-hub.ts';
import { startNameServer } from '../../../build/host/name-server.ts';
import { startNamespace } from '../../../build/host/namespaces.ts';
import { findTunnel } from '../../../build/host/tunnel.ts';
import type { EndpointStatus } from '../../../src/driver/status.ts';
import { enterFreshNamespace } from '../../support/fresh-namespace.ts';

const { skip } = await enterFreshNamespace('wg', 'ip');

const count = 100;
const hubHost = 'hub.example';
const keepaliveSeconds = 10;
/** A busy machine takes so much longer than what is promised. */
const busySeconds = 30;

test('a hundred containers, and a hub that moves, is away, and loses its name', { skip }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-healing-'));
  const restoreInotify = await allowInotify(count + 256);
  after(async () => {
    await restoreInotify();
    await rm(folder, { recursive: true });
  });
  const { backend } = await findTunnel();
  // A name server that says nothing, as one does whose uplink is gone, keeps whoever asks waiting for 10 s.
  let named: string | undefined;
  const nameServer = await startNameServer('127.0.0.1', () => named);
  await writeFile(join(folder, 'resolv.conf'), 'nameserver 127.0.0.1\n');
  await sh('touch /etc/resolv.conf; mount --bind "$1" /etc/resolv.conf', join(folder, 'resolv.conf'));

  const hub = await startMovingHub(folder, count + 2);
  const [first, second, third] = hub.addresses;
  const start = () => startDriver('--backend', backend, '--state-dir', join(folder, 'state'));
  let driver = await start();
  after(async () => {
    nameServer.close();
    await Promise.all([driver.stop(), hub.close()]);
  });
  named = first;
  await hub.createNetwork(hubHost, { keepalive: String(keepaliveSeconds) });

  /** All that send something: keepalives, or pings without any. */
  const heard: string[] = [];
  const startOne = async (number: number, keepalive?: string) => {
    const own = keepalive === undefined ? {} : { 'io.bestov.wg.keepalive': keepalive };
    const started = await startNamespace(number, own);
    await run('ip', ['-n', started.name, 'route', 'add', 'default', 'via', '192.168.0.1']);
    return started;
  };
  for (let number = 0; number < count - 2; number += 1) {
    heard.push((await startOne(number)).address);
  }
  const sender = await startOne(count - 2, '0');
  const idle = await startOne(count - 1, '0');
  heard.push(sender.address);
  const ping = spawn('ip', ['netns', 'exec', sender.name, 'ping', '-i', '1', '192.168.0.1'], {
    stdio: 'ignore',
  });
  after(() => ping.kill());
  t.diagnostic(`there: ${(await hub.untilHeard(heard, new Map(), 300_000)).toFixed(0)} s after the last`);

  const status = async (): Promise<readonly EndpointStatus[]> =>
    JSON.parse((await attempt(wgdriver, ['status', '--json'])).stdout);
  const endpointOf = async ({ address }: { readonly address: string }) =>
    (await status()).find(({ addresses }) => addresses.includes(address))?.hubs[0]?.endpoint;
  const healths = async () => [...new Set((await status()).map(({ health }) => health))].sort();
  /** Has something happen, and expects to hear of all of them within a time. */
  const expectBack = async (what: string, withinSeconds: number, happen: () => Promise<void>) => {
    await happen();
    const before = await hub.heard();
    const limit = withinSeconds + busySeconds;
    const seconds = await hub.untilHeard(heard, before, 1000 * limit).catch(async (error: Error) => {
      throw new Error(`${what}: ${error.message}\n${driver.output().slice(-3000)}`);
    });
    t.diagnostic(`${what}: all ${heard.length} back after ${seconds.toFixed(1)} s`);
  };
  const moveTo = async (address: string) => {
    await hub.move(address);
    named = address;
  };

  // One that sends nothing hears nothing, but knows where to.
  await sleep(35_000);
  await expectBack('the hub moves', 30 + keepaliveSeconds, () => moveTo(second));
  await until('the idle one to follow', async () => (await endpointOf(idle)) === `${second}:51820`);
  const started = performance.now();
  assert.equal((await status()).length, count);
  t.diagnostic(`status of ${count}: ${((performance.now() - started) / 1000).toFixed(1)} s`);

  await expectBack(
    'the hub moves, and the driver is killed at that moment',
    135 + 15 + keepaliveSeconds,
    async () => {
      await driver.stop('SIGKILL');
      await moveTo(first);
      driver = await start();
    },
  );
  await until('health', async () =>
    (await healths()).every((health) => health === 'ok' || health === 'idle'),
  );

  named = undefined;
  const deadSince = performance.now();
  await expectBack('address and default route move to another uplink', 2 * keepaliveSeconds, async () => {
    await sh(
      `ip address delete 10.97.0.1/24 dev up0; ip address add 10.97.0.1/24 dev up1
       ip route replace default via 10.97.0.2 dev up1`,
    );
  });
  await expectBack('a laptop that sleeps', 2 * keepaliveSeconds, async () => {
    await sh('ip link set up1 down');
    await sleep(20_000);
    await sh('ip link set up1 up; ip route replace default via 10.97.0.2 dev up1');
  });

  await expectBack('the hub comes back after 130 s', 15, async () => {
    await sh('ip -n hub link set eth0 down; ip -n hub link set wg0 down');
    await sleep(130_000);
    await sh(
      'ip -n hub link set wg0 up; ip -n hub link set eth0 up; ip -n hub route replace default via 10.98.0.1',
    );
  });

  // Its hub is where the name led before.
  heard.push((await startOne(count)).address);
  await expectBack('a container that starts while DNS is dead', 0, async () => {});
  await sleep(Math.max(0, 300_000 - (performance.now() - deadSince)));
  await expectBack('DNS was dead for five minutes, and the hub has moved', 30 + keepaliveSeconds, () =>
    moveTo(third),
  );
  await until('health', async () =>
    (await healths()).every((health) => health === 'ok' || health === 'idle'),
  );

  // As after a boot in which DNS comes late: nobody knows where the name led.
  named = undefined;
  await driver.stop('SIGKILL');
  driver = await start();
  const late = await startOne(count + 1);
  t.diagnostic(`Join while a name hangs: ${(late.joinMs / 1000).toFixed(1)} s`);
  assert.equal(await endpointOf(late), undefined);
  await sleep(31_000);
  assert((await healths()).includes('no name'));
  heard.push(late.address);
  await expectBack('DNS is back, for one that has no endpoint yet', 10, async () => {
    named = third;
  });
  await until('health', async () =>
    (await healths()).every((health) => health === 'ok' || health === 'idle'),
  );
});
