import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { attempt, run, sh, until } from '../../build/host/commands.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { hostForTests } from '../../build/host/host.ts';
import { article } from '../../build/host/hub.ts';

const host = await hostForTests();
const link = 'wg-here';

/** A WireGuard link of the host, as wg-quick would make it, with somebody's peer. */
async function makeHub(): Promise<void> {
  await run('sh', ['-euc', host.tunnel.create, 'sh', link]);
  await sh(
    `umask 077; wg genkey >/run/$1.key
     wg set $1 private-key /run/$1.key listen-port 51821
     wg set $1 peer $(wg genkey | wg pubkey) allowed-ips 192.168.5.99/32
     ip address add 192.168.5.1/24 dev $1
     ip link set $1 up
     sysctl -qw net.ipv4.conf.$1.forwarding=1`,
    link,
  );
}

const peers = async () => (await run('wg', ['show', link, 'allowed-ips'])).split('\n').sort();

test('a hub that is a link of this host: the containers’ peers come and go, and reach one another', async () => {
  await makeHub();
  try {
    const [laptop = ''] = await peers();
    const options = { peer: '', peerkey: '', hublink: link };
    await assert.rejects(
      host.createNetwork('wgnet', { options: { ...options, hublink: 'wg-none' } }),
      /hublink=wg-none: this host has no WireGuard link of that name/,
    );
    await host.createNetwork('wgnet', { options });
    await host.startContainer('one', '--network=wgnet');
    await host.startContainer('two', '--network=wgnet');
    const [first, second] = [article.firstAddress, '192.168.5.3'];
    assert.equal((await peers()).length, 3);
    assert((await peers()).includes(`${article.firstPublicKey}\t${first}/32`));
    await host.ping('one', '192.168.5.1');
    await run('ping', ['-c', '1', '-W', '5', first]);

    // Docker's drop policy is between them (doctor says so: test/doctor/hub-link.test.ts).
    assert.notEqual(
      (await attempt('docker', ['exec', 'two', 'ping', '-c', '1', '-W', '1', first])).status,
      0,
    );
    await sh(
      `iptables -I DOCKER-USER -i $1 -j ACCEPT
       iptables -I DOCKER-USER -o $1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
      link,
    );
    await host.ping('two', first);

    await assert.rejects(
      host.startContainer('three', '--network=wgnet', '--ip=192.168.5.99'),
      /has 192\.168\.5\.99\/32;/,
    );
    await host.engine.docker('rm', '-f', 'three');

    // Somebody takes a peer away: it comes back. WireGuard opens a new handshake 15 s after a packet without an answer.
    await run('wg', ['set', link, 'peer', article.firstPublicKey, 'remove']);
    await until('the peer to come back', async () =>
      (await peers()).includes(`${article.firstPublicKey}\t${first}/32`),
    );
    await host.ping('one', '192.168.5.1').catch(() => host.ping('one', '192.168.5.1'));

    await host.engine.docker('rm', '-f', 'one', 'two');
    assert.deepEqual(await peers(), [laptop]);
    assert(!(await peers()).some((line) => line.includes(second)));
  } finally {
    await host.clear();
    await sh(
      `set +e
       iptables -D DOCKER-USER -i $1 -j ACCEPT
       iptables -D DOCKER-USER -o $1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
       ip link delete $1; rm /run/$1.key`,
      link,
    ).catch(() => {});
  }
});

// test/commands/hub.test.ts has what it refuses, with a userspace link.
test('hub adopt takes over such a link as it is, and no link that is not WireGuard’s', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-adopt-'));
  const file = join(folder, 'hub.yaml');
  const adopt = (name: string) =>
    run(wgdriver, ['hub', 'adopt', name, '--config', file, '--backend', host.tunnel.backend]);
  await makeHub();
  try {
    const [laptop = ''] = await peers();
    await writeFile(
      file,
      `interface: ${link}\nport: 51821\nprivatekeyfile: /run/${link}.key\n` +
        `networks:\n  app: { subnet: 192.168.5.0/24, seedfile: seed, peers: 5 }\n` +
        `clients:\n  laptop: { address: 192.168.5.99, publickey: ${laptop.split('\t')[0]} }\n`,
    );
    await writeFile(join(folder, 'seed'), article.seed);
    assert.match(await adopt(link), /now belongs to this hub, with its key, port 51821 and 1 peers/);
    assert.match(await adopt(link), /already belongs to this hub/);
    await writeFile(file, `interface: lo\nnetworks: { app: { subnet: 192.168.5.0/24, seedfile: seed } }\n`);
    await assert.rejects(adopt('lo'), /link lo is not a WireGuard link/);
  } finally {
    await run('ip', ['link', 'delete', link]);
    await rm(folder, { recursive: true });
  }
});
