// The real program in a network namespace of its own.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import type { LinkError, Links, NewLink } from '../../../src/links/links.ts';
import { findByProgram } from '../../../src/links/userspace/find.ts';
import { userspaceLinks, userspaceProgram } from '../../../src/links/userspace/links.ts';
import { markOf } from '../../../src/wireguard/link-alias.ts';
import { enterFreshNamespace } from '../../support/fresh-namespace.ts';
import { hub, ownPublicKeyText, privateKeyText, publicKeyTexts } from '../../support/hubs.ts';
import { assertReadsAndChanges } from '../../support/links-in-containers.ts';
import {
  addForeignLink,
  anyAliases,
  deleteAllLinks,
  setAlias,
  shownLink,
} from '../../support/namespace-links.ts';

const { skip } = await enterFreshNamespace('wireguard-go', 'wg');
const links: Links = userspaceLinks(markOf('wireguard-plugin'), 'wireguard-go');
const link: NewLink = { name: 'wgd1a2b3c', mtu: 1380, endpointId: 'e'.repeat(64) };
const socket = `/var/run/wireguard/${link.name}.sock`;
const device = { privateKey: hub.privateKey ?? assert.fail(), listenPort: 51820, peers: hub.peers };

afterEach(() => {
  if (skip === undefined) {
    deleteAllLinks();
    awaitEndOfPrograms();
  }
});

test('a link is made marked, down, and with the MTU asked for', { skip }, async () => {
  await links.create(link);
  const shown = shownLink(link.name);
  assert.equal(shown?.ifalias, `wgdriver:wireguard-plugin:${link.endpointId}`);
  assert.equal(shown?.mtu, 1380);
  assert(!shown?.flags.includes('UP'));
  assert.deepEqual(await links.list(), [{ name: link.name, endpointId: link.endpointId }]);
});

test('a program that is told to log is not waited for', { skip, timeout: 60_000 }, async () => {
  process.env.LOG_LEVEL = 'debug';
  try {
    await links.create(link);
  } finally {
    delete process.env.LOG_LEVEL;
  }
  await links.delete(link.name);
});

test('a link takes its configuration, and a new one in place of it', { skip }, async () => {
  await links.create(link);
  await links.configure(link.name, device);
  const dump = () => execFileSync('wg', ['show', link.name, 'dump'], { encoding: 'utf8' });
  assert(dump().startsWith(`${privateKeyText}\t${ownPublicKeyText}\t51820\toff\n`), dump());
  assert.equal(dump().trimEnd().split('\n').length, 3);
  await links.configure(link.name, { ...device, peers: device.peers.slice(1) });
  assert.deepEqual(
    dump()
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line) => line.split('\t')[0]),
    [publicKeyTexts[1]],
  );
  assert(!shownLink(link.name)?.flags.includes('UP'));
});

test('deleting a link ends its program, and deleting it twice is no error', { skip }, async () => {
  await links.create(link);
  assert.equal(programs().length, 1);
  await links.delete(link.name);
  assert.equal(shownLink(link.name), undefined);
  await links.delete(link.name);
  assert.deepEqual(await links.list(), []);
  awaitEndOfPrograms();
  assert.equal(existsSync(socket), false);
});

test(
  'a link in a container is read and changed, one setting at a time and all together, while it carries traffic',
  {
    skip,
    timeout: 600_000,
  },
  () => assertReadsAndChanges(links),
);

test('the same by programs, as on a runtime that cannot call libc', { skip, timeout: 600_000 }, () =>
  assertReadsAndChanges(userspaceLinks(markOf('wireguard-plugin'), 'wireguard-go', findByProgram)),
);

test('a link of the same name: EEXIST, nothing made, and the other’s link is not touched', {
  skip,
}, async () => {
  addForeignLink(link.name);
  await assert.rejects(links.create(link), isLinkError('EEXIST', /^create link wgd1a2b3c: File exists$/));
  assert.deepEqual(programs(), []);
  await assert.rejects(
    links.delete(link.name),
    isLinkError(undefined, /^delete link wgd1a2b3c: it is not this/),
  );
  assert.equal(shownLink(link.name)?.ifalias, undefined);
  assert.deepEqual(await links.list(), []);
});

test('its own link of the same name: EEXIST as well, and its program goes on', { skip }, async () => {
  await links.create(link);
  await assert.rejects(links.create(link), isLinkError('EEXIST', /File exists/));
  assert.equal(programs().length, 1);
  await links.configure(link.name, device);
});

test('another driver’s link is neither listed nor deleted', { skip }, async () => {
  const other = userspaceLinks(markOf('wireguard-plugin-2'), 'wireguard-go');
  await other.create(link);
  assert.deepEqual(await links.list(), []);
  await assert.rejects(links.delete(link.name), isLinkError(undefined, /it is not this driver’s/));
  assert.deepEqual(await other.list(), [{ name: link.name, endpointId: link.endpointId }]);
});

test('what a create that was cut short had left is deleted, and what it cannot have made is not', {
  skip,
}, async () => {
  await links.deleteUnfinished(link.name);
  execFileSync('wireguard-go', [link.name], { stdio: 'ignore' });
  await links.deleteUnfinished(link.name);
  assert.equal(shownLink(link.name), undefined);
  await links.create(link);
  await links.deleteUnfinished(link.name);
  assert.equal(shownLink(link.name), undefined);

  addForeignLink(link.name);
  await links.deleteUnfinished(link.name);
  execFileSync('wireguard-go', ['wgd2'], { stdio: 'ignore' });
  setAlias('wgd2', 'somebody’s');
  await links.deleteUnfinished('wgd2');
  execFileSync('ip', ['link', 'add', 'dev', 'wgd3', 'type', 'bridge']);
  await links.deleteUnfinished('wgd3');
  assert([link.name, 'wgd2', 'wgd3'].every(shownLink));
});

test('a recorded link is deleted whatever its alias has become, and one of another kind is not', {
  skip,
}, async () => {
  await links.create(link);
  setAlias(link.name, 'a container’s root was here');
  await assert.rejects(links.delete(link.name), isLinkError(undefined, /it is not this driver’s/));
  await links.deleteRecorded(link.name);
  assert.equal(shownLink(link.name), undefined);
  awaitEndOfPrograms();
  await links.deleteRecorded(link.name);
  addForeignLink(link.name);
  await assert.rejects(
    links.deleteRecorded(link.name),
    isLinkError(undefined, /^delete link wgd1a2b3c: it is not this driver’s: its kind is tun$/),
  );
  assert(shownLink(link.name));
});

test('listing and deleting survive any alias', { skip }, async () => {
  await links.create(link);
  addForeignLink('tun0');
  for (const alias of anyAliases) {
    setAlias('tun0', alias);
    assert.deepEqual(await links.list(), [{ name: link.name, endpointId: link.endpointId }]);
  }
  setAlias(link.name, anyAliases[0]);
  await links.deleteRecorded(link.name);
});

test('a link whose mark is gone is read and changed all the same, but for its MTU', { skip }, async () => {
  await links.create(link);
  setAlias(link.name, 'another');
  await links.change(link, { fwmark: 7 });
  const { name, mtu, fwmark } = (await links.read(link)) ?? assert.fail();
  assert.deepEqual([name, mtu, fwmark], [link.name, undefined, 7]);
  await assert.rejects(links.change(link, { mtu: 1400 }), { code: 'ENODEV' });
});

test('the host’s link of a name, whoever marked it', { skip }, async () => {
  await links.create(link);
  setAlias(link.name, 'another');
  await links.change({ name: link.name }, { mtu: 1400, fwmark: 7 });
  const { mtu, fwmark } = (await links.read({ name: link.name })) ?? assert.fail();
  assert.deepEqual([mtu, fwmark], [1400, 7]);
});

test('a link that cannot be marked is undone', { skip }, async () => {
  const tooLong = { ...link, endpointId: 'e'.repeat(300) };
  await assert.rejects(links.create(tooLong), isLinkError(undefined, /^create link wgd1a2b3c: /));
  assert.equal(shownLink(link.name), undefined);
  awaitEndOfPrograms();
});

test('an MTU that is out of range is undone', { skip }, async () => {
  await assert.rejects(
    links.create({ ...link, mtu: 70_000 }),
    isLinkError(undefined, /^create link wgd1a2b3c: /),
  );
  assert.equal(shownLink(link.name), undefined);
  awaitEndOfPrograms();
});

test('what wireguard-go says of a failure is one line, without its banner', { skip }, async () => {
  const name = 'wgd-with-too-long-a-name';
  await assert.rejects(
    links.create({ ...link, name }),
    isLinkError(
      undefined,
      /^create link wgd-with-too-long-a-name: ERROR: [^┌│└]*interface name too long[^┌│└]* \(wireguard-go /,
    ),
  );
});

test('configuring what is not there, or is no WireGuard link', { skip }, async () => {
  await assert.rejects(
    links.configure('wgdnone', device),
    isLinkError('ENOENT', /^configure link wgdnone: .*ENOENT/),
  );
  addForeignLink('tun0');
  await assert.rejects(links.configure('tun0', device), isLinkError('ENOENT', /^configure link tun0: /));
});

test('a program that is missing, that fails, and that makes no link', { skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wgdriver-program-'));
  const failing = join(folder, 'failing');
  writeFileSync(failing, `#!/bin/sh\necho "no tun for $1: ${privateKeyText}" >&2\nexit 3\n`, { mode: 0o755 });
  for (const [program, message] of [
    [
      'wgdriver-no-such-program',
      /^create link wgd1a2b3c: wgdriver-no-such-program wgd1a2b3c: the program was not found; install it$/,
    ],
    [folder, /^create link wgd1a2b3c: .* could not be started: EACCES$/],
    [failing, /^create link wgd1a2b3c: no tun for wgd1a2b3c: \[key\] \(.* exit status 3\)$/],
    ['true', /^create link wgd1a2b3c: true exited at once; .*max_user_instances/],
  ] as const) {
    await assert.rejects(
      userspaceLinks(markOf('wireguard-plugin'), program).create(link),
      isLinkError(program === 'true' ? 'ENODEV' : undefined, message),
    );
    assert.equal(shownLink(link.name), undefined);
  }
  execFileSync('rm', ['-r', folder]);
});

test('no key is in the arguments of any program', { skip }, async () => {
  await links.create(link);
  await links.configure(link.name, device);
  const all = execFileSync('sh', ['-c', 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ'], {
    encoding: 'latin1',
  });
  assert(!all.includes(privateKeyText.slice(0, 20)));
});

test('a name is free again as soon as its link is deleted', { skip }, async () => {
  for (let times = 0; times < 10; times++) {
    await links.create(link);
    await links.delete(link.name);
  }
});

test('twenty links at once', { skip }, async () => {
  const names = Array.from({ length: 20 }, (_, index) => `wgd${index}`);
  await Promise.all(names.map((name) => links.create({ name, mtu: 1420, endpointId: name })));
  await Promise.all(names.map((name) => links.configure(name, { ...device, listenPort: 0 })));
  assert.deepEqual((await links.list()).map(({ name }) => name).sort(), names.toSorted());
  await Promise.all(names.map((name) => links.delete(name)));
  assert.deepEqual(await links.list(), []);
});

test('the program is wireguard-go, or the one that the environment names', () => {
  assert.equal(userspaceProgram({}), 'wireguard-go');
  assert.equal(userspaceProgram({ WG_USERSPACE_IMPLEMENTATION: '' }), 'wireguard-go');
  assert.equal(userspaceProgram({ WG_USERSPACE_IMPLEMENTATION: '/opt/boringtun' }), '/opt/boringtun');
});

/** The ids of the wireguard-go that run in this namespace of processes. */
function programs(): string[] {
  const { stdout } = spawnSync('pgrep', ['-x', 'wireguard-go'], { encoding: 'utf8' });
  return stdout.split('\n').filter((line) => line !== '');
}

/** Returns when they have ended; they do so by themselves, some milliseconds after their links. */
function awaitEndOfPrograms(): void {
  const ids = programs();
  if (ids.length === 0) {
    return;
  }
  // tail(1) watches a process that is not its child.
  execFileSync(
    'tail',
    ['--follow', '--sleep-interval=0.01', ...ids.map((id) => `--pid=${id}`), '/dev/null'],
    {
      timeout: 10_000,
    },
  );
  assert.deepEqual(programs(), []);
}

function isLinkError(code: string | undefined, message: RegExp) {
  return (error: LinkError) => {
    assert.equal(error.name, 'LinkError');
    assert.match(error.message, message);
    assert(!error.message.includes('\n'), error.message);
    assert.equal(error.code, code);
    return true;
  };
}
