import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  judgeKernelWireGuard,
  judgeModule,
  judgeUserspace,
  judgeWg,
  type WireGuardFacts,
} from '../../src/doctor/wireguard.ts';

const works = { ok: true, stdout: '' } as const;
const refuses = { ok: false, cause: 'Error: Unknown device type.' } as const;
const noModule = { ok: false, cause: 'modprobe: FATAL: Module wireguard not found' } as const;
const installed = { program: 'wireguard-go', isInstalled: true, tunError: undefined };
const absent = { ...installed, isInstalled: false };
const noTun = { ...installed, tunError: 'ENODEV' };

interface Case {
  readonly title: string;
  readonly facts: WireGuardFacts;
  /** The statuses of kernel-wireguard, wireguard-module, userspace-wireguard and wg. */
  readonly statuses: string;
}

const cases: readonly Case[] = [
  {
    title: 'everything',
    facts: { kernel: works, module: undefined, userspace: installed, wg: true, hasNetlink: false },
    statuses: 'pass pass pass pass',
  },
  {
    title: 'the kernel needs no fallback',
    facts: { kernel: works, module: undefined, userspace: absent, wg: true, hasNetlink: false },
    statuses: 'pass pass pass pass',
  },
  {
    title: 'the kernel without wg, and a fallback',
    facts: { kernel: works, module: undefined, userspace: installed, wg: false, hasNetlink: false },
    statuses: 'pass pass pass warn',
  },
  {
    title: 'the kernel without wg and without fallback',
    facts: { kernel: works, module: undefined, userspace: absent, wg: false, hasNetlink: false },
    statuses: 'pass pass pass fail',
  },
  {
    title: 'the fallback alone, which needs no wg',
    facts: { kernel: refuses, module: noModule, userspace: installed, wg: false, hasNetlink: false },
    statuses: 'warn warn pass pass',
  },
  {
    title: 'neither, but a module to load',
    facts: { kernel: refuses, module: works, userspace: absent, wg: true, hasNetlink: false },
    statuses: 'fail pass fail pass',
  },
  {
    title: 'neither, for want of TUN',
    facts: { kernel: refuses, module: noModule, userspace: noTun, wg: true, hasNetlink: false },
    statuses: 'fail warn fail pass',
  },
  {
    title: 'not root',
    facts: {
      kernel: undefined,
      module: noModule,
      userspace: { ...installed, tunError: 'EACCES' },
      wg: true,
      hasNetlink: false,
    },
    statuses: 'skip skip skip pass',
  },
  {
    title: 'not root, and nothing is installed',
    facts: { kernel: undefined, module: works, userspace: absent, wg: false, hasNetlink: false },
    statuses: 'skip pass warn warn',
  },
];

test('WireGuard: without wg all is well where the runtime speaks netlink', () => {
  const facts = { kernel: works, module: undefined, userspace: absent, wg: false, hasNetlink: false };
  assert.equal(judgeWg(facts).status, 'fail');
  assert.equal(judgeWg({ ...facts, hasNetlink: true }).status, 'pass');
});

for (const { title, facts, statuses } of cases) {
  test(`WireGuard: ${title}`, () => {
    const findings = [judgeKernelWireGuard, judgeModule, judgeUserspace, judgeWg].map((judge) =>
      judge(facts),
    );
    assert.equal(findings.map(({ status }) => status).join(' '), statuses);
    for (const { status, fix } of findings) {
      assert.equal(fix !== undefined, status === 'warn' || status === 'fail');
    }
  });
}

test('WireGuard: the cause is in the kernel’s and modprobe’s words', () => {
  const facts = { kernel: refuses, module: noModule, userspace: noTun, wg: true, hasNetlink: false };
  assert.match(judgeKernelWireGuard(facts).cause, /the kernel says: Error: Unknown device type\.$/);
  assert.equal(judgeModule(facts).cause, 'it cannot be loaded: FATAL: Module wireguard not found');
  assert.equal(judgeUserspace(facts).cause, '/dev/net/tun: ENODEV');
});
