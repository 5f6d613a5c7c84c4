// The managed plugin on a real engine, with wireguard-go where the kernel has no WireGuard.
import assert from 'node:assert/strict';
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { run, sh, until } from '../../build/host/commands.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { type Engine, importTestImage, startEngine, testImage } from '../../build/host/engine.ts';
import { pingFrom } from '../../build/host/host.ts';
import { article, type Hub, startArticleHub, tunnelIpv6 } from '../../build/host/hub.ts';
import { managedPlugin, pluginFolder, pluginFolderFor, pluginMounts } from '../../build/host/plugin.ts';
import { startRegistry } from '../../build/host/registry.ts';
import { endpointFiles } from '../../build/host/state.ts';
import { findTunnel } from '../../build/host/tunnel.ts';

const [secrets, state] = pluginMounts;
let engine: Engine;
let hub: Hub;
let folder: string;

before(async () => {
  const tunnel = await findTunnel();
  folder = await pluginFolderFor(tunnel);
  // As systemd has it from the boot on: what the engine mounts later is seen in plugins too.
  await sh('mount --make-rshared /run');
  engine = await startEngine();
  await importTestImage(engine);
  hub = await startArticleHub({ tunnel });
  await hub.exec('ip', 'address', 'add', `${tunnelIpv6.hub}/120`, 'dev', 'wg-hub');
  const scheme = [`--seed=${article.seed}`, `--additional=${article.additional}`];
  await hub.sync(...scheme, `--ipv6=${tunnelIpv6.prefix}`, article.subnet);
});
after(async () => {
  await engine.stop();
  await hub.close();
  await Promise.all(pluginMounts.map((mount) => rm(mount, { recursive: true, force: true })));
});

const plugin = (verb: string, ...words: string[]) => engine.docker('plugin', verb, ...words);
const enable = () => plugin('enable', managedPlugin);

async function ping(container: string): Promise<void> {
  for (const address of [hub.address, tunnelIpv6.hub]) {
    await pingFrom(container, address);
  }
}

/** @param seed the option that has the seed, less the prefix */
function createNetwork(seed: string): string[] {
  const options = [
    `peer=${hub.endpoint}`,
    `peerkey=${hub.publicKey}`,
    seed,
    `additional=${article.additional}`,
    `ipv6=${tunnelIpv6.prefix}`,
  ];
  return [
    ...['network', 'create', '-d', managedPlugin, `--subnet=${article.subnet}`],
    ...options.flatMap((option) => ['-o', `io.bestov.wg.${option}`]),
    'wgnet',
  ];
}

const start = (name: string) =>
  engine.docker('run', '-d', `--name=${name}`, '--network=wgnet', testImage, 'sleep', '100000');

/** The process of the driver in its plugin. */
const pluginProcess = async () => (await sh('pgrep -f "^/usr/bin/wgdriver serve" || true')) || undefined;

test('it has its executable and the libraries that this loads, and is under 130 MB', async () => {
  const files = (
    await readdir(join(pluginFolder, 'rootfs'), { recursive: true, withFileTypes: true })
  ).filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(async (file) => (await stat(join(file.parentPath, file.name))).size),
  );
  const size = sizes.reduce((sum, bytes) => sum + bytes, 0);
  assert(size < 130e6, `${size} bytes`);
  assert(files.length < 12, files.map(({ name }) => name).join(', '));
  assert.match(await run('chroot', [join(pluginFolder, 'rootfs'), '/usr/bin/wgdriver', '--version']), /^\d/);
});

test('where a mount’s source is missing, enable says which', async () => {
  await plugin('create', managedPlugin, folder);
  for (const missing of pluginMounts) {
    const { status, stderr } = await engine.tryDocker('plugin', 'enable', managedPlugin);
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`error mounting "${missing}" .* no such file or directory`));
    await mkdir(missing, { mode: 0o700 });
  }
});

test('settings have descriptions, and reach the driver', async () => {
  const inspect = async (format: string) => plugin('inspect', `--format=${format}`, managedPlugin);
  const descriptions = await inspect('{{range .Config.Env}}{{.Name}}: {{.Description}}{{println}}{{end}}');
  for (const name of ['SCOPE', 'LOG_LEVEL', 'BACKEND', 'NAME']) {
    assert.match(descriptions, new RegExp(`^WGDRIVER_${name}: [A-Z].{20}`, 'm'));
  }
  assert.equal(
    await inspect('{{json .Config.Linux.Capabilities}}'),
    '["CAP_NET_ADMIN","CAP_NET_BROADCAST","CAP_SYS_ADMIN"]',
  );
  await plugin('set', managedPlugin, 'WGDRIVER_SCOPE=global', 'WGDRIVER_LOG_LEVEL=debug');
  await enable();
  // A global driver's networks are a Swarm's.
  const { stderr } = await engine.tryDocker(...createNetwork(`seed=${article.seed}`));
  assert.match(stderr, /not a swarm manager/);
  assert.deepEqual(await readdir(join(state, 'networks')), []);
  assert.match(engine.output(), /serving socket=\/run\/docker\/plugins\/wgdriver\.sock/);
  await plugin('disable', managedPlugin);
  await plugin('set', managedPlugin, 'WGDRIVER_SCOPE=local');
  await enable();
});

test('a network with its seed in the secrets folder, and the hub’s file from it', async () => {
  const create = createNetwork('seedfile=app.seed');
  assert.match(
    (await engine.tryDocker(...create)).stderr,
    /seed file \/etc\/wgdriver\/app\.seed: there is no such file \(ENOENT\)/,
  );
  await writeFile(join(secrets, 'app.seed'), article.seed, { mode: 0o600 });
  await engine.docker(...create);
  await start('one');
  await ping('one');
  assert.match(await run(wgdriver, ['endpoint-config', '--network=wgnet']), /^PublicKey = .*\n/m);
  assert.equal((await readdir(join(state, 'networks'))).length, 1);
});

test('it refuses a tunnel that containers share, by name, and one container may be the peer', async () => {
  const key = await run('wg', ['genkey']);
  await writeFile(
    join(secrets, 'app.conf'),
    `[Interface]\nPrivateKey = ${key}\nAddress = 10.64.0.7/32\n[Peer]\nPublicKey = ${hub.publicKey}
AllowedIPs = 0.0.0.0/0\nEndpoint = ${hub.endpoint}\n`,
    { mode: 0o600 },
  );
  const create = (...more: string[]) =>
    engine.tryDocker(
      ...['network', 'create', '-d', managedPlugin, '-o', 'io.bestov.wg.conffile=app.conf', ...more, 'vpn'],
    );
  assert.match(
    (await create('--subnet=10.77.0.0/24')).stderr,
    /containers cannot share a tunnel here: .* managed plugin, .*--ipam-driver null for one container/,
  );
  const { status, stderr } = await create('--ipam-driver=null');
  assert.equal(status, 0, stderr);
  await engine.docker('network', 'rm', 'vpn');
});

test('it follows the networks of a container: one that is connected now is reached', async () => {
  await engine.docker('network', 'create', 'late');
  await engine.docker('network', 'connect', 'late', 'one');
  const gateway = await engine.docker(
    'network',
    'inspect',
    '--format={{(index .IPAM.Config 0).Gateway}}',
    'late',
  );
  await pingFrom('one', gateway);
  await engine.docker('network', 'disconnect', 'late', 'one');
  await engine.docker('network', 'rm', 'late');
});

test('it sees the network namespaces of containers that started after it', async () => {
  const sandbox = await engine.docker('inspect', '--format={{.NetworkSettings.SandboxKey}}', 'one');
  const type = await run('stat', ['-f', '-c', '%T', `/proc/${await pluginProcess()}/root${sandbox}`]);
  assert.equal(type, 'nsfs');
});

test('doctor finds it, and its networks', async () => {
  const { checks } = JSON.parse(await run(wgdriver, ['doctor', '--json'])) as {
    checks: { name: string; status: string; cause: string }[];
  };
  const cause = (name: string) => checks.find((check) => check.name === name)?.cause ?? '';
  assert.match(
    cause('plugin'),
    /a network driver answers on \/run\/docker\/plugins\/[0-9a-f]{64}\/wgdriver\.sock/,
  );
  assert.match(cause('ip-range'), /^wgnet assigns all of 192\.168\.5\.0\/24/);
});

test('killed, it is started again by the engine', async () => {
  const killed = await pluginProcess();
  assert(killed);
  process.kill(Number(killed), 'SIGKILL');
  await until('the plugin is back', async () => ![undefined, killed].includes(await pluginProcess()));
  await until('it answers', async () => (await engine.tryDocker('network', 'ls')).status === 0);
  await engine.docker('rm', '-f', 'one');
  await start('two');
  await ping('two');
});

test('an upgrade from a folder keeps networks', async () => {
  await engine.docker('rm', '-f', 'two');
  // It is in use, the engine says, as long as there are networks on it.
  await plugin('disable', '-f', managedPlugin);
  await plugin('rm', '-f', managedPlugin);
  await writeFile(join(folder, 'rootfs/next-version'), '');
  await plugin('create', managedPlugin, folder);
  await rm(join(folder, 'rootfs/next-version'));
  await enable();
  await start('three');
  await ping('three');
});

test('docker plugin upgrade, from a registry, keeps networks', async () => {
  const registry = await startRegistry();
  const next = `${registry.address}/wireguard-plugin:next`;
  await writeFile(join(folder, 'rootfs/version-after-next'), '');
  await plugin('create', next, folder);
  await plugin('push', next);
  await plugin('rm', next);

  await plugin('disable', '-f', managedPlugin);
  await plugin('upgrade', '--grant-all-permissions', '--skip-remote-check', managedPlugin, next);
  await enable();
  assert.equal(await plugin('inspect', '--format={{.PluginReference}}', managedPlugin), next);
  await registry.close();
  await start('four');
  await ping('four');
  await engine.docker('rm', '-f', 'four');
});

test('a container that restarts by itself is back after a restart of the engine', async () => {
  await engine.docker('rm', '-f', 'three');
  await engine.docker(
    'run',
    '-d',
    '--name=four',
    '--restart=always',
    '--network=wgnet',
    testImage,
    'sleep',
    '100000',
  );
  await engine.stop();
  await engine.start();
  await until('it runs', async () => (await engine.docker('ps', '-q')) !== '');
  await ping('four');
});

test('removed, with nothing left but the two folders', async () => {
  await engine.docker('rm', '-f', 'four');
  await engine.docker('network', 'rm', 'wgnet');
  await plugin('disable', managedPlugin);
  await plugin('rm', managedPlugin);
  assert.equal(await pluginProcess(), undefined);
  assert.doesNotMatch(await run('ip', ['-brief', 'link']), /^wg/m);
  assert.deepEqual(await readdir(join(state, 'networks')), []);
  assert.deepEqual(await endpointFiles(state), []);
});
