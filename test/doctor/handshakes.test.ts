import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ContainerHandshake, judgeHandshakes, probeHandshakes } from '../../src/doctor/handshakes.ts';

const now = new Date('2026-11-22T12:00:00Z');

function ago(container: string, seconds: number, keepalive = 25): ContainerHandshake {
  const lastHandshake = new Date(now.getTime() - seconds * 1000);
  return { container, hub: { lastHandshake, persistentKeepaliveInterval: keepalive } };
}

const never = { container: 'new', hub: { lastHandshake: undefined, persistentKeepaliveInterval: 25 } };
const unread = { container: 'odd', hub: new Error('open /x: ENOENT') };

const cases: readonly [title: string, handshakes: ContainerHandshake[], status: string, cause: string][] = [
  ['no container', [], 'pass', 'no container runs'],
  ['fresh ones', [ago('one', 12), ago('two', 150)], 'pass', 'last: one 12 s ago, two 3 min ago'],
  ['a clock that was set back', [ago('one', -5)], 'pass', 'last: one 0 s ago'],
  ['never', [ago('one', 12), never], 'warn', 'the hub does not answer: new never'],
  ['too long ago', [ago('one', 600), ago('two', 12)], 'warn', 'the hub does not answer: one 10 min ago'],
  ['long ago, without keepalives', [ago('one', 600, 0)], 'pass', 'last: one 10 min ago'],
  ['long ago, with few keepalives', [ago('one', 600, 600)], 'pass', 'last: one 10 min ago'],
  ['one that cannot be read', [ago('one', 12), unread], 'skip', 'cannot be read: odd (open /x: ENOENT)'],
  ['never, beside one that cannot be read', [unread, never], 'warn', 'the hub does not answer: new never'],
];

for (const [title, handshakes, status, cause] of cases) {
  test(`handshakes: ${title}`, () => {
    const finding = judgeHandshakes(handshakes, now);
    assert.deepEqual([finding.status, finding.cause], [status, cause]);
    assert.equal(finding.fix !== undefined, status === 'warn');
  });
}

test('handshakes: a namespace that is gone is told of, and one on several networks by both names', async () => {
  const attachment = {
    endpointId: 'e1',
    isOurs: true,
    isInternal: false,
    hasKillswitch: true,
    gateway: '',
    gatewayIpv6: '',
    gwPriority: 0,
  };
  const attachments = [
    { ...attachment, network: 'a' },
    { ...attachment, network: 'b' },
    { ...attachment, network: 'c', isOurs: false },
  ];
  const container = {
    name: 'app',
    attachments,
    dns: [],
    isPrivileged: false,
    capAdd: [],
    capDrop: [],
    sharers: [],
  };
  const found = await probeHandshakes({
    containers: [
      { ...container, sandboxKey: '/nowhere/netns' },
      { ...container, sandboxKey: '' },
    ],
  });
  assert.deepEqual(
    found.map(({ container }) => container),
    ['app (a)', 'app (b)'],
  );
  for (const { hub } of found) {
    assert.ok(hub instanceof Error);
  }
});
