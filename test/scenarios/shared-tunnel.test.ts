// A provider's file that several containers share: a hub plays the provider, who knows one customer.
import assert from 'node:assert/strict';
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Capture, startCapture } from '../../build/host/capture.ts';
import { attempt, run, sh, until } from '../../build/host/commands.ts';
import { startDaemon, untilReady } from '../../build/host/daemon.ts';
import { startDriver, stateFolder, wgdriver } from '../../build/host/driver.ts';
import { testImage } from '../../build/host/engine.ts';
import { driverName, hostForTests, pingUntilAnswered } from '../../build/host/host.ts';
import { article, type Hub, withHub } from '../../build/host/hub.ts';
import { inFullRun } from '../../build/host/scenarios.ts';

const host = await hostForTests();
const { docker, tryDocker } = host.engine;

/** Somewhere behind the provider; and its name server. */
const far = '203.0.113.9';
const nameServer = '203.0.113.53';
const gateway = '10.77.0.1';

let folder: string;
let conffile: string;
let provider: Hub;
let capture: Capture;
/** How many packets were captured before this test, of others among them: their files may run in the same process. */
let capturedBefore = 0;
let customer: { readonly privateKey: string; readonly publicKey: string };

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-shared-'));
  conffile = join(folder, 'provider.conf');
  capture = await startCapture();
});
after(async () => {
  await capture.stop();
  await rm(folder, { recursive: true });
});

/** A test with a provider of its own, which is gone before what is left behind is counted. */
function scenario(name: string, play: () => Promise<void>, skip: false | string = false): void {
  const settings = { tunnel: host.tunnel, name: 'provider', hop: 3, address: '10.64.0.1/24' };
  test(name, { skip }, () =>
    withHub(settings, async (hub) => {
      provider = hub;
      await provider.configure(`--seed=${article.seed}`, '--peers=1', '10.64.0.0/24');
      for (const address of [far, nameServer]) {
        await provider.exec('ip', 'address', 'add', `${address}/32`, 'dev', 'lo');
      }
      await provider.exec('ip', 'address', 'add', 'fd64::1/64', 'dev', 'wg-provider', 'nodad');
      customer = await newCustomer('10.64.0.7/32,fd64::7/128');
      await writeConffile('10.64.0.7/32, fd64::7/128');
      capturedBefore = capture.lines().length;
      await play();
    }),
  );
}

/** The provider knows no other from then on. */
async function newCustomer(allowedIps: string) {
  const [privateKey = '', publicKey = ''] = (
    await sh('key=$(wg genkey); echo "$key"; echo "$key" | wg pubkey')
  ).split('\n');
  await provider.exec('wg', 'set', 'wg-provider', 'peer', publicKey, 'allowed-ips', allowedIps);
  return { privateKey, publicKey };
}

const writeConffile = (addresses: string, allowedIps = '0.0.0.0/0, ::/0') =>
  writeFile(
    conffile,
    `[Interface]
PrivateKey = ${customer.privateKey}
Address = ${addresses}
DNS = ${nameServer}
MTU = 1400

[Peer]
PublicKey = ${provider.publicKey}
AllowedIPs = ${allowedIps}
Endpoint = ${provider.endpoint}
PersistentKeepalive = 25
`,
    { mode: 0o600 },
  );

const createNetwork = (...args: readonly string[]) =>
  docker(
    ...(['network', 'create', '-d', driverName, '-o', `io.bestov.wg.conffile=${conffile}`] as const),
    ...['--subnet=10.77.0.0/24', ...args, 'vpn'],
  );
const startApp = (name: string, ...args: readonly string[]) =>
  host.startContainer(name, '--network=vpn', `--dns=${gateway}`, ...args);

const pings = async (container: string, address: string) =>
  (await tryDocker('exec', container, 'ping', '-c', '1', '-W', '1', address)).status === 0;

/** What leaves in clear would be on a link of the host, as a packet from a container or to where it wanted. */
function expectNoLeak(): void {
  const leaked = capture
    .lines()
    .slice(capturedBefore)
    .filter((line) => /10\.77\.0\.|203\.0\.113\.|10\.64\.0\.|fd64::/.test(line));
  assert.deepEqual(leaked.slice(0, 5), []);
}

async function keeperOf(): Promise<number> {
  const [pid] = [...host.driver.output().matchAll(/shared tunnel opened .*pid=(\d+)/g)]
    .map(([, id]) => id)
    .slice(-1);
  return Number(pid ?? assert.fail(host.driver.output()));
}

scenario(
  'two containers, one customer: names, both families, DNS by the gateway, a port on a second network',
  async () => {
    await createNetwork();
    assert.match(
      host.driver.output(),
      /network created .*mode="containers that share the tunnel of the configuration file"/,
    );
    await startApp('one');
    await startApp('two');
    for (const app of ['one', 'two']) {
      await host.ping(app, far);
      await host.ping(app, 'fd64::1');
    }
    // By the engine's names, and without the provider.
    await host.ping('one', 'two');
    await host.ping('two', 'one');
    const ipv6 = /inet6 (fd[0-9a-f:]+)\/128/.exec(
      await host.enter('two', 'ip', 'address', 'show', 'dev', 'wg0'),
    )?.[1];
    await host.ping('one', ipv6 ?? assert.fail());
    const peers = (await provider.exec('wg', 'show', 'wg-provider', 'latest-handshakes')).split('\n');
    assert.equal(peers.filter((line) => !/\t0$/.test(line)).length, 1);

    const program = [process.execPath, 'build/host/name-server.ts', '192.0.2.77', nameServer];
    const server = startDaemon('ip', ['netns', 'exec', 'provider', ...program]);
    try {
      await untilReady(server, 'the provider answers DNS', () => server.output().includes('ready\n'));
      assert.match(await host.exec('one', 'nslookup', 'somewhere.example'), /192\.0\.2\.77/);
    } finally {
      await server.stop();
    }

    const [status] = JSON.parse(await run(wgdriver, ['status', '--json', 'one']));
    assert.equal(status.killswitch, 'up');
    assert.match(status.hubs[0].lastHandshake, /^\d{4}-/);
    assert.equal(status.hubs[0].name, provider.endpoint);

    // The engine's default route may be of either network; what leaves is not.
    await docker('network', 'create', '--subnet=172.30.7.0/24', 'abridge');
    await docker('network', 'connect', 'abridge', 'one');
    await host.ping('one', far);
    await host.ping('one', 'two');
    await docker(
      'run',
      '-d',
      '--name=web',
      '--network=abridge',
      '-p',
      '127.0.0.1:8077:80',
      ...[testImage, 'sh', '-c', 'echo hello >/tmp/hello; exec httpd -f -h /tmp'],
    );
    await docker('network', 'connect', 'vpn', 'web');
    await host.ping('web', far);
    let said = '';
    await until('the published port answers', async () => {
      const { stdout, stderr } = await attempt('busybox', ['wget', '-qO-', 'http://127.0.0.1:8077/hello']);
      said = stdout + stderr;
      return stdout === 'hello\n';
    }).catch((error: Error) => assert.fail(`${error.message}: ${said}`));
    expectNoLeak();
  },
);

scenario('it outlives the driver, and restarts of containers; a new driver goes on with it', async () => {
  await createNetwork();
  await startApp('one');
  await host.ping('one', far);
  const before = await keeperOf();
  const flow = startDaemon('docker', ['exec', 'one', 'ping', '-i', '0.2', '-w', '60', far]);
  await until('it pings', () => flow.output().includes('seq=5 '));
  await host.driver.stop('SIGKILL');
  await host.ping('one', far);
  host.driver = await startDriver('--backend', host.tunnel.backend);
  await startApp('two');
  await host.ping('two', far);
  await host.ping('two', 'one');
  await until('it still pings', () => flow.output().includes('seq=50 '));
  const answered = flow.output().match(/ seq=/g)?.length ?? 0;
  await flow.stop();
  assert(answered >= 48, `${answered} of some 50 answered:\n${flow.output()}`);
  process.kill(before, 0);
  await docker('restart', '--time=0', 'one');
  await host.ping('one', far);
  assert.doesNotMatch(host.driver.output(), /shared tunnel opened/);
  // A container that ends while there is no driver.
  await host.driver.stop('SIGKILL');
  const removed = docker('rm', '-f', 'two');
  host.driver = await startDriver('--backend', host.tunnel.backend);
  await removed;
  await host.ping('one', far);
  expectNoLeak();
});

scenario(
  'it outlives the engine: killed, stopped, and with live-restore',
  async () => {
    // The prefix of the containers is the user’s.
    await createNetwork('-o', 'io.bestov.wg.ipv6=fd99:7::/64');
    await startApp('one', '--restart=always', '--stop-signal=KILL');
    await host.ping('one', 'fd64::1');
    assert.match(await host.enter('one', 'ip', 'address', 'show', 'dev', 'wg0'), /inet6 fd99:7::a4d:2\/128/);
    const before = await keeperOf();
    const state = () => docker('inspect', '--format', '{{.State.Pid}} {{.State.StartedAt}}', 'one');
    try {
      for (const [signal, args] of [
        ['SIGKILL', ['--live-restore']],
        ['SIGTERM', ['--live-restore']],
        // Without, the engine starts the container anew.
        ['SIGKILL', []],
        ['SIGTERM', []],
      ] as const) {
        const started = await state();
        await host.engine.stop(signal);
        await host.engine.start(...args);
        await until(
          'the container runs',
          async () => (await docker('ps', '--quiet', '--filter=name=one')) !== '',
        );
        await host.ping('one', far);
        await host.ping('one', 'fd64::1');
        assert.equal((await state()) === started, args.length > 0, `${signal} ${args.join()}`);
        process.kill(before, 0);
      }
      await startApp('two');
      await host.ping('two', far);
      await host.ping('two', 'one');
      assert.equal(await keeperOf(), before);
      expectNoLeak();
    } finally {
      await host.clear();
      await host.engine.stop();
      await host.engine.start();
    }
  },
  inFullRun,
);

scenario('without the provider nothing leaves, and when the namespace is lost neither', async () => {
  await createNetwork('-o', 'io.bestov.wg.icc=off');
  await startApp('one');
  await startApp('two');
  await host.ping('one', far);
  assert.equal(await pings('one', 'two'), false);
  await provider.exec('ip', 'link', 'set', 'wg-provider', 'down');
  assert.equal(await pings('one', far), false);
  await provider.exec('ip', 'link', 'set', 'wg-provider', 'up');
  await provider.exec('ip', 'address', 'add', 'fd64::1/64', 'dev', 'wg-provider', 'nodad').catch(() => {});
  await host.ping('one', far);

  // On a second network, which would take what leaves in clear.
  await docker('network', 'create', '--subnet=172.30.7.0/24', 'other');
  await docker('network', 'connect', 'other', 'one');
  const flow = startDaemon('docker', ['exec', 'one', 'ping', '-i', '0.1', '-w', '120', far]);
  await until('it pings', () => flow.output().includes('seq=5 '));
  for (const driver of ['alive', 'dead'] as const) {
    if (driver === 'dead') {
      await host.driver.stop('SIGKILL');
    }
    process.kill(await keeperOf(), 'SIGKILL');
    await until(
      'its links are gone',
      async () => !(await host.enter('two', 'ip', 'link', 'show')).includes('wg0'),
    );
    if (driver === 'dead') {
      assert.equal(await pings('one', far), false);
      host.driver = await startDriver('--backend', host.tunnel.backend);
    }
    const since = performance.now();
    // The containers that run have it again, by themselves.
    for (const app of ['one', 'two']) {
      await host.ping(app, far);
      await host.ping(app, 'fd64::1');
    }
    console.log(`the driver ${driver}, containers ping ${Math.round(performance.now() - since)} ms later`);
    assert.match(
      host.driver.output(),
      /a shared tunnel was lost and has been restored for its containers .*containers=2/,
    );
  }
  await flow.stop();
  const before = await keeperOf();
  // The engine takes the new links for its own.
  await docker('restart', '--time=0', 'one');
  await host.ping('one', far);
  await docker('network', 'disconnect', 'vpn', 'two');
  await docker('network', 'connect', 'vpn', 'two');
  await host.ping('two', far);
  assert.equal(await keeperOf(), before);
  expectNoLeak();
});

scenario(
  'the file changes: `wgdriver reload` gives the running containers another customer’s key and address',
  async () => {
    await createNetwork();
    await startApp('one');
    await host.ping('one', far);
    await provider.exec('wg', 'set', 'wg-provider', 'peer', customer.publicKey, 'remove');
    customer = await newCustomer('10.64.0.8/32,fd64::8/128');
    await writeConffile('10.64.0.8/32, fd64::8/128');
    assert.equal(
      await run(wgdriver, ['reload', 'vpn']),
      'network vpn: 1 running links reloaded, 1 with a new key',
    );
    await docker('exec', 'one', 'sh', '-c', pingUntilAnswered, 'sh', far);
    await host.ping('one', 'fd64::1');

    // Other AllowedIPs, and back to all.
    for (const [allowedIps, isReached] of [
      [`${nameServer}/32, 10.64.0.0/24`, false],
      ['0.0.0.0/0, ::/0', true],
    ] as const) {
      await writeConffile('10.64.0.8/32, fd64::8/128', allowedIps);
      assert.equal(
        await run(wgdriver, ['reload', 'vpn']),
        'network vpn: 1 running links reloaded, 0 with a new key',
      );
      await host.ping('one', nameServer);
      assert.equal(await pings('one', far), isReached);
    }

    // The file changes while no container runs: no reload, and the network stays.
    await docker('rm', '-f', 'one');
    await provider.exec('wg', 'set', 'wg-provider', 'peer', customer.publicKey, 'remove');
    customer = await newCustomer('10.64.0.9/32,fd64::9/128');
    await writeConffile('10.64.0.9/32, fd64::9/128');
    await startApp('one');
    await host.ping('one', far);
    expectNoLeak();
  },
);

scenario(
  'what cannot be is refused, at the network’s creation and at the endpoint; a subnet as the way to the provider works',
  async () => {
    const refusal = async (...args: readonly string[]) => {
      const { status, stderr } = await tryDocker(
        ...(['network', 'create', '-d', driverName, '-o', `io.bestov.wg.conffile=${conffile}`] as const),
        ...args,
        'wrong',
      );
      assert.notEqual(status, 0);
      return stderr;
    };
    assert.match(
      await refusal('--subnet=10.64.0.0/24'),
      /its 10\.64\.0\.7 is also in the network’s subnet 10\.64\.0\.0\/24/,
    );
    await createNetwork();
    assert.match(await refusal('--subnet=10.78.0.0/24'), /has the same PrivateKey/);
    await docker('network', 'create', 'abridge');
    await host.startContainer('one', '--network=abridge');
    const { stderr } = await tryDocker(
      'network',
      'connect',
      '--driver-opt',
      'io.bestov.wg.keepalive=7',
      'vpn',
      'one',
    );
    assert.match(stderr, /keepalive does not apply to a shared tunnel/);

    // A subnet that the way to the provider is in is none of what cannot be: that way is the host’s.
    await docker('network', 'rm', 'vpn');
    await docker(
      ...(['network', 'create', '-d', driverName, '-o', `io.bestov.wg.conffile=${conffile}`] as const),
      ...['--subnet=10.99.3.0/24', 'vpn'],
    );
    await host.startContainer('two', '--network=vpn');
    await host.ping('two', far);
  },
  inFullRun,
);

scenario(
  'a network that only the driver remembers does not keep its file: the engine is asked for it',
  async () => {
    await createNetwork();
    const id = await docker('network', 'inspect', '--format={{.Id}}', 'vpn');
    const fileOf = (networkId: string) => join(stateFolder, 'networks', `${networkId}.json`);
    const kept = await readFile(fileOf(id), 'utf8');
    await docker('network', 'rm', 'vpn');
    await host.driver.stop();
    // As a driver leaves it that was killed between its answer and the engine’s last word.
    const lost = `f${'0'.repeat(63)}`;
    await writeFile(fileOf(lost), kept.replaceAll(id, lost), { mode: 0o600 });
    host.driver = await startDriver('--backend', host.tunnel.backend);
    const since = performance.now();
    await createNetwork();
    console.log(`created ${Math.round(performance.now() - since)} ms later`);
    assert.match(host.driver.output(), /forgot a network .*network=f00000000000$/m);
    await assert.rejects(access(fileOf(lost)));
    await startApp('one');
    await host.ping('one', far);
    // One that the engine has is another matter, by the same way of asking.
    await host.driver.stop();
    host.driver = await startDriver('--backend', host.tunnel.backend);
    const { stderr } = await tryDocker(
      ...(['network', 'create', '-d', driverName, '-o', `io.bestov.wg.conffile=${conffile}`] as const),
      ...['--subnet=10.78.0.0/24', 'another'],
    );
    assert.match(stderr, /has the same PrivateKey/);
  },
  inFullRun,
);
