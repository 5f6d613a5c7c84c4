import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointState } from '../../src/driver/lifecycle.ts';
import { createStatus, type Health } from '../../src/driver/status.ts';
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
  readonly unprotected?: boolean;
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
    unprotected = false,
    options = {},
  }: Case,
  ids: readonly string[],
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
  const link: LinkStatus = { name: 'wg0', mtu: 1420, publicKey, listenPort: 1, fwmark: 0, peers: [peer] };
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
      touchedMs: ageSeconds === undefined ? undefined : nowMs - ageSeconds * 1000,
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
        return hasLink ? link : undefined;
      },
    },
    follow: {
      seen: () => ({
        status: link,
        atMs: 0,
        sinceMs: 0,
        revision: 1,
        peers: new Map([[publicKey, { ageMs: undefined, hasSent, hasReceived: false }]]),
      }),
    },
    unprotected() {
      asked.push('unprotected');
      return new Map(unprotected ? [['e1', 'nft is gone']] : []);
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
  ['no handshake of a link that an earlier driver made', {}, 'silent'],
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
  ['no link', { hasLink: false }, 'silent'],
  ['no kill switch in place', { handshakeSecondsAgo: 1, unprotected: true }, 'unprotected'],
  [
    'no kill switch wanted',
    { handshakeSecondsAgo: 1, unprotected: true, options: { killswitch: 'off' } },
    'ok',
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
        receivedBytes: 1,
        sentBytes: 2,
      },
    ],
  });
  assert.equal((await statusOf({ unprotected: true })).killswitch, 'down');
  assert.equal((await statusOf({ options: { killswitch: 'off' } })).killswitch, 'off');
});

test('what containers of a network have in common is asked for once', async () => {
  assert.equal((await readAll({}, ['e1', 'e2', 'e3'])).length, 3);
  assert.deepEqual(asked.sort(), ['network', 'peers', 'unprotected']);
});

test('a hub by its IPv6 address is told as an option names it', async () => {
  const { hubs } = await statusOf({ options: { peer: '[2001:db8::1]:51820' } });
  assert.equal(hubs[0]?.name, '[2001:db8::1]:51820');
});
