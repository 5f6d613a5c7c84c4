import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attempt, run } from '../../build/host/commands.ts';
import { startDriver, wgdriver } from '../../build/host/driver.ts';
import { importTestImage, testImage } from '../../build/host/engine.ts';
import { hostForTests } from '../../build/host/host.ts';
import { article } from '../../build/host/hub.ts';
import { inFullRun } from '../../build/host/scenarios.ts';

const host = await hostForTests();

interface Check {
  readonly name: string;
  readonly status: string;
  readonly cause: string;
  readonly fix?: string;
}

async function doctor(): Promise<{ status: number; stdout: string; check: (name: string) => Check }> {
  const { status, stdout } = await attempt(wgdriver, ['doctor', '--json']);
  const { checks } = JSON.parse(stdout) as { checks: Check[] };
  const check = (name: string) => {
    const found = checks.find((candidate) => candidate.name === name);
    assert.ok(found, `there is a check called ${name}`);
    return found;
  };
  return { status, stdout, check };
}

test('a host with driver and engine passes', async () => {
  const { status, check } = await doctor();
  assert.equal(status, 0);
  for (const name of [
    'rights',
    'network-namespaces',
    'killswitch',
    'plugin',
    'engine',
    'seeds',
    'default-route',
  ]) {
    assert.equal(check(name).status, 'pass', JSON.stringify(check(name)));
  }
  assert.match(
    check('engine').cause,
    new RegExp(`^${host.engine.version.slice(0, 7).replaceAll('.', '\\.')}`),
  );
});

test('a seed that inspection shows is warned about, and not shown again', async () => {
  await host.createNetwork('wgnet');
  const { status, stdout, check } = await doctor();
  assert.equal(status, 0);
  assert.equal(check('seeds').status, 'warn');
  assert.doesNotMatch(stdout, new RegExp(article.seed));
});

// several-networks.test.ts asks doctor that of each of its containers.
test('a container whose default route is a bridge’s is warned about, as its own routes say', {
  skip: inFullRun,
}, async () => {
  await host.createNetwork('wgnet', { options: { killswitch: 'off' } });
  // By name, the first network with a gateway wins on engines up to 27; a priority does on later ones.
  await host.engine.docker('network', 'create', 'abridge');
  await host.startContainer('one', '--network=wgnet');
  await host.engine.docker('network', 'connect', 'abridge', 'one');
  const leaks = /^default via \S+ dev eth/m.test(await host.exec('one', 'ip', 'route'));
  const { check } = await doctor();
  assert.equal(
    check('default-route').status,
    leaks ? 'warn' : 'pass',
    JSON.stringify(check('default-route')),
  );
  assert.ok(leaks, 'the bridge that sorts first has taken the default route');
  assert.match(check('default-route').cause, /one by abridge/);
});

test('each container’s last handshake, and a warning for one whose hub does not know it', async () => {
  await host.createNetwork('wgnet');
  await host.startContainer('one', '--network=wgnet');
  await host.ping('one', host.hub.address);
  const { check } = await doctor();
  assert.match(check('handshakes').cause, /^last: one \d+ s ago$/);
  assert.equal(check('handshakes').status, 'pass');

  const options = { additional: Buffer.from('another').toString('base64') };
  await host.createNetwork('strangers', { subnet: '192.168.6.0/24', options });
  await host.startContainer('two', '--network=strangers');
  const { status, check: secondCheck } = await doctor();
  assert.match(secondCheck('handshakes').cause, /^the hub does not answer: two never; last: one \d+ s ago$/);
  assert.equal(secondCheck('handshakes').status, 'warn');
  assert.equal(status, 0);
});

test('a sharer that is left with lo when its container is started anew', { skip: inFullRun }, async () => {
  const { docker } = host.engine;
  await host.createNetwork('wgnet');
  await host.startContainer('one', '--network=wgnet');
  await docker('run', '-d', '--name=side', '--network=container:one', testImage, 'sleep', '100000');
  assert.equal((await doctor()).check('sharers').status, 'pass');
  await docker('restart', '-t', '0', 'one');
  assert.doesNotMatch(await host.exec('side', 'ip', 'link'), /wg0/);
  const { cause, status } = (await doctor()).check('sharers');
  assert.deepEqual([status, / (side \(of one\))$/.exec(cause)?.[1]], ['warn', 'side (of one)'], cause);
});

test('a container that did not start while the driver was away is named, with what to run', {
  skip: inFullRun,
}, async () => {
  const { docker } = host.engine;
  await host.createNetwork('wgnet');
  await host.startContainer('one', '--network=wgnet');
  await docker('stop', '-t', '0', 'one');
  assert.equal((await doctor()).check('stopped').status, 'pass');
  await host.driver.stop();
  await assert.rejects(docker('start', 'one'));
  host.driver = await startDriver('--backend', host.tunnel.backend);
  const { cause, status, fix } = (await doctor()).check('stopped');
  assert.deepEqual([status, fix], ['warn', '`docker start one`'], cause);
  await docker('start', 'one');
  assert.equal((await doctor()).check('stopped').status, 'pass');
});

test('what a container can do by its capabilities: it is named, and a privileged one has the host', async (t) => {
  const { docker, tryDocker } = host.engine;
  await importTestImage(host.engine, ['nft', 'wg', 'perl']);
  await host.createNetwork('wgnet');
  await docker('network', 'create', 'abridge');
  // Not on a machine that is confined itself.
  const { status: refused } = await tryDocker('run', '--rm', '--privileged', testImage, 'true');
  const containers: Record<string, readonly string[]> = {
    plain: ['--cap-drop=NET_RAW'],
    raw: [],
    admin: ['--cap-drop=NET_RAW', '--cap-add=NET_ADMIN'],
    ...(refused === 0 ? { all: ['--privileged'] } : {}),
  };
  t.diagnostic(`tried: ${Object.keys(containers).join(', ')}`);
  const setting = '/proc/sys/kernel/core_pattern';
  const having: string[] = [];
  for (const [name, args] of Object.entries(containers)) {
    await host.startContainer(name, '--network=wgnet', ...args);
    await docker('network', 'connect', 'abridge', name);
    // The same as before, as it is the whole machine's.
    const script = `value=$(cat ${setting}) && printf %s "$value" >${setting}`;
    if ((await tryDocker('exec', name, 'sh', '-c', script)).status === 0) {
      having.push(name);
    }
  }
  assert.deepEqual(having, refused === 0 ? ['all'] : []);
  if (refused === 0) {
    await tryPrivileged('all');
  }
  const { status, cause } = (await doctor()).check('capabilities');
  assert.equal(status, 'warn');
  const [admins = '', raw = ''] = cause.split('; ');
  const namesIn = (text: string) => text.split(': ')[1]?.split(', ').sort();
  assert.match(admins, /^NET_ADMIN, and may read its private key and undo its kill switch: /);
  assert.deepEqual(namesIn(admins), ['admin', ...having]);
  assert.match(raw, /^NET_RAW and another network/);
  assert.deepEqual(namesIn(raw), [...having, 'raw']);
});

/** The row of docs/security.md: it sends past the tunnel, and reads the key of a link of the kernel's WireGuard. */
async function tryPrivileged(container: string): Promise<void> {
  const { docker, tryDocker } = host.engine;
  const inside = (...command: readonly string[]) => tryDocker('exec', container, ...command);
  // By UDP to 203.0.113.1, on a socket that is bound to the bridge's link.
  const send =
    'socket S, 2, 2, 0; setsockopt S, 1, 25, "eth0\\0"; send S, "clear", 0, pack "SnC4x8", 2, 9, 203, 0, 113, 1 or die $!';
  const before = await inside('perl', '-e', send);
  assert.match(before.stderr, /not permitted/);
  assert.equal((await inside('nft', 'flush', 'ruleset')).status, 0);
  const { status, stderr } = await inside('perl', '-e', send);
  assert.equal(status, 0, stderr);
  if (host.tunnel.backend !== 'userspace') {
    const endpoint = '{{.NetworkSettings.Networks.wgnet.IPAddress}}';
    const address = await docker('inspect', `--format=${endpoint}`, container);
    const scheme = [`--seed=${article.seed}`, `--additional=${article.additional}`];
    const key = await run(wgdriver, ['keys', '--private', '--format=raw', ...scheme, address]);
    assert.equal((await inside('wg', 'show', 'wg0', 'private-key')).stdout.trim(), key);
  }
}

test('doctor --mtu measures the tunnel of a container', async () => {
  await host.createNetwork('wgnet');
  await host.startContainer('one', '--network=wgnet');
  await host.ping('one', host.hub.address);
  const { stdout } = await attempt(wgdriver, ['doctor', '--json', '--mtu', 'one']);
  const { checks } = JSON.parse(stdout) as { checks: Check[] };
  assert.deepEqual(
    checks.map(({ name, status }) => [name, status]),
    [['mtu', 'pass']],
    stdout,
  );
});

test('without driver and engine, the two fail and what needs them is skipped', async () => {
  const { status, stdout } = await attempt(wgdriver, [
    'doctor',
    '--json',
    '--name=none',
    '--docker-socket=/run/none.sock',
  ]);
  assert.equal(status, 1);
  const { checks } = JSON.parse(stdout) as { checks: Check[] };
  assert.deepEqual(
    checks.filter((check) => check.status === 'fail').map((check) => check.name),
    ['plugin', 'engine'],
  );
});
