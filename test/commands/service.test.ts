// The bundle's `service` in namespaces of its own, with a systemctl that only writes down what it is told.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { wgdriverProcess as wgdriver } from '../support/wgdriver.ts';

const units = '/etc/systemd/system';
const entered = await enterFreshNamespace();
const skip = entered.skip ?? (existsSync(units) ? undefined : `needs the folder ${units}`);
const options = skip === undefined ? {} : { skip };

let folder: string;
beforeEach(async () => {
  if (skip === undefined) {
    folder = await mkdtemp(join(tmpdir(), 'wgdriver-service-'));
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', units]);
    await mkdir('/run/systemd/system', { recursive: true });
    // With the socket's path as it is in the unit file at that moment.
    const script = `#!/bin/sh
echo "$* $(grep -s ^ListenStream ${units}/wgdriver.socket)" >>${folder}/calls
`;
    await writeFile(join(folder, 'systemctl'), script, { mode: 0o755 });
  }
});
afterEach(async () => {
  if (skip === undefined) {
    execFileSync('umount', [units]);
    await rm(folder, { recursive: true });
  }
});

const service = (...args: string[]) => tellSystemd('service', ...args);

/** Runs wgdriver, and gives what it told systemd too. */
async function tellSystemd(...args: string[]) {
  await writeFile(join(folder, 'calls'), '');
  const ended = await wgdriver(args, { env: { PATH: `${folder}:${process.env.PATH}` } });
  const calls = (await readFile(join(folder, 'calls'), 'utf8')).replaceAll(' \n', '\n').trimEnd();
  return { ...ended, calls: calls === '' ? [] : calls.split('\n') };
}

function steps(name: string): string[] {
  const path = `ListenStream=/run/docker/plugins/${name}.sock`;
  return [
    `daemon-reload ${path}`,
    `enable --quiet wgdriver.socket wgdriver.service ${path}`,
    `reset-failed wgdriver.service ${path}`,
    `start wgdriver.socket ${path}`,
    `restart wgdriver.service ${path}`,
  ];
}

test('install, and again: the socket stays, with the calls that wait in it', options, async () => {
  for (let count = 0; count < 2; count++) {
    const { status, calls } = await service('install');
    assert.equal(status, 0);
    assert.deepEqual(calls, steps('wireguard-plugin'));
  }
});

test('under another name, the socket ends while systemd knows its old path', options, async () => {
  await service('install');
  assert.deepEqual((await service('install', '--name', 'other')).calls, [
    'stop wgdriver.socket wgdriver.service wgdriver-unavailable.socket ListenStream=/run/docker/plugins/wireguard-plugin.sock',
    ...steps('other'),
  ]);
});

test(
  'a socket that somebody else serves is refused, whatever is installed; our own is not',
  options,
  async () => {
    await service('install');
    await mkdir('/run/docker/plugins', { recursive: true });
    for (const [name, status] of [
      ['other', 1],
      ['wireguard-plugin', 0],
    ] as const) {
      const server = createServer().listen(`/run/docker/plugins/${name}.sock`);
      await once(server, 'listening');
      const ended = await service('install', '--name', name);
      server.close();
      assert.equal(ended.status, status, name);
      assert.deepEqual(ended.calls, status === 0 ? steps(name) : []);
      assert.match(ended.stderr, status === 0 ? /^$/ : /other\.sock: another process answers on it/);
    }
  },
);

test('uninstall stops and removes all', options, async () => {
  await service('install');
  const { calls } = await service('uninstall');
  const path = 'ListenStream=/run/docker/plugins/wireguard-plugin.sock';
  assert.deepEqual(calls, [
    `disable --quiet wgdriver.socket wgdriver.service ${path}`,
    `stop wgdriver-unavailable.socket wgdriver.service wgdriver.socket ${path}`,
    'daemon-reload',
  ]);
  assert.deepEqual(await readdir(units), []);
});

test('uninstall takes a driver of any name, unless it is asked for another one', options, async () => {
  for (const [installed, asked, isRemoved] of [
    ['wireguard-plugin', ['--name', 'other'], false],
    ['other', ['--name', 'wireguard-plugin'], false],
    ['other', ['--name', 'other'], true],
    ['other', [], true],
  ] as const) {
    await service('install', '--name', installed);
    const { status, stderr, calls } = await service('uninstall', ...asked);
    assert.deepEqual(
      [status, calls.length > 0, (await readdir(units)).length > 0],
      [isRemoved ? 0 : 1, isRemoved, !isRemoved],
    );
    assert.match(
      stderr,
      isRemoved
        ? /^$/
        : new RegExp(`the installed driver is ${installed}, not ${asked[1]}: .*--name ${installed}`),
    );
  }
});

test('the hub’s unit goes the same way', options, async () => {
  const config = join(folder, 'hub.yaml');
  await writeFile(config, 'networks:\n  app: { subnet: 192.168.5.0/24, seedfile: app.seed, peers: 20 }\n');
  await writeFile(join(folder, 'app.seed'), 'b2xkb2xkb2xkb2xkb2xkb2xk', { mode: 0o600 });
  const unit = 'wgdriver-hub.service';
  assert.deepEqual((await tellSystemd('hub', 'install', '--config', config)).calls, [
    'daemon-reload',
    `enable --quiet ${unit}`,
    `reset-failed ${unit}`,
    `restart ${unit}`,
  ]);
  const text = await readFile(join(units, unit), 'utf8');
  assert.match(text, new RegExp(`hub serve --config ${config} `));
  // It makes its key beside its file, and starts on a host that has no folder of ours.
  assert.match(text, new RegExp(`^ReadWritePaths=/run -${folder}$`, 'm'));
  await writeFile(config, 'privatekeyfile: /root/50% of keys/wg0.key\n');
  await tellSystemd('hub', 'install', '--config', config);
  assert(
    (await readFile(join(units, unit), 'utf8')).includes(
      `\nReadWritePaths=/run -${folder} "-/root/50%% of keys"\n`,
    ),
  );
  assert.deepEqual((await tellSystemd('hub', 'uninstall')).calls, [
    `disable --quiet ${unit}`,
    `stop ${unit}`,
    'daemon-reload',
  ]);
  assert.deepEqual(await readdir(units), []);
});
