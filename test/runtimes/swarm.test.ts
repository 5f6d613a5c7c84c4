// The Swarm examples as their READMEs say, on a Swarm of this machine alone; test/guests/swarm.test.ts has several nodes.
import assert from 'node:assert/strict';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { run, sh, until } from '../../build/host/commands.ts';
import { programsOfExamples } from '../../build/host/compose.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { askEngine, type Engine, importTestImage, startEngine, testImage } from '../../build/host/engine.ts';
import { pingFrom } from '../../build/host/host.ts';
import { article, type Hub, startHub } from '../../build/host/hub.ts';
import { managedPlugin, pluginFolderFor, pluginMounts } from '../../build/host/plugin.ts';
import { endpointFiles } from '../../build/host/state.ts';
import { findTunnel } from '../../build/host/tunnel.ts';

const [secrets, state] = pluginMounts;
const replicas = 6;
let engine: Engine;
let hub: Hub;

before(async () => {
  const tunnel = await findTunnel();
  engine = await startEngine();
  await importTestImage(engine, programsOfExamples(tunnel));
  hub = await startHub({ tunnel });
  await hub.configure(`--seed=${article.seed}`, article.subnet);
  await mkdir(secrets);
  await mkdir(state);
  await writeFile(join(secrets, 'app.seed'), article.seed, { mode: 0o600 });
  await engine.docker('plugin', 'create', managedPlugin, await pluginFolderFor(tunnel));
  await engine.docker('swarm', 'init', '--advertise-addr=10.99.0.1');
});
after(async () => {
  await engine.docker('swarm', 'leave', '--force');
  await engine.docker('plugin', 'rm', '-f', managedPlugin);
  await engine.stop();
  await hub.close();
  await Promise.all(pluginMounts.map((mount) => rm(mount, { recursive: true })));
});
beforeEach(() => engine.tryDocker('plugin', 'disable', managedPlugin));

/** Runs a command in an example's folder, as its README has it. */
const inExample = (name: string, ...command: string[]) =>
  run('sh', ['-c', 'cd "$1" && shift && exec "$@"', 'sh', resolve('compose-examples', name), ...command], {
    APP_IMAGE: testImage,
    HUB: hub.endpoint,
    HUB_PUBLIC_KEY: hub.publicKey,
  });

async function setScope(scope: string): Promise<void> {
  await engine.docker('plugin', 'set', managedPlugin, `WGDRIVER_SCOPE=${scope}`);
  await engine.docker('plugin', 'enable', managedPlugin);
}

/** The containers that run, by their identifiers. */
const running = async () =>
  ((await askEngine('GET', '/containers/json')) as { Id: string }[]).map(({ Id }) => Id);

/** The engine refuses to remove a network while tasks are on it. */
const untilRemoved = (network: string) =>
  until('the network is gone', () =>
    askEngine('DELETE', `/networks/${network}`).then(
      () => true,
      () => false,
    ),
  );

/** The containers of the stack, once all of them run and have reached the hub, and their addresses. */
async function reached(): Promise<string[]> {
  let containers: string[] = [];
  await until('all tasks run', async () => {
    containers = await running();
    return containers.length === replicas;
  });
  return Promise.all(
    containers.map(async (container) => {
      await pingFrom(container, hub.address);
      const shown = await engine.docker('exec', container, 'ip', '-4', '-o', 'address', 'show', 'wg0');
      return /inet (\S+)\/24/.exec(shown)?.[1] ?? shown;
    }),
  );
}

/** Each replica finds all others by the service's name, and one reaches them all, through the hub. */
async function expectNeighbours(addresses: readonly string[]): Promise<void> {
  const [container = ''] = await running();
  const found = await engine.docker('exec', container, 'nslookup', 'web', '127.0.0.11');
  for (const address of addresses) {
    assert.match(found, new RegExp(`^Address: ${address.replaceAll('.', '\\.')}$`, 'm'));
    await pingFrom(container, address);
  }
  assert.match(await engine.docker('exec', container, 'ls', '/sys/class/net'), /^lo\s+wg0$/);
}

/** The stack is gone, and so are its links and all that the driver kept of it. */
async function expectNothingLeft(): Promise<void> {
  const kept = async () => [
    ...(await readdir(join(state, 'networks'))),
    ...(await endpointFiles(state)),
    ...(await sh('ip -brief link | grep "^wg" || true')).split('\n').filter(Boolean),
  ];
  await until('nothing is left', async () => (await kept()).length === 0);
}

test('swarm-global: the managers assign addresses, and the hub’s file comes from them', async () => {
  await setScope('global');
  await inExample('swarm-global', 'docker', 'stack', 'deploy', '-c', 'compose.yaml', 'app');
  const addresses = await reached();
  assert.equal(new Set(addresses).size, replicas);
  await expectNeighbours(addresses);
  const expected = await run(wgdriver, ['endpoint-config', `--seed=${article.seed}`, article.subnet]);
  assert.equal(await run(wgdriver, ['endpoint-config', '--network=app_tunnel']), expected);
  await inExample('swarm-global', 'docker', 'stack', 'rm', 'app');
  await expectNothingLeft();
});

test('swarm-global: wrong options are refused on the manager, and no task starts', async () => {
  await setScope('global');
  const create = ['network', 'create', '-d', managedPlugin, `--subnet=${article.subnet}`];
  await engine.docker(...create, '-o', 'io.bestov.wg.peer=x', 'wrong');
  await engine.docker(
    'service',
    'create',
    '--detach',
    '--name=wrong',
    '--network=wrong',
    testImage,
    'sleep',
    '1000',
  );
  await until('the manager says what is wrong', () =>
    /option io\.bestov\.wg\.peerkey is missing/.test(engine.output()),
  );
  assert.deepEqual(await running(), []);
  await engine.docker('service', 'rm', 'wrong');
  await untilRemoved('wrong');
});

test('swarm-local: each node assigns its own range, and doctor says which', async () => {
  await setScope('local');
  await inExample('swarm-local', './node.sh', hub.endpoint, hub.publicKey, '192.168.5.64/26');
  const create = ['--scope', 'swarm', '--config-from', 'wgnet-config', 'wgnet'];
  await inExample('swarm-local', 'docker', 'network', 'create', '-d', managedPlugin, ...create);
  const hubFile = await run(wgdriver, ['endpoint-config', '--network=wgnet-config']);
  await inExample('swarm-local', 'docker', 'stack', 'deploy', '-c', 'compose.yaml', 'app');
  const addresses = await reached();
  assert.equal(new Set(addresses).size, replicas);
  for (const address of addresses) {
    assert.match(address, /^192\.168\.5\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])$/);
  }
  await expectNeighbours(addresses);
  assert.equal(await run(wgdriver, ['endpoint-config', '--network=wgnet']), hubFile);
  const { checks } = JSON.parse(await run(wgdriver, ['doctor', '--json'])) as {
    checks: { name: string; status: string; cause: string }[];
  };
  const range = checks.find(({ name }) => name === 'ip-range');
  assert.deepEqual(
    [range?.status, range?.cause],
    ['pass', 'wgnet-config assigns 192.168.5.64/26 of 192.168.5.0/24'],
  );
  await inExample('swarm-local', 'docker', 'stack', 'rm', 'app');
  await untilRemoved('wgnet');
  await expectNothingLeft();
  await engine.docker('network', 'rm', 'wgnet-config');
});
