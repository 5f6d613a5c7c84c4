/** Changes of a link in a container, of any backend and with traffic going on; for a network namespace of its own. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, rmSync, symlinkSync } from 'node:fs';
import type { Links } from '../../src/links/links.ts';
import { parseAddress, prefixOf } from '../../src/wireguard/address.ts';
import type { LinkChange } from '../../src/wireguard/change.ts';
import { clamp, PresharedKey, PrivateKey, publicKeyOf } from '../../src/wireguard/key.ts';
import type { LinkStatus } from '../../src/wireguard/status.ts';

const sandbox = '/run/netns/box';
const place = { name: 'wgd1a2b3c', endpointId: 'e'.repeat(64), sandbox };
/** The UAPI sockets of a userspace link, by its name of then and of now. */
const sockets = ['wgd1a2b3c', 'wg0'].map((name) => `/var/run/wireguard/${name}.sock`) as [string, string];

const keyOf = (n: number) => new PrivateKey(clamp(new Uint8Array(32).fill(n)));
const [first, second, third, hubKey, stranger] = [1, 2, 3, 4, 5].map(keyOf) as [
  PrivateKey,
  PrivateKey,
  PrivateKey,
  PrivateKey,
  PrivateKey,
];
const hubPublicKey = publicKeyOf(hubKey);
const loopback = parseAddress('127.0.0.1') ?? assert.fail();
const psk = (n: number) => new PresharedKey(new Uint8Array(32).fill(n));
const firstPort = 45_001;

function ip(...args: readonly string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

/** A link made on the host, and taken into a container as the engine does it. */
async function addContainer(links: Links): Promise<void> {
  const { name, endpointId } = place;
  await links.create({ name, endpointId, mtu: 1420 });
  await links.configure(name, {
    privateKey: first,
    peers: [
      {
        publicKey: hubPublicKey,
        endpoint: { address: loopback, port: firstPort },
        persistentKeepaliveInterval: 25,
        allowedIps: [prefixOf('10.99.0.0/24')],
      },
      { publicKey: publicKeyOf(stranger), allowedIps: [prefixOf('10.98.0.0/24')] },
    ],
  });
  ip('netns', 'add', 'box');
  ip('link', 'set', 'dev', name, 'netns', 'box', 'name', 'wg0');
  if (existsSync(sockets[0])) {
    // For `wg`, which looks for one by the name that the link has now.
    symlinkSync(...sockets);
  }
  ip('-n', 'box', 'address', 'add', '10.99.0.2/24', 'dev', 'wg0');
  ip('-n', 'box', 'link', 'set', 'dev', 'wg0', 'up');
}

function deleteContainer(): void {
  rmSync(sockets[1], { force: true });
  ip('netns', 'delete', 'box');
}

/** @param maker makes the links, where the kernel has no WireGuard */
export async function assertReadsAndChanges(links: Links, maker = links): Promise<void> {
  const hub = { name: 'wgdhub', endpointId: 'f'.repeat(64) };
  await maker.create({ ...hub, mtu: 1420 });
  await maker.configure(hub.name, {
    privateKey: hubKey,
    listenPort: firstPort,
    peers: [{ publicKey: publicKeyOf(first), allowedIps: [prefixOf('10.99.0.2/32')] }],
  });
  ip('address', 'add', '10.99.0.1/24', 'dev', hub.name);
  ip('link', 'set', 'dev', hub.name, 'up');
  await addContainer(maker);
  const ping = spawn('ip', ['netns', 'exec', 'box', 'ping', '-i', '0.1', '10.99.0.1'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let replies = 0;
  ping.stdout.on('data', (text: Buffer) => {
    replies += text.toString().match(/bytes from 10\.99\.0\.1/g)?.length ?? 0;
  });
  /** The tunnel works, or works again: a lost handshake is tried again after 5 s. */
  const answered = async (what: string) => {
    const before = replies;
    const started = performance.now();
    while (replies < before + 3) {
      assert(performance.now() - started < 60_000, `no reply within 60 s after: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  try {
    await answered('the start');
    const read = async () => (await links.read(place)) ?? assert.fail('no link');
    const addresses = () => ip('-n', 'box', '-json', 'address', 'show', 'dev', 'wg0');
    const shownBefore = addresses();
    const begun = await read();
    assert.equal(begun.name, 'wg0');
    assert.equal(begun.peers.length, 2);
    const hubPeer = begun.peers.find(({ publicKey }) => publicKey === hubPublicKey) ?? assert.fail();
    assert(hubPeer.lastHandshake !== undefined && hubPeer.receivedBytes > 0 && hubPeer.sentBytes > 0);
    const ofHub = (onHub: LinkChange) => maker.change(hub, onHub);

    let expected = settingsOf(begun);
    /** Makes a change, and expects nothing else to be different. */
    const change = async (what: string, changed: LinkChange, onHub?: LinkChange) => {
      await Promise.all([onHub && ofHub(onHub), links.change(place, changed)]);
      expected = expectedAfter(expected, changed);
      assert.deepEqual(settingsOf(await read()), expected, what);
      await answered(what);
    };
    const peer = { publicKey: hubPublicKey };

    await change('keepalive', { peers: [{ ...peer, persistentKeepaliveInterval: 7 }] });
    const allowedIps = [prefixOf('10.99.0.0/24'), prefixOf('10.97.0.0/16'), prefixOf('fd99::/64')];
    await change('allowed IPs', { peers: [{ ...peer, allowedIps }] });
    await change('MTU', { mtu: 1300 });
    const { lastHandshake } = (await read()).peers.find(({ publicKey }) => publicKey === hubPublicKey) ?? {};
    assert.deepEqual(lastHandshake, hubPeer.lastHandshake, 'none of these takes a new handshake');
    const endpoint = { address: loopback, port: firstPort + 1 };
    await change('endpoint', { peers: [{ ...peer, endpoint }] }, { listenPort: endpoint.port });
    const pskOf = (key: PrivateKey, presharedKey: PresharedKey | 'none') => ({
      peers: [{ publicKey: publicKeyOf(key), presharedKey }],
    });
    await change('preshared key', { peers: [{ ...peer, presharedKey: psk(6) }] }, pskOf(first, psk(6)));
    const onHub = (publicKey: LinkStatus['publicKey'] & string, presharedKey: PresharedKey | 'none') => ({
      publicKey,
      presharedKey,
      allowedIps: [prefixOf('10.99.0.2/32')],
    });
    // The new key takes a new handshake, which takes the preshared key.
    await change(
      'private key',
      { privateKey: second },
      {
        peers: [{ publicKey: publicKeyOf(first), remove: true }, onHub(publicKeyOf(second), psk(6))],
      },
    );
    await change('firewall mark', { fwmark: 0x1234 });
    await change('listen port', { listenPort: firstPort + 7 });
    await change(
      'all of it together',
      {
        privateKey: third,
        listenPort: firstPort + 8,
        fwmark: 0,
        mtu: 1380,
        peers: [
          {
            ...peer,
            presharedKey: psk(8),
            endpoint: { address: loopback, port: firstPort + 2 },
            persistentKeepaliveInterval: 0,
            allowedIps: [prefixOf('10.99.0.0/24')],
          },
        ],
      },
      {
        listenPort: firstPort + 2,
        peers: [{ publicKey: publicKeyOf(second), remove: true }, onHub(publicKeyOf(third), psk(8))],
      },
    );
    await change('no preshared key', { peers: [{ ...peer, presharedKey: 'none' }] }, pskOf(third, 'none'));
    await change('nothing', {});
    await change('a peer that is only to be updated, and is not there', {
      peers: [{ publicKey: publicKeyOf(first), updateOnly: true, allowedIps, presharedKey: psk(9) }],
    });
    await change('two peers, one of them new', {
      peers: [
        { publicKey: publicKeyOf(second), presharedKey: psk(1), allowedIps: [prefixOf('10.96.0.0/24')] },
        { ...peer, updateOnly: true, persistentKeepaliveInterval: 9 },
        { publicKey: publicKeyOf(stranger), presharedKey: psk(2) },
      ],
    });
    // As a key that is rotated: the new one has no addresses yet, the old one has them no more.
    await change('peers without allowed IPs, one of them new', {
      peers: [
        { publicKey: publicKeyOf(first), presharedKey: psk(3), allowedIps: [] },
        { publicKey: publicKeyOf(second), presharedKey: psk(4), allowedIps: [] },
      ],
    });
    await change('a peer away', { peers: [{ publicKey: publicKeyOf(stranger), remove: true }] });
    assert.equal(addresses().replace('"mtu":1380', '"mtu":1420'), shownBefore);
    assert.equal(ping.exitCode, null);

    await assert.rejects(links.change(place, { mtu: 0xffff_ffff }), { name: 'LinkError' });
    assert.deepEqual(settingsOf(await read()), expected);
    await assertPlaces(links);
  } finally {
    ping.kill();
    deleteContainer();
    await maker.delete(hub.name);
  }
}

/** Where a link is looked for. */
async function assertPlaces(links: Links): Promise<void> {
  const elsewhere = { name: 'wgdnone', endpointId: 'n'.repeat(64) };
  const places = [elsewhere, { ...elsewhere, sandbox }, { ...elsewhere, sandbox: '/run/netns/none' }];
  for (const nowhere of places) {
    assert.equal(await links.read(nowhere), undefined);
    for (const change of [{ mtu: 1400 }, { fwmark: 1 }]) {
      await assert.rejects(links.change(nowhere, change), {
        name: 'LinkError',
        code: 'ENODEV',
        message: 'change link wgdnone: it is neither in its container nor on the host',
      });
    }
  }
  // A file without a namespace, as the engine leaves it for a moment.
  execFileSync('touch', ['/run/netns/empty']);
  assert.equal(await links.read({ ...elsewhere, sandbox: '/run/netns/empty' }), undefined);
}

/** What can be set of a link; in the order of the peers' keys, which WireGuard does not promise. */
function settingsOf({ name, mtu, publicKey, listenPort, fwmark, peers }: LinkStatus) {
  return {
    name,
    mtu,
    publicKey,
    listenPort,
    fwmark,
    peers: peers
      .map(({ lastHandshake: _, receivedBytes: __, sentBytes: ___, allowedIps, endpoint, ...peer }) => ({
        ...peer,
        endpoint: endpoint && `${endpoint.address}:${endpoint.port}`,
        allowedIps: allowedIps.map(({ address, length }) => `${address}/${length}`).sort(),
      }))
      .sort((a, b) => a.publicKey.localeCompare(b.publicKey)),
  };
}

type Settings = ReturnType<typeof settingsOf>;

function expectedAfter(before: Settings, { privateKey, mtu, listenPort, fwmark, peers = [] }: LinkChange) {
  const byKey = new Map(before.peers.map((peer) => [peer.publicKey, peer]));
  for (const change of peers) {
    const known = byKey.get(change.publicKey);
    if (change.remove) {
      byKey.delete(change.publicKey);
    } else if (known !== undefined || !change.updateOnly) {
      const status = {
        publicKey: change.publicKey,
        hasPresharedKey: known?.hasPresharedKey ?? false,
        endpoint: undefined,
        persistentKeepaliveInterval: 0,
        lastHandshake: undefined,
        receivedBytes: 0,
        sentBytes: 0,
        allowedIps: [],
      };
      const changed = settingsOf({
        ...before,
        peers: [
          {
            ...status,
            endpoint: change.endpoint,
            persistentKeepaliveInterval: change.persistentKeepaliveInterval ?? 0,
            allowedIps: change.allowedIps ?? [],
            ...(change.presharedKey && { hasPresharedKey: change.presharedKey !== 'none' }),
          },
        ],
      }).peers[0];
      assert(changed);
      byKey.set(change.publicKey, {
        ...changed,
        ...(change.endpoint ? {} : { endpoint: known?.endpoint }),
        ...(change.persistentKeepaliveInterval === undefined && known
          ? { persistentKeepaliveInterval: known.persistentKeepaliveInterval }
          : {}),
        ...(change.allowedIps === undefined && known ? { allowedIps: known.allowedIps } : {}),
      });
    }
  }
  return {
    ...before,
    ...(privateKey && { publicKey: publicKeyOf(privateKey) }),
    ...(mtu !== undefined && { mtu }),
    ...(listenPort !== undefined && { listenPort }),
    ...(fwmark !== undefined && { fwmark }),
    peers: [...byKey.values()].sort((a, b) => a.publicKey.localeCompare(b.publicKey)),
  };
}
