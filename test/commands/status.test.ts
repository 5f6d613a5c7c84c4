import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { stripVTControlCharacters, styleText } from 'node:util';
import { whyNoPrograms } from '../support/fresh-namespace.ts';
import { answers, serveUnix } from '../support/unix-server.ts';
import { bundle, wgdriver } from '../support/wgdriver.ts';

const endpoint = (id: string, more: object = {}) => ({
  endpointId: id.repeat(64),
  networkId: 'f'.repeat(64),
  addresses: ['192.168.5.2'],
  health: 'ok',
  killswitch: 'up',
  mtu: 1420,
  hubs: [
    {
      name: 'hub.example:51820',
      publicKey: 'K',
      endpoint: '192.0.2.1:51820',
      lastHandshake: new Date(Date.now() - 65_000).toISOString(),
      receivedBytes: 1536,
      sentBytes: 148,
    },
  ],
  ...more,
});

const engine = {
  '/networks': [{ Id: 'f'.repeat(64), Name: 'wgnet', Driver: 'wireguard-plugin' }],
  '/containers/json': [
    {
      Id: 'c1',
      Names: ['/app'],
      NetworkSettings: { Networks: { wgnet: { NetworkID: 'f'.repeat(64), EndpointID: 'a'.repeat(64) } } },
    },
  ],
};

const healthy = { ready: true, endpoints: [endpoint('b', { hubs: [] }), endpoint('a')] };

async function status(t: Parameters<typeof serveUnix>[0], health: unknown, ...args: string[]) {
  const driver = await serveUnix(t, answers(health === undefined ? {} : { '/Plugin.Health': health }));
  const docker = await serveUnix(t, answers(engine));
  return wgdriver(['status', '--socket', driver.socketPath, '--docker-socket', docker.socketPath, ...args]);
}

test('a line for each container, by names where the engine knows them, sorted and aligned', async (t) => {
  const { status: code, stdout } = await status(t, healthy);
  const lines = stdout.trimEnd().split('\n');
  assert.match(
    lines[0] ?? '',
    /^CONTAINER +NETWORK +HEALTH +ADDRESS +HANDSHAKE +RECEIVED +SENT +MTU +KILL SWITCH +HUB$/,
  );
  assert.match(
    lines[1] ?? '',
    /^app +wgnet +ok +192\.168\.5\.2 +\d+ (?:s|min) ago +1\.5 KiB +148 B +1420 +up +hub\.example:51820 \(192\.0\.2\.1:51820\)$/,
  );
  assert.match(lines[2] ?? '', /^bbbbbbbbbbbb +wgnet +ok +192\.168\.5\.2 +never +0 B/);
  assert.equal(lines[1]?.indexOf('192'), lines[0]?.indexOf('ADDRESS'));
  assert.deepEqual([lines.length, code], [3, 0]);
});

test('a handshake is as old as the driver says, whatever the clock was set to since', async (t) => {
  const hub = { name: 'hub', publicKey: 'K', receivedBytes: 0, sentBytes: 0 };
  const lastHandshake = new Date(Date.now() - 3_600_000).toISOString();
  const hubs = [{ ...hub, lastHandshake, lastHandshakeAgeSeconds: 21 }, hub];
  const { stdout } = await status(t, { ready: true, endpoints: [endpoint('a', { hubs })] });
  assert.match(stdout, / 21 s ago /);
});

test('an engine that hangs costs a second, and the names', async (t) => {
  const driver = await serveUnix(t, answers({ '/Plugin.Health': healthy }));
  const docker = await serveUnix(t, () => {});
  const started = performance.now();
  const { status: code, stdout } = await wgdriver([
    'status',
    '--socket',
    driver.socketPath,
    '--docker-socket',
    docker.socketPath,
  ]);
  assert.match(stdout, /^aaaaaaaaaaaa +ffffffffffff +ok /m);
  assert.equal(code, 0);
  // It would take ten by itself; the machine may be busy.
  assert(performance.now() - started < 8000);
  assert(docker.asked.includes('GET /networks'));
});

test('a hub that has no name, as a link of this host, is told by its endpoint', async (t) => {
  const hub = { name: '', publicKey: 'K', receivedBytes: 0, sentBytes: 0 };
  const hubs = [{ ...hub, endpoint: '127.0.0.1:51820' }, hub, { ...hub, name: 'hub.example:51820' }];
  const { stdout } = await status(t, { ready: true, endpoints: [endpoint('a', { hubs })] });
  assert.match(stdout, / up +127\.0\.0\.1:51820, -, hub\.example:51820\n$/);
});

test('--json has the same, and exit status 1 says that something is not well', async (t) => {
  const silent = {
    ready: true,
    endpoints: [endpoint('a', { health: 'silent' }), endpoint('b', { health: 'idle' })],
  };
  const { status: code, stdout } = await status(t, silent, '--json');
  const [first] = JSON.parse(stdout);
  assert.deepEqual([first.container, first.network, first.health], ['app', 'wgnet', 'silent']);
  assert.equal(code, 1);
});

test('containers and networks by name, or by the beginning of an id', async (t) => {
  for (const [words, lines] of [
    [['app'], 2],
    [['bbb'], 2],
    [['wgnet'], 3],
    [['app', 'bbb'], 3],
  ] as const) {
    const { stdout } = await status(t, healthy, ...words);
    assert.equal(stdout.trimEnd().split('\n').length, lines, words.join());
  }
  const { status: code, stderr } = await status(t, healthy, 'nobody');
  assert.match(stderr, /^wgdriver: this driver has no running container or network called nobody\n$/);
  assert.equal(code, 1);
});

test('nothing runs', async (t) => {
  const { status: code, stdout } = await status(t, { ready: true, endpoints: [] });
  assert.equal(stdout, 'No running container is on a network of this driver.\n');
  assert.equal(code, 0);
});

test('a driver that is away, not ready or older: one line and status 1', async (t) => {
  const away = await wgdriver(['status', '--socket', '/nowhere/p.sock']);
  assert.match(
    away.stderr,
    /^wgdriver: the driver does not answer on \/nowhere\/p\.sock \(.*ENOENT\); .*doctor.*\n$/,
  );
  assert.equal(away.status, 1);
  const notReady = await status(t, { ready: false, missing: 'a disk is full', endpoints: [] });
  assert.equal(notReady.stderr, 'wgdriver: the driver is not ready: a disk is full\n');
  assert.equal(notReady.status, 1);
  const older = await status(t, undefined);
  assert.match(older.stderr, /is older than this command: restart it\n$/);
  assert.equal(older.status, 1);
});

test('--watch needs a terminal', async (t) => {
  const { status: code, stderr } = await status(t, healthy, '--watch');
  assert.match(stderr, /^wgdriver: option --watch: needs a terminal/);
  assert.equal(code, 2);
});

test('asking over a socket does not load fetch, which would cost the driver 15 MB of memory', () => {
  const listModules = "process.on('exit', () => process.stdout.write(process.moduleLoadList.join()))";
  const args = [`--import=data:text/javascript,${encodeURIComponent(listModules)}`, bundle, 'status'];
  const { stdout } = spawnSync(process.execPath, [...args, '--socket=/nowhere/plugin.sock'], {
    encoding: 'utf8',
  });
  assert.match(stdout, /NativeModule _http_client/);
  assert.doesNotMatch(stdout, /undici/);
});

test('on a terminal: coloured, cut to its size, and with --watch drawn again in place', async (t) => {
  const program = await whyNoPrograms('script');
  if (program.skip !== undefined) {
    return t.skip(program.skip);
  }
  const many = ['a', 'b', 'c', 'd', 'e', 'f', '1', '2'].map((id) =>
    endpoint(id, { health: id === 'c' ? 'silent' : id === 'd' ? 'idle' : 'ok' }),
  );
  const driver = await serveUnix(t, answers({ '/Plugin.Health': { ready: true, endpoints: many } }));
  const docker = await serveUnix(t, answers(engine));
  const words = ['status', '--watch', '--socket', driver.socketPath, '--docker-socket', docker.socketPath];
  // script(1) gives it a terminal.
  const command = `stty cols 70 rows 7; exec "$WGDRIVER_NODE" "$WGDRIVER_BUNDLE" ${words.join(' ')}`;
  const child = spawn('script', ['--quiet', '--command', command, '/dev/null'], {
    env: { ...process.env, NO_COLOR: '', WGDRIVER_NODE: process.execPath, WGDRIVER_BUNDLE: bundle },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let shown = '';
  const clear = '\x1b[H\x1b[J';
  const seen = new Promise<void>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      shown += text;
      if (shown.split(clear).length > 3) {
        resolve();
      }
    });
  });
  const ended = once(child, 'close');
  await Promise.race([seen, ended]);
  // Ctrl-C
  child.stdin.write('\x03');
  await ended;
  const [before, first = '', second = ''] = shown.split(clear);
  assert.equal(before, '', JSON.stringify(shown));
  const lines = first.trimEnd().split('\r\n');
  assert.equal(lines.length, 6, first);
  for (const [index, word] of (['ok', 'ok', 'ok', 'ok', 'silent'] as const).entries()) {
    const coloured = styleText(word === 'ok' ? 'green' : 'red', word, { validateStream: false });
    assert(lines[index + 1]?.includes(coloured), JSON.stringify(lines));
  }
  for (const line of lines) {
    assert(stripVTControlCharacters(line).length <= 70, line);
  }
  assert.deepEqual(second.trimEnd().split('\r\n').length, 6);
});
