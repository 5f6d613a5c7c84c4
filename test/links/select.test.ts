import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { isInstalled, probeWireGuardByPrograms } from '../../src/links/probe.ts';
import { selectLinks } from '../../src/links/select.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { deleteAllLinks, shownLink } from '../support/namespace-links.ts';
import { recordedLog } from '../support/recorded-log.ts';

const { skip } = await enterFreshNamespace('wireguard-go', 'wg');
const env = { ...process.env };
const kernel = skip === undefined && (await probeWireGuardByPrograms()) === undefined;
const link = { name: 'wgd1', mtu: 1420, endpointId: 'e1' };

afterEach(() => {
  process.env = { ...env };
  if (skip === undefined) {
    deleteAllLinks();
  }
});

test('auto takes what works, and says what and why', { skip }, async () => {
  const log = recordedLog();
  const links = await selectLinks('auto', 'own', log);
  assert.equal(log.lines.length, 1);
  const [line] = log.lines;
  assert.match(
    line?.message ?? '',
    kernel ? /^backend (netlink|iproute)$/ : /^backend userspace, by wireguard-go$/,
  );
  assert.match(String(line?.fields.reason), kernel ? /the kernel makes/ : /no WireGuard from the kernel: ./);
  await links.create(link);
  assert.equal(shownLink('wgd1')?.ifalias, 'wgdriver:own:e1');
  await links.delete('wgd1');
});

test('auto with a userspace program that is missing says both', {
  skip: skip ?? (kernel && 'this kernel has WireGuard'),
}, async () => {
  process.env.WG_USERSPACE_IMPLEMENTATION = 'wgdriver-none';
  await assert.rejects(
    selectLinks('auto', 'own', recordedLog()),
    /no WireGuard from the kernel: .*; and the userspace program wgdriver-none is missing/,
  );
});

test('what is asked for is taken without a probe', { skip }, async () => {
  const log = recordedLog();
  process.env.PATH = '';
  await selectLinks('iproute', 'own', log);
  await selectLinks('userspace', 'own', log);
  assert.deepEqual(
    log.lines.map(({ level, message, fields }) => [level, message, fields.reason]),
    [
      ['info', 'backend iproute', 'asked for'],
      ['info', 'backend userspace', 'asked for'],
    ],
  );
});

test('a program on the PATH, and one that is not', async () => {
  assert.equal(await isInstalled('sh'), true);
  assert.equal(await isInstalled('wgdriver-none'), false);
  // A name is a name, not a piece of a script.
  assert.equal(await isInstalled('none; true'), false);
});
