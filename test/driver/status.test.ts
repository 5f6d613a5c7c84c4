import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { EndpointState } from '../../src/driver/endpoint-states.ts';
import { createStatus, type Health } from '../../src/driver/status.ts';
import type { ProtectionState } from '../../src/killswitch/sandbox.ts';
import type { Place } from '../../src/links/links.ts';
import { peersOf } from '../../src/networks/tunnel.ts';
import { type Address, parseAddress, prefixOf } from '../../src/wireguard/address.ts';
import { parsePublicKey } from '../../src/wireguard/key.ts';
import { linkName } from '../../src/wireguard/link-name.ts';
import type { LinkStatus, PeerStatus } from '../../src/wireguard/status.ts';
import { articleOptions, network, peerKeyText } from '../support/networks.ts';

const publicKey = parsePublicKey(peerKeyText) ?? assert.fail();
const address: Address = parseAddress('192.0.2.1') ?? assert.fail();
const nowMs = 1_000_000;
const unixMs = Date.parse('2026-11-26T12:00:00Z');

interface Case {
  readonly ageSeconds?: number;
  readonly handshakeSecondsAgo?: number;
  readonly hasLink?: boolean;
  readonly hasEndpoint?: boolean;
  readonly keepalive?: number;
  readonly hasSent?: boolean;
  readonly protection?: ProtectionState | 'unknown';
  /** The clock was set by so much after the driver had seen the link, ten seconds ago. */
  readonly clockSetBySeconds?: number;
  /** A call for it is under way. */
  readonly isCalled?: boolean;
  readonly hasPeers?: boolean;
  readonly isFailing?: boolean;
  readonly options?: Readonly<Record<string, string>>;
}

/** How often what containers have in common was asked for. */
let asked: string[] = [];

async function statusOf(found: Case) {
  const [read] = await readAll(found, ['e1']);
  return read?.status ?? assert.fail();
}

async function readAll(
  {
    ageSeconds,
    handshakeSecondsAgo,
    hasLink = true,
    hasEndpoint = true,
    keepalive = 25,
    hasSent = false,
    protection = 'up',
    clockSetBySeconds = 0,
    isCalled = false,
    hasPeers = true,
    isFailing = false,
    options = {},
  }: Case,
  ids: readonly string[],
  reading: () => Promise<void> = async () => {},
) {
  const peer: PeerStatus = {
    publicKey,
    hasPresharedKey: false,
    endpoint: hasEndpoint ? { address, port: 51820 } : undefined,
    persistentKeepaliveInterval: keepalive,
    lastHandshake:
      handshakeSecondsAgo === undefined ? undefined : new Date(unixMs - handshakeSecondsAgo * 1000),
    receivedBytes: 1,
    sentBytes: 2,
    allowedIps: [],
  };
  const link: LinkStatus = {
    name: 'wg0',
    mtu: 1420,
    publicKey,
    listenPort: 1,
    fwmark: 0,
    peers: hasPeers ? [peer] : [],
  };
  const states = ids.map(
    (endpointId): EndpointState => ({
      endpoint: {
        endpointId,
        networkId: 'network',
        addresses: [prefixOf('192.168.5.2/24')],
        hasDnsServers: false,
      },
      joined: { endpointId, sandbox: '/run/netns/x', stage: 'marked' },
      isUndeleted: false,
      revision: 1,
      touchedMs: isCalled ? nowMs - 1000 : undefined,
      sinceMs: ageSeconds === undefined ? undefined : nowMs - ageSeconds * 1000,
      place: { name: linkName(endpointId), endpointId, sandbox: '/run/netns/x' },
    }),
  );
  const places: Place[] = [];
  asked = [];
  const made = network({ options: { ...articleOptions, ...options } });
  const read = await createStatus({
    lifecycle: {
      endpoints: () => states,
      network() {
        asked.push('network');
        return made;
      },
      peers() {
        asked.push('peers');
        return peersOf(made, {});
      },
    },
    links: {
      async read(place) {
        places.push(place);
        await reading();
        return hasLink ? link : undefined;
      },
    },
    follow: {
      seen: () => ({
        status: link,
        atMs: nowMs - 10_000,
        sinceMs: 0,
        revision: 1,
        peers: new Map([
          [
            publicKey,
            {
              handshake: peer.lastHandshake?.getTime(),
              ageMs:
                handshakeSecondsAgo === undefined
                  ? undefined
                  : Math.max(0, handshakeSecondsAgo - clockSetBySeconds - 10) * 1000,
              hasSent,
              hasReceived: false,
            },
          ],
        ]),
      }),
    },
    hubNames: { isFailing: (host) => isFailing && host === 'hub.example' },
    guard: {
      stateOf(sandbox) {
        assert.equal(sandbox, '/run/netns/x');
        return protection === 'unknown' ? undefined : protection;
      },
    },
    now: () => nowMs,
    unixNow: () => unixMs,
  })();
  assert.equal(places[0]?.sandbox, '/run/netns/x');
  return read;
}

const cases: readonly (readonly [what: string, found: Case, health: Health])[] = [
  ['a fresh handshake', { handshakeSecondsAgo: 100 }, 'ok'],
  ['an old handshake, keepalive on', { handshakeSecondsAgo: 181 }, 'silent'],
  ['no handshake, and nobody knows since when', {}, 'silent'],
  ['no handshake yet, 29 s old', { ageSeconds: 29 }, 'new'],
  ['no handshake yet, 31 s old', { ageSeconds: 31 }, 'ok'],
  ['no handshake, 181 s old', { ageSeconds: 181 }, 'silent'],
  ['keepalive off and nothing sent', { handshakeSecondsAgo: 5000, keepalive: 0 }, 'idle'],
  ['keepalive off and something sent', { handshakeSecondsAgo: 5000, keepalive: 0, hasSent: true }, 'silent'],
  ['a name that does not resolve', { hasEndpoint: false, options: { peer: 'hub.example:51820' } }, 'no name'],
  [
    'a name that does not resolve, 31 s old',
    { ageSeconds: 31, hasEndpoint: false, options: { peer: 'hub.example:51820' } },
    'no name',
  ],
  [
    'a name that does not resolve, and a tunnel that works',
    { hasEndpoint: false, handshakeSecondsAgo: 10, options: { peer: 'hub.example:51820' } },
    'ok',
  ],
  [
    'a name that does not resolve any more, and a tunnel that is dead',
    { handshakeSecondsAgo: 200, isFailing: true, options: { peer: 'hub.example:51820' } },
    'no name',
  ],
  [
    'a name that does not resolve any more, and a tunnel that works',
    { handshakeSecondsAgo: 170, isFailing: true, options: { peer: 'hub.example:51820' } },
    'ok',
  ],
  ['no link', { hasLink: false }, 'silent'],
  ['a link whose peers were taken away', { hasPeers: false, ageSeconds: 31 }, 'silent'],
  ['no kill switch in place', { handshakeSecondsAgo: 1, protection: 'down' }, 'unprotected'],
  [
    'a kill switch that nothing is known of',
    { handshakeSecondsAgo: 1, protection: 'unknown' },
    'unprotected',
  ],
  ['a kill switch that is about to be', { handshakeSecondsAgo: 1, protection: 'coming' }, 'ok'],
  [
    'no kill switch wanted',
    { handshakeSecondsAgo: 1, protection: 'unknown', options: { killswitch: 'off' } },
    'ok',
  ],
  ['a clock that was set forward', { handshakeSecondsAgo: 3620, clockSetBySeconds: 3600 }, 'ok'],
  [
    'a clock that was set back under an old handshake',
    { handshakeSecondsAgo: 20, clockSetBySeconds: -3600 },
    'silent',
  ],
  ['a clock that was set back', { handshakeSecondsAgo: -5000 }, 'ok'],
];

for (const [what, found, health] of cases) {
  test(`${what}: ${health}`, async () => {
    assert.equal((await statusOf(found)).health, health);
  });
}

test('what is told of a container, and that nothing of it is secret', async () => {
  assert.deepEqual(await statusOf({ handshakeSecondsAgo: 10, options: { peer: 'hub.example:51820' } }), {
    endpointId: 'e1',
    networkId: 'network',
    addresses: ['192.168.5.2'],
    health: 'ok',
    killswitch: 'up',
    mtu: 1420,
    hubs: [
      {
        name: 'hub.example:51820',
        publicKey: peerKeyText,
        endpoint: '192.0.2.1:51820',
        lastHandshake: '2026-11-26T11:59:50.000Z',
        lastHandshakeAgeSeconds: 10,
        receivedBytes: 1,
        sentBytes: 2,
      },
    ],
  });
  for (const protection of ['down', 'coming'] as const) {
    assert.equal((await statusOf({ protection })).killswitch, protection);
  }
  assert.equal((await statusOf({ protection: 'unknown' })).killswitch, 'down');
  assert.equal((await statusOf({ protection: 'unknown', isCalled: true })).killswitch, 'coming');
  assert.equal((await statusOf({ options: { killswitch: 'off' } })).killswitch, 'off');
});

test('what containers of a network have in common is asked for once', async () => {
  assert.equal((await readAll({}, ['e1', 'e2', 'e3'])).length, 3);
  assert.deepEqual(asked.sort(), ['network', 'peers']);
});

test('of hundreds of links eight are read at once', async () => {
  let [reading, most] = [0, 0];
  const ids = Array.from({ length: 300 }, (_, index) => `e${index}`);
  const read = await readAll({ handshakeSecondsAgo: 1 }, ids, async () => {
    reading += 1;
    most = Math.max(most, reading);
    await setImmediate();
    reading -= 1;
  });
  assert.deepEqual([read.length, most], [300, 8]);
});

test('a hub by its IPv6 address is told as an option names it', async () => {
  const { hubs } = await statusOf({ options: { peer: '[2001:db8::1]:51820' } });
  assert.equal(hubs[0]?.name, '[2001:db8::1]:51820');
});
