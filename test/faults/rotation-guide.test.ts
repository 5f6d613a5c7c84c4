/**
 * The rotation guide of docs/hub.md as it is written, on a driver and a hub without an engine: a network namespace stands in
 * for the container, another one for the hub's machine.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { attempt, run, sh, until } from '../../build/host/commands.ts';
import { startDaemon, untilReady } from '../../build/host/daemon.ts';
import { startDriver, wgdriver } from '../../build/host/driver.ts';
import { call, startNamespace } from '../../build/host/namespaces.ts';
import { findTunnel } from '../../build/host/tunnel.ts';
import { blocksOf } from '../support/page-blocks.ts';

/** scp(1) to the hub, whose folder is here, and from it; this is the only Docker host, and has its files. */
const scp = (hubFolder: string) => `#!/bin/sh
at() { case $1 in root@hub.example.org:/etc/wgdriver/*) echo "${hubFolder}/\${1##*:/etc/wgdriver/}" ;; *) echo "$1" ;; esac; }
case $2 in root@HOST:*) ;; *) cp "$(at "$1")" "$(at "$2")" ;; esac
`;

test('the rotation guide works as it is written, for a new seed and for a new additional', async () => {
  const guide = (await readFile('docs/hub.md', 'utf8')).split('## Rotating keys')[1] ?? '';
  const [ofSeed = '', ofAdditional = ''] = guide.split('### ').slice(1, 3);
  const [copySeed, loadBoth, copyToHosts, ofHost, loadNew] = blocksOf(ofSeed, 'sh');
  const [newAdditional, ofHostAdditional, lastAdditional] = blocksOf(ofAdditional, 'sh');
  const [, oldLine, bothLine] = /replace the line `(.+?)` in `.+?` by `(.+?)`/.exec(ofSeed) ?? [];
  const [, newLine] = /Write `(seedfile: .+?)` in the\s+place of `seedfiles`/.exec(ofSeed) ?? [];
  assert(oldLine && bothLine && newLine && loadNew && lastAdditional, guide);

  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-guide-'));
  const [programs, ofHub] = [join(folder, 'programs'), join(folder, 'hub')];
  const program = (name: string, text: string) => writeFile(join(programs, name), text, { mode: 0o755 });
  const onHost = (commands = '') => run('sh', ['-euc', `PATH=${programs}:$PATH\n${commands}`]);
  // Its folder is in the place of the host's.
  const onHub = (commands = '') =>
    run('ip', [
      ...['netns', 'exec', 'hub', 'sh', '-euc'],
      `mount --bind ${ofHub} /etc/wgdriver\nPATH=${programs}:$PATH\n${commands}`,
    ]);
  const statusSays = (text: string) =>
    until(text, async () => (await onHub('wgdriver hub status')).includes(text), 60_000);
  const writeHub = (seeds: string) =>
    writeFile(
      join(ofHub, 'hub.yaml'),
      `networks:\n  app:\n    subnet: 192.168.0.0/16\n    ${seeds}\n    additionalfile: app.additional\n    peers: 20\n`,
    );
  const peers = async () => (await onHub('wg show wg0 peers')).split('\n');
  const ping = ['netns', 'exec', 'c0', 'ping', '-c', '1', '-W', '1', '192.168.0.1'];
  const reachesHub = () =>
    until('a reply of the hub', async () => (await attempt('ip', ping)).status === 0, 60_000);

  await sh(
    `mkdir -p "$1" "$2" /etc/wgdriver
     umask 077; "$3" keys seed >/etc/wgdriver/app.seed; "$3" keys seed >/etc/wgdriver/app.additional
     cp /etc/wgdriver/app.* "$2"
     ip netns add hub; ip -n hub link set lo up
     ip link add out type veth peer name eth0 netns hub
     ip address add 10.99.0.1/24 dev out; ip link set out up
     ip -n hub address add 10.99.0.2/24 dev eth0; ip -n hub link set eth0 up`,
    programs,
    ofHub,
    wgdriver,
  );
  await program('wgdriver', `#!/bin/sh\nexec ${wgdriver} "$@"\n`);
  await program('scp', scp(ofHub));
  await writeHub(oldLine);
  const { backend } = await findTunnel();
  const serve = startDaemon('ip', [
    ...['netns', 'exec', 'hub', 'sh', '-euc'],
    `mount --bind ${ofHub} /etc/wgdriver; exec ${wgdriver} hub serve`,
  ]);
  await program('systemctl', `#!/bin/sh\n[ "$*" = 'reload wgdriver-hub' ] && kill -HUP ${serve.pid}\n`);
  const driver = await startDriver('--backend', backend);
  try {
    await untilReady(serve, 'the hub serves', () => serve.output().includes(' serving '));
    await call('CreateNetwork', {
      NetworkID: 'n',
      Options: {
        'com.docker.network.generic': {
          'io.bestov.wg.peer': '10.99.0.2:51820',
          'io.bestov.wg.peerkey': await onHub('wg show wg0 public-key'),
          'io.bestov.wg.seedfile': 'app.seed',
          'io.bestov.wg.additionalfile': 'app.additional',
          'io.bestov.wg.killswitch': 'off',
        },
      },
      IPv4Data: [{ AddressSpace: '', Pool: '192.168.0.0/16', Gateway: '192.168.0.1/16' }],
      IPv6Data: [],
    });
    await startNamespace(0);
    await reachesHub();
    const before = await peers();

    await onHost(copySeed);
    await writeHub(bothLine);
    await onHub(loadBoth);
    await statusSays('the hub knows all new keys');
    await onHost(copyToHosts);
    assert.match(await onHost(ofHost), /1 running links reloaded, 1 with a new key/);
    await statusSays('no peer uses an old key');
    await writeHub(newLine);
    await onHub(loadNew);
    await until('the old seed’s end', async () => (await peers()).length === 20, 60_000);
    await reachesHub();
    const withSeed = await peers();
    assert(withSeed.every((key) => !before.includes(key)));

    await onHub(newAdditional);
    await statusSays('the hub knows all new keys');
    assert.match(await onHost(ofHostAdditional), /1 running links reloaded, 1 with a new key/);
    await statusSays('no peer uses an old key');
    await onHub(lastAdditional);
    await until('the old additional’s end', async () => (await peers()).length === 20, 60_000);
    await reachesHub();
    assert((await peers()).every((key) => !withSeed.includes(key)));
  } finally {
    await serve.stop('SIGKILL');
    await onHub('wgdriver hub down').catch(() => {});
    await driver.stop();
    await sh('ip netns delete c0; ip netns delete hub').catch(() => {});
    await rm(folder, { recursive: true });
  }
});
