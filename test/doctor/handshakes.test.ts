import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ContainerHandshakes,
  judgeHandshakes,
  probeHandshakes,
  silentEndpoints,
} from '../../src/doctor/handshakes.ts';
import type { Place } from '../../src/links/links.ts';
import { prefixOf } from '../../src/wireguard/address.ts';
import { parsePublicKey } from '../../src/wireguard/key.ts';
import { linkName } from '../../src/wireguard/link-name.ts';

const publicKey = parsePublicKey('HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=') ?? assert.fail();

function ago(container: string, seconds: number, keepalive = 25): ContainerHandshakes {
  return {
    container,
    link: { peers: [{ publicKey, ageMs: 1000 * seconds, persistentKeepaliveInterval: keepalive }] },
  };
}

const never = {
  container: 'new',
  link: { peers: [{ publicKey, ageMs: undefined, persistentKeepaliveInterval: 25 }] },
};
const peersOf = ({ link }: ContainerHandshakes) =>
  typeof link === 'string' || link instanceof Error ? [] : link.peers;
const gone = { container: 'bare', link: 'no link' } as const;
const unread = { container: 'odd', link: new Error('open /x: ENOENT') };

const cases: readonly [title: string, handshakes: ContainerHandshakes[], status: string, cause: string][] = [
  ['no container', [], 'pass', 'no container runs'],
  [
    'one of several behind a file',
    [{ container: 'app', link: 'shared' }],
    'pass',
    'on a shared tunnel, which `wgdriver status` shows: app',
  ],
  ['fresh ones', [ago('one', 12), ago('two', 150)], 'pass', 'last: one 12 s ago, two 3 min ago'],
  ['never', [ago('one', 12), never], 'warn', 'the hub does not answer: new never; last: one 12 s ago'],
  [
    'too long ago',
    [ago('one', 600), ago('two', 12)],
    'warn',
    'the hub does not answer: one 10 min ago; last: two 12 s ago',
  ],
  ['long ago, without keepalives', [ago('one', 600, 0)], 'pass', 'last: one 10 min ago'],
  ['long ago, with few keepalives', [ago('one', 600, 600)], 'pass', 'last: one 10 min ago'],
  [
    'one that cannot be read',
    [ago('one', 12), unread],
    'skip',
    'cannot be read: odd (open /x: ENOENT); last: one 12 s ago',
  ],
  [
    'one of each',
    [ago('one', 12), unread, gone, never],
    'warn',
    'the hub does not answer: new never; without a link: bare; cannot be read: odd (open /x: ENOENT); last: one 12 s ago',
  ],
  ['one without a peer', [{ container: 'lone', link: { peers: [] } }], 'warn', 'without a peer: lone'],
  [
    'one with several peers, each is told of',
    [{ container: 'app', link: { peers: [ago('one', 12), never].flatMap(peersOf) } }],
    'warn',
    'the hub does not answer: app, peer HIgo9xNz…, never; last: app, peer HIgo9xNz…, 12 s ago',
  ],
  ['one without a link', [gone], 'warn', 'without a link: bare'],
  [
    'many, and each is told of',
    Array.from({ length: 9 }, (_, n) => ago(`c${n}`, n)),
    'pass',
    'last: c0 0 s ago, c1 1 s ago, c2 2 s ago, c3 3 s ago, c4 4 s ago, c5 5 s ago, c6 6 s ago, c7 7 s ago, c8 8 s ago',
  ],
];

for (const [title, handshakes, status, cause] of cases) {
  test(`handshakes: ${title}`, () => {
    const finding = judgeHandshakes(handshakes);
    assert.deepEqual([finding.status, finding.cause], [status, cause]);
    assert.equal(finding.fix !== undefined, status === 'warn');
  });
}

test('handshakes: the host’s own VPN is named where the hub is silent, with the mark that leads past it', () => {
  const endpoint = { address: prefixOf('192.0.2.1/32').address, port: 51820 };
  const [ofNever] = peersOf(never);
  const silent = {
    container: 'app',
    link: { fwmark: 7, peers: [{ ...(ofNever ?? assert.fail()), endpoint }] },
  };
  assert.deepEqual(silentEndpoints([silent, ago('one', 12), gone, unread]), [
    { address: endpoint.address, fwmark: 7 },
  ]);
  const fixOf = (fwmark: number) => judgeHandshakes([silent], { link: 'vpn0', fwmark }).fix ?? '';
  assert.match(
    fixOf(0xca6c),
    /^packets to the hub leave by vpn0, a VPN on this host\..*-o io\.bestov\.wg\.fwmark=0xca6c$/,
  );
  assert.match(
    judgeHandshakes([silent], new Error('ip: SIGKILL')).fix ?? '',
    /^check that the hub has the peer .* A VPN on this host may be in the way, which could not be checked: ip: SIGKILL$/,
  );
  assert.match(fixOf(0), /fwmark=MARK, a mark whose packets its rules leave out/);
});

const attachment = {
  endpointId: 'e1',
  isOurs: true,
  isInternal: false,
  hasKillswitch: true,
  gateway: '',
  gatewayIpv6: '',
  gwPriority: 0,
};
const container = {
  name: 'app',
  pid: 0,
  dns: [],
  isPrivileged: false,
  capAdd: [],
  capDrop: [],
  sharers: [],
};

test('handshakes: a namespace that is gone is told of, and one on several networks by both names', async () => {
  const attachments = [
    { ...attachment, network: 'a' },
    { ...attachment, network: 'b' },
    { ...attachment, network: 'c', isOurs: false },
    { ...attachment, network: 'd', isShared: true },
  ];
  const asked: Place[] = [];
  const read = async (place: Place) => {
    asked.push(place);
    return undefined;
  };
  const several = { ...container, attachments };
  const found = await probeHandshakes(
    {
      containers: [
        { ...several, sandboxKey: '/nowhere/netns' },
        { ...several, sandboxKey: '/proc/self/ns/net' },
        { ...several, sandboxKey: '' },
      ],
    },
    read,
    new Map(),
  );
  assert.deepEqual(
    found.map(({ container, link }) => [container, link instanceof Error ? 'Error' : link]),
    [
      ['app (a)', 'Error'],
      ['app (b)', 'Error'],
      ['app (d)', 'shared'],
      ['app (a)', 'no link'],
      ['app (b)', 'no link'],
      ['app (d)', 'shared'],
    ],
  );
  assert.deepEqual(asked[0], { name: linkName('e1'), endpointId: 'e1', sandbox: '/proc/self/ns/net' });
});

test('handshakes: they are as old as the driver says, whatever was done to the clock since', async () => {
  const unixNow = Date.parse('2026-11-22T12:00:00Z');
  const hourMs = 3_600_000;
  const attachments = ['e1', 'e2', 'e3', 'e4'].map((endpointId) => ({
    ...attachment,
    endpointId,
    network: endpointId,
  }));
  const at = (handshake: number) => ({
    name: 'wg0',
    mtu: 1420,
    publicKey,
    listenPort: 51820,
    fwmark: 0,
    peers: [
      {
        publicKey,
        hasPresharedKey: false,
        endpoint: undefined,
        persistentKeepaliveInterval: 25,
        lastHandshake: new Date(handshake),
        receivedBytes: 1,
        sentBytes: 1,
        allowedIps: [],
      },
    ],
  });
  const links = new Map([
    // The clock was set on by an hour, and back by one.
    ['e1', at(unixNow - hourMs - 15_000)],
    ['e2', at(unixNow + hourMs - 600_000)],
    // A new handshake, an hour ago by the clock as it was then.
    ['e3', at(unixNow - hourMs)],
    // One that the driver does not tell of.
    ['e4', at(unixNow + 5000)],
  ]);
  // It reads more than the whole seconds that programs show.
  const seenAt = (handshake: number, ageMs: number) => ({
    atMs: 0,
    peers: new Map([[publicKey as string, { handshake: handshake + 321, ageMs }]]),
  });
  const found = await probeHandshakes(
    { containers: [{ ...container, attachments, sandboxKey: '/proc/self/ns/net' }] },
    async ({ endpointId = '' }) => links.get(endpointId),
    new Map([
      ['e1', seenAt(unixNow - hourMs - 15_000, 10_000)],
      ['e2', seenAt(unixNow + hourMs - 600_000, 595_000)],
      ['e3', seenAt(unixNow - hourMs - 120_000, 118_000)],
    ]),
    () => 5000,
    () => unixNow,
  );
  const { status, cause } = judgeHandshakes(found);
  assert.deepEqual(
    [status, cause],
    [
      'warn',
      'the hub does not answer: app (e2) 10 min ago; last: app (e1) 15 s ago, app (e3) 5 s ago, app (e4) 0 s ago',
    ],
  );
});
