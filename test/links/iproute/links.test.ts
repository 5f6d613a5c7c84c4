// The real programs in a network namespace of its own. Where the kernel has no WireGuard, the links are
// userspace ones: `ip` and `wg` treat them the same once they are there.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { afterEach, test } from 'node:test';
import {
  deleteMarked,
  failedLine,
  ipBatch,
  linkExists,
  listMarked,
  showLink,
} from '../../../src/links/iproute/ip.ts';
import { iprouteLinks } from '../../../src/links/iproute/links.ts';
import type { LinkError, NewLink } from '../../../src/links/links.ts';
import { netlinkObstacle } from '../../../src/links/netlink/probe.ts';
import { probeWireGuardByPrograms } from '../../../src/links/probe.ts';
import { userspaceLinks } from '../../../src/links/userspace/links.ts';
import { openLibc } from '../../../src/netlink/libc/open.ts';
import { inNamespace } from '../../../src/netlink/namespace.ts';
import { markOf } from '../../../src/wireguard/link-alias.ts';
import { enterFreshNamespace } from '../../support/fresh-namespace.ts';
import { hub, privateKeyText, type publicKey } from '../../support/hubs.ts';
import { assertReadsAndChanges } from '../../support/links-in-containers.ts';
import {
  addForeignLink,
  anyAliases,
  deleteAllLinks,
  setAlias,
  shownLink,
  shownLinks,
} from '../../support/namespace-links.ts';

const { skip } = await enterFreshNamespace('wireguard-go', 'wg');
const mark = markOf('wireguard-plugin');
const links = iprouteLinks(mark);
const link: NewLink = { name: 'wgd1a2b3c', mtu: 1380, endpointId: 'e'.repeat(64) };
const device = { privateKey: hub.privateKey ?? assert.fail(), listenPort: 51820, peers: hub.peers };

const kernel = skip === undefined && (await probeWireGuardByPrograms()) === undefined;
/** Makes links as this kernel can. */
const made = kernel ? links : userspaceLinks(mark, 'wireguard-go');

afterEach(() => {
  if (skip === undefined) {
    deleteAllLinks();
  }
});

test('a link is seen while the main thread is in another namespace', {
  skip: skip ?? netlinkObstacle(),
}, async () => {
  addForeignLink(link.name);
  // The threads that read files are there before, as they are in a driver that has its state.
  assert.equal(await linkExists(link.name), true);
  const seen = inNamespace(openLibc(), 'new', () => {
    const reading = linkExists(link.name);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    return reading;
  });
  assert.equal(await seen, true);
});

test('the probe leaves nothing and says why it failed', { skip }, async () => {
  const reason = await probeWireGuardByPrograms();
  assert.deepEqual(shownLinks(), []);
  assert.match(reason ?? 'none', /^(?:none|Unknown device type\.?|Operation not supported)$/);
});

test('a kernel without WireGuard: an error in one line, and no link', {
  skip: skip ?? (kernel && 'this kernel has it'),
}, async () => {
  await assert.rejects(
    links.create(link),
    isLinkError(
      undefined,
      /^create link wgd1a2b3c: Unknown device type\.? \(ip -batch -: exit status \d+\)$/,
    ),
  );
  assert.deepEqual(shownLinks(), []);
});

test('a link is made marked, down, and with the MTU asked for', { skip }, async () => {
  await made.create(link);
  const shown = shownLink(link.name);
  assert.equal(shown?.ifalias, `wgdriver:wireguard-plugin:${link.endpointId}`);
  assert.equal(shown?.mtu, 1380);
  assert(!shown?.flags.includes('UP'));
});

test('a link takes its configuration from `wg setconf`, and a new one in place of it', { skip }, async () => {
  await made.create(link);
  await links.configure(link.name, device);
  const show = (what: string) => execFileSync('wg', ['show', link.name, what], { encoding: 'utf8' });
  assert.equal(show('private-key').trim(), privateKeyText);
  assert.equal(show('peers').trim().split('\n').length, 2);
  await links.configure(link.name, { ...device, peers: [] });
  assert.equal(show('peers').trim(), '');
});

test('a configuration that wg refuses: its words, and no key', { skip }, async () => {
  await made.create(link);
  const peers = [
    { publicKey: `${privateKeyText.slice(0, 42)}B=` as ReturnType<typeof publicKey>, allowedIps: [] },
  ];
  await assert.rejects(links.configure(link.name, { ...device, peers }), (error: LinkError) => {
    assert.match(
      error.message,
      /^configure link wgd1a2b3c: Key is not the correct length or format: `\[key\]'; [^\n]*$/,
    );
    assert(!error.message.includes(privateKeyText.slice(0, 20)), error.message);
    return true;
  });
});

test('configuring what is not there', { skip }, async () => {
  await assert.rejects(
    links.configure('wgdnone', device),
    isLinkError(
      undefined,
      /^configure link wgdnone: Unable to modify interface: (?:No such device|Protocol not supported) \(/,
    ),
  );
});

test(
  'a link in a container is read and changed, one setting at a time and all together, while it carries traffic',
  {
    skip,
    timeout: 600_000,
  },
  () => assertReadsAndChanges(iprouteLinks(mark, kernel ? 'wireguard' : 'tun'), made),
);

test('a link of the same name: EEXIST, and the other’s is not touched', { skip }, async () => {
  addForeignLink(link.name);
  // Of what type the kernel knows: the name is looked at first where it knows WireGuard.
  if (kernel) {
    await assert.rejects(
      links.create(link),
      isLinkError('EEXIST', /^create link wgd1a2b3c: File exists \(ip -batch -: exit status \d+\)$/),
    );
  }
  await assert.rejects(
    links.delete(link.name),
    isLinkError(undefined, /^delete link wgd1a2b3c: it is not this/),
  );
  assert(shownLink(link.name));
  assert.deepEqual(await links.list(), []);
});

test('links are listed and deleted by their mark, twice as well', { skip }, async () => {
  addForeignLink('tun0');
  setAlias('tun0', 'wgdriver:another:x');
  await made.create(link);
  assert.deepEqual(await listMarked(mark), [{ name: link.name, endpointId: link.endpointId }]);
  assert.deepEqual(await listMarked(markOf('another')), [{ name: 'tun0', endpointId: 'x' }]);
  await deleteMarked(link.name, mark);
  await deleteMarked(link.name, mark);
  assert.deepEqual(
    shownLinks().map(({ ifname }) => ifname),
    ['tun0'],
  );
});

test('a recorded link is deleted whatever its alias has become, and one of another kind is not', {
  skip,
}, async () => {
  const own = iprouteLinks(mark, kernel ? 'wireguard' : 'tun');
  await made.create(link);
  setAlias(link.name, anyAliases[0]);
  await assert.rejects(own.delete(link.name), isLinkError(undefined, /it is not this driver’s/));
  await own.deleteRecorded(link.name);
  await own.deleteRecorded(link.name);
  assert.deepEqual(shownLinks(), []);
  addForeignLink(link.name);
  await assert.rejects(
    links.deleteRecorded(link.name),
    isLinkError(undefined, /^delete link wgd1a2b3c: it is not this driver’s: its kind is tun$/),
  );
});

test('listing survives any alias', { skip }, async () => {
  await made.create(link);
  addForeignLink('tun0');
  for (const alias of anyAliases) {
    setAlias('tun0', alias);
    assert.deepEqual(await links.list(), [{ name: link.name, endpointId: link.endpointId }]);
  }
});

test('deleting one link at once from many sides', { skip }, async () => {
  await made.create(link);
  await Promise.all(Array.from({ length: 10 }, () => links.delete(link.name)));
  assert.deepEqual(shownLinks(), []);
});

test('a batch ends at the line that fails, and tells which', { skip }, async () => {
  addForeignLink('tun0');
  const outcome = await ipBatch([
    'link set dev tun0 mtu 1400',
    'link set dev none mtu 1400',
    'link del dev tun0',
  ]);
  assert(!outcome.ok);
  assert.equal(failedLine(outcome), 2);
  assert.equal(shownLink('tun0')?.mtu, 1400);
  assert.equal((await ipBatch(['link del dev tun0'])).ok, true);
});

test('a link that is there, and one that is not', { skip }, async () => {
  assert.equal((await showLink('lo'))?.ifname, 'lo');
  assert.equal(await showLink('none'), undefined);
});

function isLinkError(code: string | undefined, message: RegExp) {
  return (error: LinkError) => {
    assert.equal(error.name, 'LinkError');
    assert.match(error.message, message);
    assert.equal(error.code, code);
    return true;
  };
}
