// The driver killed at the steps of each part of a shared tunnel's life, on a real engine, under a capture.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startCapture } from '../../../build/host/capture.ts';
import { sh, until } from '../../../build/host/commands.ts';
import { startDaemon, untilReady } from '../../../build/host/daemon.ts';
import { startDriver, stateFolder, wgdriver } from '../../../build/host/driver.ts';
import { testImage } from '../../../build/host/engine.ts';
import { driverName, hostForTests } from '../../../build/host/host.ts';
import { article, type Hub, withHub } from '../../../build/host/hub.ts';
import { createRandom } from '../../support/random.ts';

const host = await hostForTests();
const { docker, tryDocker } = host.engine;

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
const rounds = Number(process.env.WGDRIVER_TEST_ROUNDS ?? (isFull ? 20 : 0));
const seed = Number(process.env.WGDRIVER_TEST_SEED ?? Date.now() % 2 ** 31);
const preload = fileURLToPath(new URL('../../support/faults/preload.ts', import.meta.url));
/** Behind the provider. */
const far = '203.0.113.9';

/** What the engine says of a driver that is not there, or has just come back; and of what is done already. */
const knownRefusals =
  /got nothing \(a retry of a call that broke off\?\)|connection refused|EOF|connection reset|not known|[Nn]o such|not found|already|has the same PrivateKey/;

const title = `${rounds} kills in each part of a shared tunnel’s life: nothing leaves in clear, and all goes on`;

test(title, { skip: rounds === 0 && 'in the full run' }, async (t) => {
  t.diagnostic(`seed ${seed}`);
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-shared-kills-'));
  const settings = { tunnel: host.tunnel, name: 'provider', hop: 3, address: '10.64.0.1/24' };
  const capture = await startCapture();
  try {
    await withHub(settings, (provider) => play(provider, folder));
    const lines = capture.lines();
    assert(lines.some((line) => line.includes('10.99.3.2.51820')));
    const leaked = lines.filter((line) => /10\.77\.|203\.0\.113\.|10\.64\.0\./.test(line));
    assert.deepEqual(leaked.slice(0, 5), []);
  } finally {
    await capture.stop();
    await rm(folder, { recursive: true });
  }
});

async function play(provider: Hub, folder: string): Promise<void> {
  const random = createRandom(seed);
  await provider.configure(`--seed=${article.seed}`, '--peers=1', '10.64.0.0/24');
  await provider.exec('ip', 'address', 'add', `${far}/32`, 'dev', 'lo');

  /** A network with a customer’s file. @returns the arguments that create it */
  async function networkWith(name: string, n: number, endpoint = provider.endpoint): Promise<string[]> {
    const [privateKey = '', publicKey = ''] = (
      await sh('key=$(wg genkey); echo "$key"; echo "$key" | wg pubkey')
    ).split('\n');
    await provider.exec('wg', 'set', 'wg-provider', 'peer', publicKey, 'allowed-ips', `10.64.0.${n}/32`);
    const path = join(folder, name);
    const text = `[Interface]\nPrivateKey = ${privateKey}\nAddress = 10.64.0.${n}/32\n[Peer]\nPublicKey = ${provider.publicKey}
AllowedIPs = 0.0.0.0/0\nEndpoint = ${endpoint}\nPersistentKeepalive = 25\n`;
    await writeFile(path, text, { mode: 0o600 });
    return [
      ...['network', 'create', '-d', driverName, '-o', `io.bestov.wg.conffile=${path}`],
      ...[`--subnet=10.77.${n}.0/24`, name],
    ];
  }
  const start = (name: string, network: string) => [
    ...['run', '-d', '--name', name, '--network', network, '--stop-signal=KILL'],
    ...[testImage, 'sleep', '100000'],
  ];
  const cannotPing = async (name: string) =>
    assert.notEqual((await tryDocker('exec', name, 'ping', '-c', '1', '-W', '1', far)).status, 0);

  // One that runs all the time, with another network as well; and one whose provider is not there.
  await docker(...(await networkWith('steady', 7)));
  await docker(...start('steady', 'steady'));
  await docker('network', 'create', '--subnet=172.30.7.0/24', 'other');
  await docker('network', 'connect', 'other', 'steady');
  await docker(...(await networkWith('never', 9, '10.99.3.77:51820')));
  await docker(...start('never', 'never'));
  await host.ping('steady', far);
  await cannotPing('never');

  const control = join(folder, 'fault');
  let armed = 0;
  async function arm(step: number): Promise<void> {
    armed += 1;
    await rm(`${control}.steps`, { force: true });
    await writeFile(control, `kill ${step} ${armed}`);
  }
  const startFaulty = async () => {
    await rm(control, { force: true });
    const args = ['--import', preload, wgdriver, 'serve', '--log-level=debug', '--backend'];
    host.driver = startDaemon(process.execPath, [...args, host.tunnel.backend], {
      WGDRIVER_TEST_FAULT: control,
    });
    await untilReady(host.driver, 'wgdriver serves', () => host.driver.output().includes(' serving '));
  };

  const create = await networkWith('late', 8);
  const life: readonly (readonly [command: readonly string[], isUp: boolean])[] = [
    [create, false],
    [start('first', 'late'), true],
    [start('second', 'late'), true],
    [['restart', '--time=0', 'first'], true],
    [['rm', '-f', 'second'], true],
    [['network', 'disconnect', 'late', 'first'], false],
    [['network', 'connect', 'late', 'first'], true],
    [['rm', '-f', 'first'], false],
    [['network', 'rm', 'late'], false],
  ];
  /** How many steps each takes. */
  const counts: number[] = [];

  /** @param at the step to die at; 0 is none */
  async function live(index: number, at: number): Promise<void> {
    const [command, isUp] = life[index] ?? assert.fail();
    await arm(at);
    const { driver } = host;
    let isOver = false;
    const outcome = tryDocker(...command).finally(() => {
      isOver = true;
    });
    await until('it is done, or the driver has died', () => isOver || driver.hasEnded, 120_000);
    if (at === 0) {
      counts[index] = Number(await readFile(`${control}.steps`, 'utf8'));
    }
    // Its steps may have been fewer this time.
    await driver.stop('SIGKILL');
    await cannotPing('never');
    await startFaulty();
    // A network that the engine lost is in the way of one with its file until the driver has looked twice.
    const deadline = performance.now() + 120_000;
    for (let { status, stderr } = await outcome; status !== 0; ) {
      assert.match(stderr, knownRefusals);
      if (/already|[Nn]o such|not found/.test(stderr) && command[0] !== 'run') {
        break;
      }
      assert(performance.now() < deadline, stderr);
      await sleep(1000);
      // Of a start that failed the container is there.
      await (command[0] === 'run' ? tryDocker('rm', '-f', command[3] ?? '') : Promise.resolve());
      ({ status, stderr } = await tryDocker(...command));
    }
    await host.ping('steady', far);
    if (isUp) {
      await host.ping('first', far);
    }
  }

  await host.driver.stop('SIGKILL');
  await startFaulty();
  for (let round = 0; round <= rounds; round++) {
    for (const index of life.keys()) {
      const count = counts[index] ?? 1;
      // First with all done but the answer: the engine asks again, and not for the same network.
      const at = round === 0 ? 0 : round === 1 ? count - 1 : 1 + random.below(count);
      await live(index, at).catch((error: Error) => {
        const what = life[index]?.[0].join(' ');
        throw new Error(`${what}, killed at step ${at}: ${error.message}\n${host.driver.output()}`);
      });
    }
  }

  // The process that holds the tunnel is lost, and the driver dies while it makes up for that.
  const id = await docker('network', 'inspect', '--format={{.Id}}', 'steady');
  for (let round = 0; round < 2 * rounds; round++) {
    const { driver } = host;
    await arm(1 + random.below(40));
    await sh(
      'kill -9 $(basename -a $(dirname $(grep -lz "=shared tunnel of network $1" /proc/[0-9]*/environ)))',
      id,
    );
    await until(
      'it has died of it, or healed',
      () => driver.hasEnded || /has been restored/.test(driver.output()),
    );
    await driver.stop('SIGKILL');
    await startFaulty();
    await host.ping('steady', far);
  }
  await host.driver.stop('SIGKILL');
  host.driver = await startDriver('--backend', host.tunnel.backend);
  await until(
    'networks that the engine lost are forgotten',
    async () =>
      (await readdir(join(stateFolder, 'networks'))).filter((name) => name.endsWith('.json')).length === 2,
    120_000,
  );
}
