import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { run, sh, until } from '../../build/host/commands.ts';
import { startDaemon, untilReady } from '../../build/host/daemon.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { hostForTests, pidOf } from '../../build/host/host.ts';
import { inFullRun } from '../../build/host/scenarios.ts';

const host = await hostForTests();
const [oldSeed, newSeed] = ['b2xkb2xkb2xkb2xkb2xkb2xk', 'bmV3bmV3bmV3bmV3bmV3bmV3'];
/** A busy machine alone takes a second now and then. */
const mostMs = 3000;

/** Pings ten times a second. @returns how to end that, and learn the longest time without a reply in milliseconds */
function startPings(t: TestContext, netns: readonly string[], address: string): () => number {
  const child = spawn('nsenter', [...netns, 'ping', '-i', '0.1', address], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // A test that fails must not leave it: this process would never end.
  t.after(() => child.kill());
  let [last, longest] = [performance.now(), 0];
  const note = () => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (text.includes('bytes from')) {
      note();
    }
  });
  return () => {
    child.kill();
    note();
    return Math.round(longest);
  };
}

/** Pings from containers to the hub, and from the hub to them. */
async function startTraffic(
  t: TestContext,
  containers: ReadonlyMap<string, string>,
  hub: string,
  hubNetns: string[],
) {
  const pings: (() => number)[] = [];
  for (const [name, address] of containers) {
    await host.ping(name, hub);
    const pid = await pidOf(name);
    pings.push(startPings(t, [`--target=${pid}`, '--net'], hub), startPings(t, hubNetns, address));
  }
  return () => pings.map((end) => end());
}

async function startContainers(network: string, subnet: string): Promise<ReadonlyMap<string, string>> {
  const containers = new Map([2, 3, 4].map((last) => [`c${last}`, `${subnet}.${last}`]));
  for (const [name, address] of containers) {
    await host.startContainer(name, `--network=${network}`, `--ip=${address}`);
  }
  return containers;
}

for (const [secret, skip] of [
  ['seedfile', false],
  // It differs in what is read, which test/hub/sources.test.ts and test/driver/secrets.test.ts have.
  ['additionalfile', inFullRun],
] as const) {
  test(`${secret}: rotated under traffic on hub and hosts, and the old value is gone`, {
    skip,
  }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'wgdriver-rotation-'));
    const [file, secretFile] = [join(folder, 'hub.yaml'), join(folder, 'app.secret')];
    const options = [
      '--config',
      file,
      '--state-dir',
      join(folder, 'state'),
      '--backend',
      host.tunnel.backend,
    ];
    const inHub = ['ip', 'netns', 'exec', 'hub'] as const;
    const hub = (...args: string[]) => host.hub.exec(wgdriver, 'hub', ...args, ...options);
    const values = { old: oldSeed, new: newSeed };
    const writeHub = async (...epochs: (keyof typeof values)[]) => {
      const keys =
        secret === 'seedfile'
          ? `seedfiles: [${epochs.map((epoch) => `${epoch}.seed`).join(', ')}]`
          : 'seedfile: old.seed, additionalfile: hub.additional';
      await writeFile(join(folder, 'hub.additional'), epochs.map((epoch) => `${values[epoch]}\n`).join(''));
      await writeFile(
        file,
        `interface: wg-rotated\nport: 51999\nnetworks:\n` +
          `  app: { subnet: 192.168.7.0/24, ${keys}, peers: 20, presharedkey: derived }\n`,
      );
    };
    await writeFile(join(folder, 'old.seed'), oldSeed);
    await writeFile(join(folder, 'new.seed'), newSeed);
    await writeFile(secretFile, oldSeed);
    await writeHub('old');
    const [program, ...words] = [...inHub, wgdriver, 'hub', 'serve', ...options];
    const serve = startDaemon(program ?? '', words);
    const peers = async () => (await host.hub.exec('wg', 'show', 'wg-rotated', 'peers')).split('\n').length;
    try {
      await untilReady(serve, 'the hub serves', () => serve.output().includes(' serving '));
      await host.createNetwork('wgnet', {
        subnet: '192.168.7.0/24',
        options: {
          peer: host.hub.endpoint.replace(/:\d+$/, ':51999'),
          peerkey: await host.hub.exec('wg', 'show', 'wg-rotated', 'public-key'),
          seed: '',
          additional: '',
          seedfile: secret === 'seedfile' ? secretFile : join(folder, 'old.seed'),
          ...(secret === 'additionalfile' && { additionalfile: secretFile }),
          presharedkey: 'derived',
        },
      });
      const containers = await startContainers('wgnet', '192.168.7');
      const endTraffic = await startTraffic(t, containers, '192.168.7.1', ['--net=/run/netns/hub']);

      await writeHub('new', 'old');
      await until('the second epoch', async () => (await peers()) === 40);
      await writeFile(secretFile, newSeed);
      assert.equal(
        await run(wgdriver, ['reload', 'wgnet']),
        'network wgnet: 3 running links reloaded, 3 with a new key',
      );
      await until('all to have moved', async () =>
        /rotation: 3 addresses have moved to the new key, 0 active/.test(await hub('status')),
      );
      await writeHub('new');
      await until('the old epoch to go', async () => (await peers()) === 20);
      await expectShortGaps(containers, '192.168.7.1', endTraffic);
    } finally {
      await host.clear();
      await serve.stop();
      await hub('down').catch(() => {});
      await rm(folder, { recursive: true });
    }
  });
}

// The example hub-on-this-host of compose.test.ts has it too, without the pings meanwhile.
test('with a hub on this host one reload does both ends', { skip: inFullRun }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-rotation-'));
  const seedFile = join(folder, 'app.seed');
  const link = 'wg-here';
  await writeFile(seedFile, oldSeed);
  await run('sh', ['-euc', host.tunnel.create, 'sh', link]);
  try {
    await sh(
      `umask 077; wg genkey >$2/key; wg set $1 private-key $2/key listen-port 51822
       ip address add 192.168.8.1/24 dev $1; ip link set $1 up`,
      link,
      folder,
    );
    await host.createNetwork('wgnet', {
      subnet: '192.168.8.0/24',
      options: { peer: '', peerkey: '', seed: '', additional: '', hublink: link, seedfile: seedFile },
    });
    const containers = await startContainers('wgnet', '192.168.8');
    const endTraffic = await startTraffic(t, containers, '192.168.8.1', ['--net=/proc/self/ns/net']);
    const before = await run('wg', ['show', link, 'peers']);
    await writeFile(seedFile, newSeed);
    assert.match(await run(wgdriver, ['reload']), /: 3 running links reloaded, 3 with a new key$/);
    const after = (await run('wg', ['show', link, 'peers'])).split('\n');
    assert.equal(after.length, 3);
    assert(after.every((key) => !before.includes(key)));
    await expectShortGaps(containers, '192.168.8.1', endTraffic);
  } finally {
    await host.clear();
    await run('ip', ['link', 'delete', link]);
    await rm(folder, { recursive: true });
  }
});

/** The hub answers each container, and none was without replies for longer than it may be. */
async function expectShortGaps(
  containers: ReadonlyMap<string, unknown>,
  hubAddress: string,
  endTraffic: () => readonly number[],
): Promise<void> {
  for (const name of containers.keys()) {
    await host.ping(name, hubAddress);
  }
  const gaps = endTraffic();
  console.log(`longest times without a reply in ms: ${gaps.join(' ')}`);
  assert(
    gaps.every((gap) => gap < mostMs),
    gaps.join(' '),
  );
}
