/**
 * What the article does, with its own numbers: “Using WireGuard as the network for a Docker container”,
 * bestov.io/blog/using-wireguard-as-the-network-for-a-docker-container
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { run, sh, until } from '../../build/host/commands.ts';
import { startDaemon } from '../../build/host/daemon.ts';
import { testImage } from '../../build/host/engine.ts';
import { hostForTests, pingUntilAnswered } from '../../build/host/host.ts';
import { article, type Hub, withHub } from '../../build/host/hub.ts';

const host = await hostForTests();

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
const containers = Number(process.env.WGDRIVER_TEST_CONTAINERS ?? (isFull ? 100 : 5));
const moreContainers = isFull ? 10 : 1;

const subnet = '10.0.42.0/25';
const hubAddress = '10.0.42.126';

test('the article’s own hub configuration and commands, with the hub on the same host', async () => {
  const config = resolve('test/scenarios/wg-out.conf');
  await run('wg-quick', ['up', config]);
  try {
    await host.createNetwork('wireguard-testnet', {
      subnet: '192.168.5.0/30',
      options: { peer: 'localhost:10101', peerkey: 'ZDT64H99t/mK5RFAxcZRx2KTK4PN8cVP55zWhkFXWgk=' },
      args: ['--gateway=192.168.5.1'],
    });
    await host.startContainer('arch', '--network=wireguard-testnet');
    await sh(pingUntilAnswered, '192.168.5.2');
    await host.ping('arch', '192.168.5.1');
  } finally {
    await run('wg-quick', ['down', config]);
  }
});

/** The hub of the article's scenarios, and a network on it. */
function withFarHub(use: (hub: Hub) => Promise<void>): Promise<void> {
  return withHub({ tunnel: host.tunnel, name: 'far', hop: 1, address: `${hubAddress}/25` }, use);
}

function peersOf(count: number, additional: string = article.additional): string[] {
  const keys = [`--seed=${article.seed}`, `--additional=${additional}`];
  return [...keys, `--address=${hubAddress}`, `--peers=${count}`, subnet];
}

function createNetwork(hub: Hub, additional: string = article.additional): Promise<string> {
  return host.createNetwork('wgnet', {
    subnet,
    options: { peer: hub.endpoint, peerkey: hub.publicKey, additional },
    args: [`--gateway=${hubAddress}`],
  });
}

/** Latest handshakes by public key, in seconds since 1970; 0 is never. */
async function handshakes(hub: Hub): Promise<Map<string, number>> {
  const lines = (await hub.exec('wg', 'show', 'wg-far', 'latest-handshakes')).split('\n');
  return new Map(
    lines.map((line) => {
      const [key = '', time] = line.split('\t');
      return [key, Number(time)];
    }),
  );
}

test(`the article’s scenarios 1 and 2: 100 peers, ${containers} containers; ten peers more in mid-transfer`, async () => {
  const shared = await mkdtemp(join(tmpdir(), 'wgdriver-article-'));
  await mkdir(join(shared, 'reached'));
  try {
    await withFarHub(async (hub) => {
      await hub.configure(...peersOf(100));
      assert.equal((await handshakes(hub)).size, 100);
      await createNetwork(hub);
      for (let i = 1; i <= containers; i += 1) {
        const neighbour = i === 1 ? containers : i - 1;
        await startReaching(shared, `app${i}`, [hubAddress, `10.0.42.${neighbour}`]);
      }
      await untilReached(shared, containers);

      for (let i = 0; i < moreContainers; i += 1) {
        const options = [`--ip=10.0.42.${110 - i}`];
        await startReaching(shared, `more${i}`, [hubAddress, '10.0.42.1'], options);
      }
      await duringTransfer(shared, 'app1', hub, async () => {
        const before = await handshakes(hub);
        await hub.sync(...peersOf(110));
        const after = await handshakes(hub);
        assert.equal(after.size, 110);
        const connected = [...before].filter(([, time]) => time > 0);
        assert.equal(connected.length, containers);
        for (const [key] of connected) {
          assert.notEqual(after.get(key), 0, `${key} has kept its session`);
        }
        await untilReached(shared, containers + moreContainers);
      });
    });
  } finally {
    await rm(shared, { recursive: true });
  }
});

const reach = `
  for address; do until ping -c 1 -W 1 "$address"; do :; done; done >/dev/null 2>&1
  touch "/shared/reached/$(hostname)"
  exec sleep 100000`;

/** Starts a container that reaches some addresses and says so in a file: much less work than exec for each. */
async function startReaching(
  shared: string,
  name: string,
  addresses: readonly string[],
  options: readonly string[] = [],
): Promise<void> {
  const container = ['--network=wgnet', `--name=${name}`, `--hostname=${name}`, `--volume=${shared}:/shared`];
  await host.engine.docker(
    'run',
    '-d',
    ...container,
    ...options,
    testImage,
    'sh',
    '-c',
    reach,
    'sh',
    ...addresses,
  );
}

function untilReached(shared: string, count: number): Promise<void> {
  const folder = join(shared, 'reached');
  return until(
    `${count} containers reach the others`,
    async () => (await readdir(folder)).length === count,
    60_000,
  );
}

const block = randomBytes(65_536);

const send = `
  sent=0
  {
    until [ -e /shared/stop ]; do
      cat /shared/block
      sent=$((sent + 1))
      sleep 0.02
    done
    echo $sent >/shared/sent
  } | nc "$1" 5000`;

/** Runs `action` in the middle of a stream over TCP from a container to the hub, which has to arrive whole. */
async function duringTransfer(
  shared: string,
  container: string,
  hub: Hub,
  action: () => Promise<void>,
): Promise<void> {
  const received = join(shared, 'received');
  const receivedBytes = async () => (await stat(received)).size;
  const goesOn = async () => {
    const bytes = await receivedBytes();
    await until('the transfer goes on', async () => (await receivedBytes()) > bytes);
  };
  await writeFile(join(shared, 'block'), block);
  // nc ends when its stdin does, and this one never does.
  await sh('mkfifo "$1/never"', shared);
  const receiver = startDaemon('ip', [
    ...['netns', 'exec', 'far', 'sh', '-c'],
    'exec busybox nc -l -p 5000 <>"$1/never" >"$1/received"',
    ...['sh', shared],
  ]);
  try {
    await until('the hub listens', async () =>
      /:1388 /.test(await hub.exec('sh', '-c', 'cat /proc/net/tcp*')),
    );
    await host.engine.docker('exec', '-d', container, 'sh', '-c', send, 'sh', hubAddress);
    await goesOn();
    await action();
    await goesOn();
    await writeFile(join(shared, 'stop'), '');
    await until('the transfer ends', () => receiver.hasEnded);
  } finally {
    await receiver.stop();
  }
  const sent = Number(await readFile(join(shared, 'sent'), 'utf8'));
  const all = await readFile(received);
  assert.equal(all.length, sent * block.length);
  for (let i = 0; i < sent; i += 1) {
    assert.ok(all.subarray(i * block.length, (i + 1) * block.length).equals(block), `block ${i} is intact`);
  }
}

test('the article’s scenario 3: with a new additional, old keys are refused and new ones served', async () => {
  const additional = Buffer.from('anotheradditional').toString('base64');
  await withFarHub(async (hub) => {
    await hub.configure(...peersOf(10));
    await createNetwork(hub);
    await host.startContainer('one', '--network=wgnet');
    await host.ping('one', hubAddress);
    const oldKey = await host.wgShow('one', 'public-key');

    await hub.sync(...peersOf(10, additional));
    // From the start on, so that it is no old session that is missing.
    await host.engine.docker('restart', '-t', '0', 'one');
    await assert.rejects(host.exec('one', 'ping', '-c', '2', '-W', '1', hubAddress));
    assert.equal(await host.wgShow('one', 'public-key'), oldKey);
    const [, received = 0, sent = 0] = (await host.wgShow('one', 'transfer')).split('\t').map(Number);
    assert.ok(sent > 0, 'it has asked for a handshake');
    assert.equal(received, 0);
    assert.deepEqual(new Set((await handshakes(hub)).values()), new Set([0]));

    await host.clear();
    await createNetwork(hub, additional);
    await host.startContainer('one', '--network=wgnet');
    await host.ping('one', hubAddress);
    const newKey = await host.wgShow('one', 'public-key');
    assert.notEqual(newKey, oldKey);
    assert.ok((await handshakes(hub)).get(newKey), 'the hub has shaken hands with the new key');
  });
});
