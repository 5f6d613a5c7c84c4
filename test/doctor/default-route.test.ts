import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultRoutes, judgeDefaultRoute } from '../../src/doctor/default-route.ts';
import type { Attachment } from '../../src/doctor/engine-survey.ts';

const versions = { 20: { major: 20, minor: 10 }, 27: { major: 27, minor: 5 }, 28: { major: 28, minor: 5 } };

function ours(network: string, more: Partial<Attachment> = {}): Attachment {
  return {
    network,
    endpointId: '',
    isOurs: true,
    isInternal: false,
    gateway: '192.168.5.1',
    gatewayIpv6: '',
    gwPriority: 0,
    hasKillswitch: false,
    ...more,
  };
}

function bridge(network: string, more: Partial<Attachment> = {}): Attachment {
  return { ...ours(network), isOurs: false, gateway: '172.18.0.1', ...more };
}

const dual = { gatewayIpv6: 'fd00:1::1' };
const onlyIpv6 = { gateway: '', gatewayIpv6: 'fd00:1::1' };
const noGateway = { gateway: '' };

const container = { name: 'c', sandboxKey: '', dns: [] };

interface Case {
  readonly title: string;
  readonly on: readonly Attachment[];
  /** Where IPv4 and IPv6 leave by, on engines up to 27 and from 28 on. */
  readonly to27: readonly [string?, string?];
  readonly from28: readonly [string?, string?];
  /** What is warned of, if anything. */
  readonly warns: readonly [to27: string | undefined, from28: string | undefined];
}

const cases: readonly Case[] = [
  { title: 'alone', on: [ours('wg')], to27: ['wg'], from28: ['wg'], warns: [undefined, undefined] },
  {
    title: 'a bridge that sorts before',
    on: [ours('wg'), bridge('app')],
    to27: ['app'],
    from28: ['app'],
    warns: ['c by app', 'c by app'],
  },
  {
    title: 'a bridge that sorts after',
    on: [bridge('zoo'), ours('wg')],
    to27: ['wg'],
    from28: ['wg'],
    warns: [undefined, undefined],
  },
  {
    title: 'names sort by their bytes: upper case comes first',
    on: [ours('alpha'), bridge('Zoo')],
    to27: ['Zoo'],
    from28: ['Zoo'],
    warns: ['c by Zoo', 'c by Zoo'],
  },
  {
    title: 'an internal bridge that sorts before, although inspection shows its gateway',
    on: [bridge('app', { isInternal: true }), ours('wg')],
    to27: ['wg'],
    from28: ['wg'],
    warns: [undefined, undefined],
  },
  {
    title: 'a bridge without gateway',
    on: [bridge('app', noGateway), ours('wg')],
    to27: ['wg'],
    from28: ['wg'],
    warns: [undefined, undefined],
  },
  {
    title: 'a bridge of two families wins over any name',
    on: [ours('wg'), bridge('zoo', dual)],
    to27: ['zoo', 'zoo'],
    from28: ['zoo', 'zoo'],
    warns: ['c by zoo', 'c by zoo'],
  },
  {
    title: 'a bridge of IPv6 alone: from 28 on it takes that family',
    on: [ours('wg'), bridge('zoo', onlyIpv6)],
    to27: ['wg'],
    from28: ['wg', 'zoo'],
    warns: [undefined, 'c by zoo (IPv6)'],
  },
  {
    title: 'a priority, which engines up to 27 do not have',
    on: [ours('wg', { gwPriority: 1 }), bridge('app')],
    to27: ['app'],
    from28: ['wg'],
    warns: ['c by app', undefined],
  },
  {
    title: 'a priority against the name',
    on: [ours('wg'), bridge('zoo', { gwPriority: 1 })],
    to27: ['wg'],
    from28: ['zoo'],
    warns: [undefined, 'c by zoo'],
  },
  {
    title: 'a priority below zero',
    on: [ours('wg'), bridge('app', { gwPriority: -1 })],
    to27: ['app'],
    from28: ['wg'],
    warns: ['c by app', undefined],
  },
  {
    title: 'a priority on ours does not help against a bridge of two families',
    on: [ours('wg', { gwPriority: 1 }), bridge('zoo', dual)],
    to27: ['zoo', 'zoo'],
    from28: ['zoo', 'zoo'],
    warns: ['c by zoo', 'c by zoo'],
  },
  {
    title: 'a priority on ours leaves IPv6 to a bridge that has nothing else',
    on: [ours('wg', { gwPriority: 1 }), bridge('zoo', onlyIpv6)],
    to27: ['wg'],
    from28: ['wg', 'zoo'],
    warns: [undefined, 'c by zoo (IPv6)'],
  },
  {
    title: 'two of ours',
    on: [ours('wg'), ours('aaa')],
    to27: ['aaa'],
    from28: ['aaa'],
    warns: [undefined, undefined],
  },
  {
    title: 'ours of both families keeps both beside a bridge of IPv4',
    on: [ours('wg', dual), bridge('app')],
    to27: ['wg', 'wg'],
    from28: ['wg', 'wg'],
    warns: [undefined, undefined],
  },
  {
    title: 'ours of IPv6 alone leaves IPv4 to a bridge',
    on: [ours('wg', onlyIpv6), bridge('app')],
    to27: ['app'],
    from28: ['app', 'wg'],
    warns: ['c by app', 'c by app'],
  },
  {
    title: 'ours with some allowed IPs only is not meant for the rest',
    on: [ours('wg', noGateway), bridge('app')],
    to27: ['app'],
    from28: ['app'],
    warns: [undefined, undefined],
  },
];

for (const { title, on, to27, from28, warns } of cases) {
  test(`default route: ${title}`, () => {
    for (const [isFrom28, expected] of [
      [false, to27],
      [true, from28],
    ] as const) {
      const { ipv4, ipv6 } = defaultRoutes(on, isFrom28);
      assert.deepEqual([ipv4?.network, ipv6?.network], [expected[0], expected[1]]);
    }
    const containers = [{ ...container, attachments: on }];
    for (const [version, leak] of [
      [20, warns[0]],
      [27, warns[0]],
      [28, warns[1]],
    ] as const) {
      const { status, cause } = judgeDefaultRoute({ version: versions[version], containers });
      assert.equal(status, leak === undefined ? 'pass' : 'warn');
      assert.equal(
        cause,
        leak === undefined
          ? 'no running container’s traffic leaves past its tunnel'
          : `traffic leaves past the tunnel: ${leak}`,
      );
    }
  });
}

test('default route: the kill switch routes by itself, whatever the engine chose', () => {
  const containers = [{ name: 'c', attachments: [ours('wg', { hasKillswitch: true }), bridge('app', dual)] }];
  assert.equal(judgeDefaultRoute({ version: versions[28], containers }).status, 'pass');
});

test('default route: an engine of unknown version is taken for a new one', () => {
  const containers = [{ ...container, attachments: [ours('wg', { gwPriority: 1 }), bridge('app')] }];
  assert.equal(judgeDefaultRoute({ containers }).status, 'pass');
});

test('default route: the fix is one that the engine has', () => {
  const containers = [{ ...container, attachments: [ours('wg'), bridge('app')] }];
  assert.match(judgeDefaultRoute({ version: versions[28], containers }).fix ?? '', /gw-priority/);
  assert.doesNotMatch(judgeDefaultRoute({ version: versions[27], containers }).fix ?? '', /gw-priority/);
});
