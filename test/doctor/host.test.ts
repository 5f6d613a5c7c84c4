import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fail, listed } from '../../src/doctor/finding.ts';
import { judgeIp } from '../../src/doctor/ip.ts';
import { judgeKernelVersion } from '../../src/doctor/kernel.ts';
import { judgeKillswitch } from '../../src/doctor/killswitch.ts';
import { judgeNamespaces } from '../../src/doctor/namespaces.ts';
import { judgeRights, mayMakeLinks } from '../../src/doctor/rights.ts';
import { parseRights } from '../../src/rights.ts';

test('kernel version', () => {
  for (const [release, status] of [
    ['5.6.0', 'pass'],
    ['5.10.0-28-amd64', 'pass'],
    ['6.1.0-18-amd64', 'pass'],
    ['10.0.1', 'pass'],
    ['5.5.19', 'warn'],
    ['4.19.0-26-amd64', 'warn'],
    ['odd', 'warn'],
  ] as const) {
    assert.equal(judgeKernelVersion(release).status, status, release);
  }
});

test('rights, from /proc/self/status', () => {
  const root = parseRights('Name:\tnode\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n');
  assert.equal(judgeRights(root).status, 'pass');
  assert.equal(mayMakeLinks(root), true);

  // What an engine gives a container: none of them.
  const contained = parseRights('Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\n');
  assert.equal(judgeRights(contained).status, 'fail');
  assert.equal(
    judgeRights(contained).cause,
    'root, but without CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_NET_BROADCAST',
  );
  assert.equal(mayMakeLinks(contained), false);

  const nobody = parseRights('Uid:\t65534\t65534\t65534\t65534\nCapEff:\t0000000000000000\n');
  assert.equal(judgeRights(nobody).cause, 'runs as user 65534, not as root');
  assert.equal(judgeRights(parseRights('')).status, 'fail');
});

test('ip', () => {
  assert.equal(judgeIp(true, false).status, 'pass');
  assert.equal(judgeIp(false, false).status, 'fail');
  assert.equal(judgeIp(false, true).status, 'warn');
});

test('network namespaces', () => {
  const links = (...names: string[]) => ({
    ok: true as const,
    stdout: JSON.stringify(names.map((ifname, index) => ({ ifindex: index + 1, ifname }))),
  });
  const refused = { ok: false as const, cause: 'unshare: unshare failed: Operation not permitted' };
  const here = links('lo', 'eth0');
  const moved = links('lo', 'wgprobe');

  assert.deepEqual(judgeNamespaces({ here, inside: links('lo'), moved }), {
    name: 'network-namespaces',
    status: 'pass',
    cause: 'this namespace has lo, eth0; a new one has lo alone, and a link moves into it',
  });
  assert.equal(judgeNamespaces({ here, inside: links('lo', 'tunl0'), moved }).status, 'warn');
  assert.equal(judgeNamespaces({ here, inside: links('lo'), moved: refused }).status, 'warn');
  assert.equal(judgeNamespaces({ here, inside: links('lo'), moved: links('lo') }).status, 'warn');
  assert.equal(judgeNamespaces({ here, inside: refused, moved: refused }).status, 'fail');
  assert.equal(judgeNamespaces(undefined).status, 'skip');
});

test('killswitch: what cannot be protected fails, what can be but in part is warned about', () => {
  assert.equal(judgeKillswitch({}).status, 'pass');
  assert.equal(judgeKillswitch(undefined).status, 'skip');
  const partly = judgeKillswitch({ unfilteredFrames: 'EOPNOTSUPP' });
  assert.equal(partly.status, 'warn');
  assert.match(partly.cause ?? '', /frames .* are not stopped: EOPNOTSUPP/);
  const not = judgeKillswitch(new Error('this host cannot keep traffic in the tunnel'));
  assert.equal(not.status, 'fail');
  assert.match(not.fix ?? '', /-o io\.bestov\.wg\.killswitch=off/);
});

test('a finding is one line, whatever was said', () => {
  const { cause } = fail('x', 'first\n\tsecond \u001b[31mred\u001b[39m\u0007', 'y');
  assert.equal(cause, 'first second red');
});

test('listed', () => {
  assert.equal(listed(['a', 'b']), 'a, b');
  assert.equal(listed(['a', 'b', 'c', 'd'], 2), 'a, b and 2 more');
});
