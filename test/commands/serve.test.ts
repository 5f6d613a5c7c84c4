// The bundle as a service, in namespaces of its own.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { access, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { type IncomingMessage, type RequestOptions, request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { until } from '../../build/host/commands.ts';
import { startNameServer } from '../../build/host/name-server.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import { callBytes, connectEngine } from '../support/engine-client.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { addForeignLink, deleteAllLinks, shownLink, shownLinks } from '../support/namespace-links.ts';
import { articleOptions, createNetworkRequest, seedText } from '../support/networks.ts';
import { bundle, wgdriver, wgdriverProcess } from '../support/wgdriver.ts';

const { skip } = await enterFreshNamespace('wireguard-go', 'wg');

let folder: string;
let socket: string;
let state: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wgdriver-serve-'));
  socket = join(folder, 'plugin.sock');
  state = join(folder, 'state');
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'close');
    }
  }
  if (skip === undefined) {
    deleteAllLinks();
  }
  await rm(folder, { recursive: true });
});

test('from start to SIGTERM', { skip }, async () => {
  const service = await serve();
  assert.equal(readFileSync(`/proc/${service.child.pid}/coredump_filter`, 'utf8'), '00000000\n');
  assert.equal((await stat(socket)).mode & 0o777, 0o600);
  assert.equal((await stat(state)).mode & 0o777, 0o700);
  assert.deepEqual(await service.call('Plugin.Activate'), { Implements: ['NetworkDriver'] });
  assert.deepEqual(await service.end('SIGTERM'), [0, null]);
  await assert.rejects(access(socket), { code: 'ENOENT' });
  assert.match(service.lines.at(-1) ?? '', /stopping signal=SIGTERM/);
});

test('--scope global is what the engine is told', { skip }, async () => {
  const service = await serve('--scope', 'global');
  const capabilities = (await service.call('NetworkDriver.GetCapabilities')) as { Scope: string };
  assert.equal(capabilities.Scope, 'global');
});

test('SIGINT ends it as well', { skip }, async () => {
  const service = await serve();
  assert.deepEqual(await service.end('SIGINT'), [0, null]);
});

test('a network, an endpoint and its link, which outlives a restart and a kill', { skip }, async () => {
  const endpoint = { NetworkID: 'network', EndpointID: 'e1' };
  const name = linkName('e1');
  const first = await serve();
  assert.deepEqual(await first.call('NetworkDriver.CreateNetwork', createNetworkRequest()), {});
  const Interface = { Address: '192.168.5.2/24' };
  await first.call('NetworkDriver.CreateEndpoint', { ...endpoint, Interface });
  assert(
    'InterfaceName' in
      ((await first.call('NetworkDriver.Join', {
        ...endpoint,
        SandboxKey: join(folder, 'sandbox'),
      })) as object),
  );
  assert.equal(shownLink(name)?.ifalias, 'wgdriver:wireguard-plugin:e1');
  const shown = () => execFileSync('wg', ['show', name, 'public-key'], { encoding: 'utf8' });
  assert.equal(shown(), '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=\n');
  await first.end('SIGTERM');
  assert.equal(shown(), '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=\n');

  const second = await serve();
  assert.equal(shown(), '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=\n');
  assert.deepEqual(await second.end('SIGKILL'), [null, 'SIGKILL']);
  assert(existsSync(socket));

  const third = await serve();
  assert.deepEqual(await third.call('NetworkDriver.DeleteEndpoint', endpoint), {});
  assert.deepEqual(shownLinks(), []);
  assert.deepEqual(await third.call('NetworkDriver.DeleteNetwork', { NetworkID: 'network' }), {});
  await third.end('SIGTERM');
  for (const line of [...first.lines, ...second.lines, ...third.lines]) {
    assert(!line.includes(seedText), line);
  }
});

test('health and metrics on the driver’s socket, and metrics alone on a port that others do not reach', {
  skip,
}, async () => {
  const service = await serve('--metrics', '127.0.0.1:9586');
  const endpoint = { NetworkID: 'network', EndpointID: 'e1' };
  await service.call('NetworkDriver.CreateNetwork', createNetworkRequest());
  await service.call('NetworkDriver.CreateEndpoint', {
    ...endpoint,
    Interface: { Address: '192.168.5.4/24' },
  });
  await service.call('NetworkDriver.Join', { ...endpoint, SandboxKey: join(folder, 'sandbox') });

  const { status, stdout } = await wgdriver(['status', '--socket', socket, '--docker-socket', '/nowhere']);
  assert.match(
    stdout,
    /^e1 +network +new +192\.168\.5\.4 +never +0 B +0 B +1420 +coming +192\.0\.2\.1:51820$/m,
  );
  assert.equal(status, 0);

  const ofSocket = await get({ socketPath: socket, path: '/metrics' });
  const ofPort = await get({ host: '127.0.0.1', port: 9586, path: '/metrics' });
  for (const { status: code, type, text } of [ofSocket, ofPort]) {
    assert.equal(code, 200);
    assert.match(type, /^text\/plain; version=0\.0\.4/);
    assert.match(
      text,
      /^wireguard_latest_handshake_seconds\{.*network="network",container="e1",address="192\.168\.5\.4"\} 0$/m,
    );
    assert.match(text, /^wgdriver_endpoints\{network="network"\} 1$/m);
    assert.match(text, /^wgdriver_call_duration_seconds_count\{call="Join",outcome="ok"\} 1$/m);
    assert.match(text, /^wgdriver_build_info\{.*backend="userspace"\} 1$/m);
    assert(!text.includes(seedText));
  }
  // Nothing else is served there.
  assert.equal((await get({ host: '127.0.0.1', port: 9586, path: '/Plugin.Health' })).status, 404);
  assert.equal((await get({ socketPath: socket, path: '/Plugin.Activate' })).status, 405);
  assert.deepEqual(await service.end('SIGTERM'), [0, null]);
});

test('a port for metrics that another process has is no obstacle, and is taken once it is free', {
  skip,
}, async () => {
  const holder = createServer().listen(9587, '127.0.0.1');
  await once(holder, 'listening');
  const service = await serve('--metrics', '127.0.0.1:9587');
  await service.line(/error metrics are not served yet; trying again .*EADDRINUSE/);
  assert.deepEqual(await service.call('Plugin.Activate'), { Implements: ['NetworkDriver'] });
  assert.equal((await get({ socketPath: socket, path: '/metrics' })).status, 200);
  holder.close();
  await until('metrics are served', async () => {
    const answer = get({ host: '127.0.0.1', port: 9587, path: '/metrics' });
    return answer.then(
      ({ status }) => status === 200,
      () => false,
    );
  });
  assert.deepEqual(await service.end('SIGTERM'), [0, null]);
});

test('a driver without its port for metrics stops all the same', { skip }, async () => {
  const holder = createServer().listen(9588, '127.0.0.1');
  await once(holder, 'listening');
  const service = await serve('--metrics', '127.0.0.1:9588');
  assert.deepEqual(await service.end('SIGTERM'), [0, null]);
  holder.close();
});

test('at start, orphaned links go; those of others, and of other drivers, stay', { skip }, async () => {
  for (const [name, alias] of [
    ['wgd1', 'wgdriver:wireguard-plugin:gone'],
    ['wgd2', 'wgdriver:another:gone'],
    ['tun0', ''],
  ] as const) {
    addForeignLink(name);
    execFileSync('ip', ['link', 'set', 'dev', name, 'alias', alias]);
  }
  const service = await serve();
  await service.line(/orphaned link deleted .*link=wgd1/);
  assert.deepEqual(
    shownLinks()
      .map(({ ifname }) => ifname)
      .sort(),
    ['tun0', 'wgd2'],
  );
});

test('SIGTERM in the middle of many calls: what was answered is on disk, and it ends of its own accord', {
  skip,
}, async () => {
  const service = await serve();
  const engines = await Promise.all(Array.from({ length: 8 }, () => connectEngine(socket)));
  const answered: string[] = [];
  const calls = engines.map(async (engine, row) => {
    for (let count = 0; ; count++) {
      const id = `n${row}.${count}`;
      const { body } = await engine.call('NetworkDriver.CreateNetwork', createNetworkRequest({ id }));
      assert.deepEqual(body, {});
      answered.push(id);
      if (answered.length === 20) {
        service.child.kill('SIGTERM');
      }
    }
  });
  // Each ends with its connection, which the service ends.
  await Promise.allSettled(calls);
  assert.deepEqual(await service.ended, [0, null]);
  assert(answered.length >= 20);
  const files = new Set(await readdir(join(state, 'networks')));
  assert.deepEqual(
    answered.filter((id) => !files.has(`${id}.json`)),
    [],
  );
  assert.deepEqual(
    [...files].filter((name) => !name.endsWith('.json')),
    [],
  );
});

test('SIGTERM does not wait for a client that says nothing', { skip }, async () => {
  const service = await serve();
  const silent = await connectEngine(socket);
  silent.send(callBytes('NetworkDriver.CreateNetwork', createNetworkRequest()).slice(0, -10));
  await service.call('Plugin.Activate');
  assert.deepEqual(await service.end('SIGTERM'), [0, null]);
  await silent.ended();
});

test('a second service on the same socket says so and leaves the first alone', { skip }, async () => {
  const service = await serve();
  const { status, stderr } = await wgdriverProcess([
    'serve',
    '--socket',
    socket,
    '--state-dir',
    join(folder, 'state2'),
  ]);
  assert.equal(status, 1);
  assert.match(
    stderr.trimEnd().split('\n').at(-1) ?? '',
    /^wgdriver: socket .*: another process answers on it/,
  );
  assert.deepEqual(await service.call('Plugin.Activate'), { Implements: ['NetworkDriver'] });
});

test('a second service on the same state says so, and after a kill of the first it serves', {
  skip,
}, async () => {
  const service = await serve();
  assert.deepEqual(await service.call('NetworkDriver.CreateNetwork', createNetworkRequest()), {});
  const first = socket;
  socket = join(folder, 'other.sock');
  const next = await listen();
  const cause =
    /state folder .*: another process is using it; stop that process, or choose another --state-dir/;
  await next.line(cause);
  assert.match(await next.errOf('DeleteNetwork', { NetworkID: 'other' }), cause);
  await service.end('SIGKILL');
  assert(existsSync(first));
  await next.line(/serving/);
  assert.deepEqual(await next.call('NetworkDriver.DeleteNetwork', { NetworkID: 'network' }), {});
  await next.end('SIGTERM');
  assert.deepEqual((await readdir(state)).sort(), ['boots', 'networks']);
});

for (const [what, spoil, cause] of [
  [
    'of a newer driver',
    (file: string) => writeFile(file, '{"version":1000}'),
    /state folder .*: written by a newer wgdriver/,
  ],
  // The kernel cannot read it, which says nothing of what is in it.
  ['that cannot be read', (file: string) => symlink('n1.json', file), /read state file .*n1\.json: ELOOP: /],
] as const) {
  test(
    `state ${what}: calls are refused with that, nothing of it is touched, and removals are made up for`,
    {
      skip,
    },
    () => refusesUntilMended(spoil, cause),
  );
}

async function refusesUntilMended(spoil: (file: string) => Promise<void>, cause: RegExp): Promise<void> {
  const endpoint = { NetworkID: 'network', EndpointID: 'e1' };
  const first = await serve();
  await first.call('NetworkDriver.CreateNetwork', createNetworkRequest());
  await first.call('NetworkDriver.CreateEndpoint', { ...endpoint, Interface: { Address: '192.168.5.2/24' } });
  await first.call('NetworkDriver.Join', { ...endpoint, SandboxKey: join(folder, 'sandbox') });
  await first.end('SIGTERM');
  const file = join(state, 'networks', 'n1.json');
  await spoil(file);

  const second = await listen();
  assert.deepEqual(await second.call('Plugin.Activate'), { Implements: ['NetworkDriver'] });
  const refusal = new RegExp(`^the driver is not ready: ${cause.source}`);
  assert.match(await second.errOf('CreateNetwork', createNetworkRequest({ id: 'n2' })), refusal);
  assert.match(await second.errOf('DeleteEndpoint', endpoint), refusal);
  assert.match(await second.errOf('DeleteNetwork', { NetworkID: 'network' }), refusal);
  assert.deepEqual((await readdir(join(state, 'networks'))).sort(), ['n1.json', 'network.json']);
  assert.deepEqual(
    shownLinks().map(({ ifname }) => ifname),
    [linkName('e1')],
  );
  const told = () => second.lines.filter((line) => cause.test(line)).length;
  // The log comes by a pipe of its own, maybe after the answers.
  for (let count = 0; count < 200 && told() < 4; count++) {
    await setTimeout(50);
  }
  assert.equal(told(), 4);

  await rm(file);
  await second.line(/network deleted/);
  assert.deepEqual(shownLinks(), []);
  assert.deepEqual(await readdir(join(state, 'networks')), []);
  await second.end('SIGTERM');
}

test('a host without WireGuard: calls are refused with that until it comes, and it stops all the same', {
  skip,
}, async () => {
  const programs = join(folder, 'programs');
  await mkdir(programs);
  const link = (program: string) =>
    symlink(
      execFileSync('sh', ['-c', 'command -v "$1"', 'sh', program], { encoding: 'utf8' }).trim(),
      join(programs, program),
    );
  for (const program of ['sh', 'ip', 'wg', 'nft', 'unshare']) {
    await link(program);
  }
  const env = { ...process.env, PATH: programs };
  const service = await listen(env);
  const cause = /^the driver is not ready: no WireGuard from the kernel: .*wireguard-go is missing/;
  assert.match(await service.errOf('CreateNetwork', createNetworkRequest()), cause);
  await link('wireguard-go');
  await service.line(/serving/);
  assert.deepEqual(await service.call('NetworkDriver.CreateNetwork', createNetworkRequest()), {});
  await service.end('SIGTERM');

  await rm(join(programs, 'wireguard-go'));
  const again = await listen(env);
  await again.line(/not ready/);
  assert.deepEqual(await again.end('SIGTERM'), [0, null]);
});

for (const [what, prepare, message] of [
  // A small one, filled to the last byte.
  ['full', 'mount -t tmpfs -o size=64k tmpfs "$1"; mkdir "$1/state"', /ENOSPC: no space left on device/],
  ['read-only', 'mount -t tmpfs tmpfs "$1"; mkdir "$1/state"', /EROFS: read-only file system/],
] as const) {
  test(`a disk that becomes ${what}: calls that need it are refused and undone, and go on when it is mended`, {
    skip,
  }, async () => {
    const disk = join(folder, 'disk');
    await mkdir(disk);
    execFileSync('sh', ['-euc', prepare, 'sh', disk]);
    state = join(disk, 'state');
    const service = await serve();
    const call = async (method: string, body: object) =>
      (await service.call(`NetworkDriver.${method}`, body)) as { Err?: string };
    const endpoint = (EndpointID: string) => ({ NetworkID: 'network', EndpointID });
    const joined = (EndpointID: string) => ({
      ...endpoint(EndpointID),
      SandboxKey: join(folder, 'sandbox'),
    });
    const created = (EndpointID: string, last: number) => ({
      ...endpoint(EndpointID),
      Interface: { Address: `192.168.5.${last}/24` },
    });
    try {
      assert.deepEqual(await call('CreateNetwork', createNetworkRequest()), {});
      assert.deepEqual(await call('CreateEndpoint', created('e1', 2)), { Interface: {} });
      assert.deepEqual(await call('CreateEndpoint', created('e2', 3)), { Interface: {} });
      assert('InterfaceName' in (await call('Join', joined('e2'))));
      const spoil = { full: 'cat /dev/zero >"$1/filler" || :', 'read-only': 'mount -o remount,ro "$1"' }[
        what
      ];
      execFileSync('sh', ['-c', spoil, 'sh', disk], { stdio: 'ignore' });

      const before = readdirSync(state, { recursive: true }).sort();
      assert.match((await call('CreateNetwork', createNetworkRequest({ id: 'n2' }))).Err ?? '', message);
      assert.match((await call('CreateEndpoint', created('e3', 4))).Err ?? '', message);
      assert.match((await call('Join', joined('e1'))).Err ?? '', message);
      assert.deepEqual(readdirSync(state, { recursive: true }).sort(), before);
      assert.deepEqual(
        shownLinks().map(({ ifname }) => ifname),
        [linkName('e2')],
      );
      if (what === 'read-only') {
        assert.match((await call('DeleteEndpoint', endpoint('e2'))).Err ?? '', message);
      }

      const mend = { full: 'rm "$1/filler"', 'read-only': 'mount -o remount,rw "$1"' }[what];
      execFileSync('sh', ['-c', mend, 'sh', disk]);
      assert('InterfaceName' in (await call('Join', joined('e1'))));
      for (const id of ['e1', 'e2']) {
        assert.deepEqual(await call('DeleteEndpoint', endpoint(id)), {});
      }
      assert.deepEqual(await call('DeleteNetwork', { NetworkID: 'network' }), {});
      await service.end('SIGTERM');
      const files = readdirSync(state, { recursive: true }).filter((name) => String(name).endsWith('.json'));
      assert.deepEqual(files, []);
    } finally {
      await service.end('SIGKILL');
      execFileSync('umount', [disk]);
    }
  });
}

test('a file in the socket’s place stays', { skip }, async () => {
  await writeFile(socket, 'precious');
  const { status, stderr } = await wgdriverProcess(['serve', '--socket', socket, '--state-dir', state]);
  assert.equal(status, 1);
  assert.match(stderr, /this is not a socket/);
  assert((await stat(socket)).isFile());
});

test('a socket inherited as systemd passes it: answered on, and left where it is', { skip }, async () => {
  // A parent that listens, passes the socket on, and waits without accepting, as systemd does.
  const script = `
    const { spawnSync } = require('node:child_process');
    const listener = require('node:net').createServer().listen(${JSON.stringify(socket)}, () => {
      const passing = 'exec env LISTEN_FDS=1 LISTEN_PID=$$ "$@"';
      const { status } = spawnSync('sh', ['-c', passing, 'sh', ...process.argv.slice(1)], {
        stdio: ['ignore', 'ignore', 'inherit', listener._handle.fd],
      });
      console.log(status);
      process.kill(process.pid, 'SIGKILL');
    });`;
  const parent = spawn(process.execPath, ['--eval', script, '--', ...command()]);
  const status = once(parent.stdout, 'data');
  const service = await started(parent);
  assert.deepEqual(await service.call('Plugin.Activate'), { Implements: ['NetworkDriver'] });
  execFileSync('pkill', ['--signal', 'TERM', '--parent', String(parent.pid)]);
  assert.equal(String(await status), '0\n');
  await service.ended;
  assert((await stat(socket)).isSocket());
});

test('the log as JSON: each line an object with what the text has', { skip }, async () => {
  const service = await serve('--log-format', 'json', '--log-level', 'debug');
  await service.call('NetworkDriver.CreateNetwork', createNetworkRequest());
  await service.call('NetworkDriver.Join', { NetworkID: 'network' });
  await service.end('SIGTERM');
  const entries = service.lines.map((line) => JSON.parse(line));
  assert(entries.every(({ time }) => new Date(time).toISOString() === time));
  const levelOf = (message: RegExp) => entries.find((entry) => message.test(entry.message))?.level;
  assert.equal(levelOf(/^network created$/), 'info');
  assert.equal(levelOf(/^NetworkDriver\.CreateNetwork$/), 'debug');
  assert.equal(levelOf(/^NetworkDriver\.Join failed: Join\.EndpointID: expected a value/), 'warn');
  assert.equal(levelOf(/^`docker network inspect` shows the seed/), 'warn');
  assert.equal(levelOf(/^stopping$/), 'info');
  assert(!service.lines.join('').includes(articleOptions.seed));
});

test('a log that nobody reads any more does not end it', { skip }, async () => {
  const service = await serve();
  assert(service.child.stderr);
  service.child.stderr.destroy();
  await once(service.child.stderr, 'close');
  for (let count = 0; count < 3; count++) {
    assert.match(JSON.stringify(await service.call('NetworkDriver.Join', {})), /expected a value/);
  }
  assert.deepEqual(await service.call('Plugin.Activate'), { Implements: ['NetworkDriver'] });
  assert.deepEqual(await service.end('SIGTERM'), [0, null]);
});

test('a start that cannot be told to systemd ends the driver, which answers already', { skip }, async () => {
  const { status, stderr } = await wgdriverProcess(command().slice(2), {
    env: { NOTIFY_SOCKET: join(folder, 'nobody') },
  });
  assert.equal(status, 1);
  assert.match(
    stderr,
    /listening.*\n(.*\n)?wgdriver: tell systemd that the service is ready: .*systemd-notify/,
  );
  await assert.rejects(access(socket), { code: 'ENOENT' });
});

test('three names whose servers are silent keep none of their containers from starting, and no other waiting', {
  skip,
}, async () => {
  const resolvConf = join(folder, 'resolv.conf');
  await writeFile(resolvConf, 'nameserver 127.0.0.1\n');
  execFileSync('mount', ['--bind', resolvConf, '/etc/resolv.conf']);
  const silent = ['a.dead.example', 'b.dead.example', 'c.dead.example'];
  const server = await startNameServer('127.0.0.1', (name) =>
    silent.includes(name) ? undefined : '192.0.2.7',
  );
  try {
    const service = await serve();
    const join = async (host: string, last: number) => {
      const endpoint = { NetworkID: `n${last}`, EndpointID: `e${last}` };
      const options = { ...articleOptions, peer: `${host}:51820`, killswitch: 'off' };
      // Which looks the name up as well.
      const asked = performance.now();
      const request = createNetworkRequest({ id: endpoint.NetworkID, options });
      assert.deepEqual(await service.call('NetworkDriver.CreateNetwork', request), {});
      const Interface = { Address: `192.168.5.${last}/24` };
      await service.call('NetworkDriver.CreateEndpoint', { ...endpoint, Interface });
      const started = performance.now();
      const answer = await service.call('NetworkDriver.Join', { ...endpoint, SandboxKey: '' });
      assert('InterfaceName' in (answer as object), JSON.stringify(answer));
      const [seconds = 0, sinceAsked = 0] = [started, asked].map(
        (since) => (performance.now() - since) / 1000,
      );
      const shown = execFileSync('wg', ['show', linkName(endpoint.EndpointID), 'endpoints'], {
        encoding: 'utf8',
      });
      return { seconds, sinceAsked, endpoint: shown.trim().split('\t')[1] };
    };
    const dead = Promise.all(silent.map((host, index) => join(host, 10 + index)));
    const healthy = await join('hub.example', 4);
    assert.equal(healthy.endpoint, '192.0.2.7:51820');
    for (const { sinceAsked, endpoint } of await dead) {
      assert.equal(endpoint, '(none)');
      assert(sinceAsked >= 2, `${sinceAsked} s`);
    }
    assert(healthy.seconds < 2, `${healthy.seconds} s`);
    // The look-ups of the three go on, longer than those for which a container waits.
    const again = await join('hub.example', 5);
    assert(again.seconds < 2, `${again.seconds} s`);
    await service.end('SIGTERM');
  } finally {
    server.close();
    execFileSync('umount', ['/etc/resolv.conf']);
  }
});

test('a state file that cannot be read is set aside, and the rest is served', { skip }, async () => {
  const first = await serve();
  await first.call('NetworkDriver.CreateNetwork', createNetworkRequest());
  await first.end('SIGTERM');
  await writeFile(join(state, 'networks', 'bad.json'), `{"seed":${seedText}}`);
  const second = await serve();
  assert(
    second.lines.some((line) =>
      /state file cannot be read and was set aside .*bad\.json\.unreadable/.test(line),
    ),
  );
  assert(!second.lines.join('\n').includes(seedText.slice(0, 8)));
  assert.deepEqual(await second.call('NetworkDriver.DeleteNetwork', { NetworkID: 'network' }), {});
});

const wrong: [what: string, args: string[], message: RegExp][] = [
  ['an unknown backend', ['--backend', 'netlink2'], /option --backend: expected one of auto, /],
  [
    'an unknown level',
    ['--log-level', 'all'],
    /option --log-level: expected one of silent, error, warn, info, debug/,
  ],
  ['an unknown scope', ['--scope', 'swarm'], /option --scope: expected one of local, global, got swarm/],
  ['an unknown format', ['--log-format', 'xml'], /option --log-format: expected one of text, json/],
  ['a name that is no file’s', ['--name', '../x'], /option --name: expected at most 64 letters/],
  ['metrics for everybody', ['--metrics', '0.0.0.0:9586'], /other hosts can reach 0\.0\.0\.0/],
  [
    'metrics without a port',
    ['--metrics', '127.0.0.1'],
    /option --metrics: expected ADDRESS:PORT or unix:PATH/,
  ],
  ['an argument', ['now'], /unexpected argument now/],
  ['an unknown option', ['--sokket', 'x'], /unknown option --sokket/],
  ['a socket without a path', ['--socket'], /option --socket needs a value/],
  [
    'a socket’s path too long',
    ['--socket', `/tmp/${'é'.repeat(51)}x`],
    /option --socket: expected a path of at most 107 bytes, got 108/,
  ],
];

for (const [what, args, message] of wrong) {
  test(`wrong arguments, ${what}: one line and status 2`, { skip }, async () => {
    const { status, stdout, stderr } = await wgdriver(['serve', '--state-dir', state, ...args]);
    assert.match(stderr, message);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
    assert.deepEqual([status, stdout], [2, '']);
    assert(!existsSync(state));
  });
}

test('without root it says so at once', { skip }, async () => {
  const child = spawn('setpriv', ['--reuid=65534', '--clear-groups', ...command()]);
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  assert.deepEqual(await once(child, 'close'), [1, null]);
  assert.match(stderr, /^wgdriver: serve makes network links and needs root: start it as root\n$/);
});

async function get(options: RequestOptions): Promise<{ status: number; type: string; text: string }> {
  const [response] = (await once(request({ ...options, agent: false }).end(), 'response')) as [
    IncomingMessage,
  ];
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk;
  }
  return { status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', text };
}

interface Service {
  readonly child: ChildProcess;
  /** Its log so far. */
  readonly lines: readonly string[];
  readonly ended: Promise<unknown[]>;
  call(method: string, body?: unknown): Promise<unknown>;
  /** The Err of a call that is refused. */
  errOf(method: string, body?: unknown): Promise<string>;
  /** Resolves once the log has such a line; rejects if the service ends before. */
  line(pattern: RegExp): Promise<void>;
  end(signal: NodeJS.Signals): Promise<unknown[]>;
}

function command(...more: string[]): string[] {
  return [process.execPath, bundle, 'serve', '--socket', socket, '--state-dir', state, ...more];
}

/** Resolves once it serves. */
function serve(...more: string[]): Promise<Service> {
  const [program = '', ...args] = command(...more);
  return started(spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] }));
}

/** Resolves once it answers calls, if only with what is missing. */
async function listen(env = process.env): Promise<Service> {
  const [program = '', ...args] = command();
  return started(spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env }), /\blistening\b/);
}

async function started(child: ChildProcess, pattern = /\bserving\b/): Promise<Service> {
  children.push(child);
  const ended = once(child, 'close');
  const lines: string[] = [];
  assert(child.stderr);
  const reader = createInterface(child.stderr);
  reader.on('line', (line) => lines.push(line));
  const service: Service = {
    child,
    lines,
    ended,
    async call(method, body) {
      const engine = await connectEngine(socket);
      const answer = await engine.call(method, body);
      engine.hangUp();
      return answer.body;
    },
    async errOf(method, body) {
      const answer = (await service.call(`NetworkDriver.${method}`, body)) as { Err?: string };
      return answer.Err ?? JSON.stringify(answer);
    },
    line: (wanted) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (lines.some((line) => wanted.test(line))) {
            reader.off('line', look);
            resolve();
          }
        };
        reader.on('line', look);
        look();
        void ended.then(() => reject(new Error(`it ended: ${lines.join('\n')}`)));
      }),
    end(signal) {
      child.kill(signal);
      return ended;
    },
  };
  await service.line(pattern);
  return service;
}
