import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { importTestImage } from '../../build/host/engine.ts';
import { driverName, hostForTests } from '../../build/host/host.ts';
import { article } from '../../build/host/hub.ts';
import { linkReader, selectLinks } from '../../src/links/select.ts';
import { parseAddress, prefixOf } from '../../src/wireguard/address.ts';
import type { LinkChange } from '../../src/wireguard/change.ts';
import { clamp, PresharedKey, PrivateKey, parsePublicKey, publicKeyOf } from '../../src/wireguard/key.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import type { LinkStatus } from '../../src/wireguard/status.ts';
import { recordedLog } from '../support/recorded-log.ts';

const host = await hostForTests();
const links = await selectLinks(host.tunnel.backend, driverName, recordedLog());

test('a running container’s link is changed, setting by setting and all together, while it carries traffic', () =>
  host.hub.keepingPeers(async () => {
    // With mtu=auto the driver sets it back to what the way to the hub carries.
    await host.createNetwork('wgnet', { options: { mtu: '1420' } });
    await host.startContainer('one', '--network=wgnet');
    const [endpointId = '', sandbox = '', pid = ''] = (
      await host.engine.docker(
        'inspect',
        '--format={{.NetworkSettings.Networks.wgnet.EndpointID}} {{.NetworkSettings.SandboxKey}} {{.State.Pid}}',
        'one',
      )
    ).split(' ');
    const place = { name: linkName(endpointId), endpointId, sandbox };
    const read = async () => (await links.read(place)) ?? assert.fail('no link');
    const wgHub = (...args: readonly string[]) => host.hub.exec('wg', 'set', 'wg-hub', ...args);
    /** With a preshared key by the shell's stdin. */
    const wgHubWithKey = (key: PresharedKey, ...args: readonly string[]) =>
      host.hub.exec('sh', '-euc', 'echo "$0" | wg set wg-hub "$@"', key.toBase64(), ...args);

    const ping = spawn('nsenter', [`--target=${pid}`, '--net', 'ping', '-i', '0.2', host.hub.address], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let replies = 0;
    ping.stdout.on('data', (text: Buffer) => {
      replies += text.toString().match(/bytes from/g)?.length ?? 0;
    });
    const answered = async (what: string) => {
      const before = replies;
      for (let tries = 0; replies < before + 2; tries++) {
        assert(tries < 600, `no reply within 60 s after: ${what}`);
        await sleep(100);
      }
    };
    try {
      await answered('the start');
      const [begun, whole] = [await read(), await linkReader()(place)];
      assert.deepEqual(withoutCounters(begun), whole && withoutCounters(whole));
      assert.deepEqual([begun.name, begun.publicKey], ['wg0', article.firstPublicKey]);
      const [hub = assert.fail('no peer')] = begun.peers;
      assert.equal(hub.publicKey, host.hub.publicKey);
      assert(hub.lastHandshake !== undefined && hub.receivedBytes > 0);

      const change = async (what: string, changed: LinkChange, expected: Partial<Settings>) => {
        const before = withoutCounters(await read());
        await links.change(place, changed);
        await answered(what);
        assert.deepEqual(withoutCounters(await read()), { ...before, ...expected }, what);
      };
      const publicKey = parsePublicKey(host.hub.publicKey) ?? assert.fail();
      const peerOf = (more: Partial<Settings['peers'][number]>) => ({
        peers: [{ ...withoutCounters(begun).peers[0], ...more } as Settings['peers'][number]],
      });
      await change(
        'keepalive',
        { peers: [{ publicKey, persistentKeepaliveInterval: 9 }] },
        peerOf({ persistentKeepaliveInterval: 9 }),
      );
      const allowedIps = [prefixOf('0.0.0.0/1'), prefixOf('128.0.0.0/1')];
      const texts = ['0.0.0.0/1', '128.0.0.0/1'];
      const known = { persistentKeepaliveInterval: 9, allowedIps: texts };
      await change('allowed IPs', { peers: [{ publicKey, allowedIps }] }, peerOf(known));
      await change('MTU', { mtu: 1300 }, { mtu: 1300 });

      const [address = ''] = host.hub.endpoint.split(':');
      const endpoint = { address: parseAddress(address) ?? assert.fail(), port: 51_999 };
      await wgHub('listen-port', '51999');
      const moved = { ...known, endpoint: `${address}:51999` };
      await change('endpoint', { peers: [{ publicKey, endpoint }] }, peerOf(moved));

      const keys = [5, 6].map((n) => new PrivateKey(clamp(new Uint8Array(32).fill(n)))) as [
        PrivateKey,
        PrivateKey,
      ];
      const psk = new PresharedKey(new Uint8Array(32).fill(7));
      const containers = `${article.firstAddress}/32`;
      await wgHub('peer', publicKeyOf(keys[0]), 'allowed-ips', containers);
      await change('private key', { privateKey: keys[0] }, { publicKey: publicKeyOf(keys[0]) });
      await wgHubWithKey(psk, 'peer', publicKeyOf(keys[0]), 'preshared-key', '/dev/stdin');
      await change(
        'preshared key',
        { peers: [{ publicKey, presharedKey: psk }] },
        peerOf({ ...moved, hasPresharedKey: true }),
      );

      const newPsk = new PresharedKey(new Uint8Array(32).fill(8));
      await wgHubWithKey(
        newPsk,
        'peer',
        publicKeyOf(keys[1]),
        'preshared-key',
        '/dev/stdin',
        'allowed-ips',
        containers,
      );
      await wgHub('listen-port', '51820');
      await change(
        'all together',
        {
          privateKey: keys[1],
          mtu: begun.mtu ?? assert.fail(),
          peers: [
            {
              publicKey,
              presharedKey: newPsk,
              endpoint: { ...endpoint, port: 51_820 },
              persistentKeepaliveInterval: 25,
              allowedIps: [prefixOf('0.0.0.0/0')],
            },
          ],
        },
        {
          mtu: begun.mtu,
          publicKey: publicKeyOf(keys[1]),
          ...peerOf({
            hasPresharedKey: true,
            endpoint: `${address}:51820`,
            persistentKeepaliveInterval: 25,
            allowedIps: ['0.0.0.0/0'],
          }),
        },
      );
      assert.equal(ping.exitCode, null);
    } finally {
      ping.kill();
    }
  }));

test('a container with NET_ADMIN may rename its link, give it an alias and take it down: its address is free again', async () => {
  await importTestImage(host.engine, ['ip']);
  await host.createNetwork('wgnet');
  const down = ['dev', 'wg0', 'down'];
  const changes = [
    [down],
    [down, ['dev', 'wg0', 'name', 'eth7']],
    [['dev', 'wg0', 'alias', 'wgdriver:other:\u001b\u0001']],
    [down, ['dev', 'wg0', 'alias', 'somebody else'], ['dev', 'wg0', 'name', 'lo7']],
  ];
  // The last has all of it.
  for (const change of process.env.WGDRIVER_TEST_FULL === undefined ? changes.slice(-1) : changes) {
    await host.startContainer('one', '--network=wgnet', '--cap-add=NET_ADMIN', '--ip=192.168.5.7');
    await host.ping('one', host.hub.address);
    for (const words of change) {
      await host.exec('one', 'ip', 'link', 'set', ...words);
    }
    await host.engine.docker('rm', '-f', 'one');
    await host.startContainer('two', '--network=wgnet', '--ip=192.168.5.7');
    await host.ping('two', host.hub.address);
    await host.engine.docker('rm', '-f', 'two');
  }
});

type Settings = ReturnType<typeof withoutCounters>;

function withoutCounters({ peers, ...link }: LinkStatus) {
  return {
    ...link,
    peers: peers.map(
      ({ lastHandshake: _, receivedBytes: __, sentBytes: ___, allowedIps, endpoint, ...peer }) => ({
        ...peer,
        endpoint: endpoint && `${endpoint.address}:${endpoint.port}`,
        allowedIps: allowedIps.map((prefix) => `${prefix.address}/${prefix.length}`).sort(),
      }),
    ),
  };
}
