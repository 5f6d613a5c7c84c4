// The kernel's settings in a folder of their own: which of them there are depends on the kernel's version.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { switchOnForwarding } from '../../src/hub/forwarding.ts';

/** Settings as they are, by their paths, and what they are later. */
function kernelWith(t: TestContext, settings: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), 'wgdriver-forwarding-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const [name, value] of Object.entries(settings)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), `${value}\n`);
  }
  return {
    folder,
    read: () =>
      Object.fromEntries(
        Object.keys(settings).map((name) => [name, readFileSync(join(folder, name), 'utf8').trim()]),
      ),
  };
}

const ipv4 = {
  'ipv4/conf/wg0/forwarding': '0',
  'ipv4/conf/eth0/forwarding': '0',
  'ipv4/conf/eth1/forwarding': '0',
};
const wish = { link: 'wg0', uplinks: ['eth0'], families: ['ipv4', 'ipv6'] } as const;

test('IPv4: the link and its uplinks forward, no other does, and what is so already is not written', async (t) => {
  const kernel = kernelWith(t, ipv4);
  const only4 = { ...wish, families: ['ipv4'] as const };
  assert.deepEqual(await switchOnForwarding(only4, kernel.folder), [
    'net/ipv4/conf/wg0/forwarding=1',
    'net/ipv4/conf/eth0/forwarding=1',
  ]);
  const expected = { ...ipv4, 'ipv4/conf/wg0/forwarding': '1', 'ipv4/conf/eth0/forwarding': '1' };
  assert.deepEqual(kernel.read(), expected);
  assert.deepEqual(await switchOnForwarding(only4, kernel.folder), []);
});

test('IPv6 from Linux 6.17 on: each link has a switch of its own, and the one for all stays', async (t) => {
  const settings = {
    ...ipv4,
    'ipv6/conf/all/forwarding': '0',
    'ipv6/conf/wg0/force_forwarding': '0',
    'ipv6/conf/eth0/force_forwarding': '0',
    'ipv6/conf/eth1/force_forwarding': '0',
    'ipv6/conf/eth0/accept_ra': '1',
  };
  const kernel = kernelWith(t, settings);
  await switchOnForwarding(wish, kernel.folder);
  assert.deepEqual(kernel.read(), {
    ...settings,
    'ipv4/conf/wg0/forwarding': '1',
    'ipv4/conf/eth0/forwarding': '1',
    'ipv6/conf/wg0/force_forwarding': '1',
    'ipv6/conf/eth0/force_forwarding': '1',
  });
});

test('IPv6 before: all links forward, and those that took router advertisements still do', async (t) => {
  const settings = {
    ...ipv4,
    'ipv6/conf/all/forwarding': '0',
    'ipv6/conf/all/accept_ra': '1',
    'ipv6/conf/default/accept_ra': '1',
    'ipv6/conf/eth0/accept_ra': '1',
    'ipv6/conf/eth1/accept_ra': '0',
    'ipv6/conf/eth2/accept_ra': '2',
    'ipv6/conf/wg0/accept_ra': '0',
  };
  const kernel = kernelWith(t, settings);
  const changed = await switchOnForwarding({ ...wish, families: ['ipv6'] }, kernel.folder);
  // Advertisements first: a kernel that forwards forgets the default route of a link with accept_ra=1.
  assert.equal(changed.at(-1), 'net/ipv6/conf/all/forwarding=1');
  const expected = {
    ...settings,
    'ipv6/conf/all/forwarding': '1',
    'ipv6/conf/default/accept_ra': '2',
    'ipv6/conf/eth0/accept_ra': '2',
  };
  assert.deepEqual(kernel.read(), expected);
  // Somebody's own choice, once all forward, is theirs.
  writeFileSync(join(kernel.folder, 'ipv6/conf/eth0/accept_ra'), '1\n');
  assert.deepEqual(await switchOnForwarding({ ...wish, families: ['ipv6'] }, kernel.folder), []);
});

test('an uplink that is not there is left out until it is', async (t) => {
  const settings = {
    ...ipv4,
    'ipv6/conf/all/forwarding': '0',
    'ipv6/conf/wg0/force_forwarding': '0',
    'ipv6/conf/eth0/force_forwarding': '0',
  };
  const kernel = kernelWith(t, settings);
  assert.deepEqual(await switchOnForwarding({ ...wish, uplinks: ['ppp0', 'eth0'] }, kernel.folder), [
    'net/ipv4/conf/wg0/forwarding=1',
    'net/ipv4/conf/eth0/forwarding=1',
    'net/ipv6/conf/wg0/force_forwarding=1',
    'net/ipv6/conf/eth0/force_forwarding=1',
  ]);
});

test('a setting that cannot be written: which one, and what to do', async (t) => {
  const { folder } = kernelWith(t, {});
  await assert.rejects(
    switchOnForwarding({ ...wish, families: ['ipv4'] }, folder),
    /^Error: switch on forwarding: net\/ipv4\/conf\/wg0\/forwarding=1: ENOENT; set it on the host by `sysctl -w/,
  );
});
