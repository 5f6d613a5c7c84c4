// The real kernel in a namespace of its own. Bridges take the place of WireGuard links, which not every kernel
// has; test/guests/netlink.test.ts has the real ones.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { afterEach, test } from 'node:test';
import type { LinkError, NewLink } from '../../../src/links/links.ts';
import { netlinkLinks } from '../../../src/links/netlink/links.ts';
import { netlinkObstacle, probeWireGuardByNetlink } from '../../../src/links/netlink/probe.ts';
import { PrivateKey } from '../../../src/wireguard/key.ts';
import { markOf } from '../../../src/wireguard/link-alias.ts';
import { enterFreshNamespace } from '../../support/fresh-namespace.ts';
import {
  addForeignLink,
  anyAliases,
  deleteAllLinks,
  setAlias,
  shownLink,
  shownLinks,
} from '../../support/namespace-links.ts';

const obstacle = netlinkObstacle();
const { skip = obstacle } = await enterFreshNamespace('ip');
const options = skip === undefined ? {} : { skip };
const mark = markOf('wireguard-plugin');
const linksOf = (kind?: string, owner = mark) => netlinkLinks(owner, kind);
const link: NewLink = { name: 'wgd1a2b3c', mtu: 1380, endpointId: 'e'.repeat(64) };

afterEach(() => {
  if (skip === undefined) {
    deleteAllLinks();
  }
});

test('a link is made marked, down, and with the MTU asked for', options, async () => {
  await linksOf('bridge').create(link);
  const shown = shownLink(link.name);
  assert.equal(shown?.ifalias, `wgdriver:wireguard-plugin:${link.endpointId}`);
  assert.equal(shown?.mtu, 1380);
  assert(!shown?.flags.includes('UP'));
});

test('links are listed and deleted by their mark, twice as well', options, async () => {
  const links = linksOf('bridge');
  addForeignLink('tun0');
  setAlias('tun0', 'wgdriver:another:x');
  await links.create(link);
  assert.deepEqual(await links.list(), [{ name: link.name, endpointId: link.endpointId }]);
  assert.deepEqual(await linksOf('bridge', markOf('another')).list(), [{ name: 'tun0', endpointId: 'x' }]);
  await links.delete(link.name);
  await links.delete(link.name);
  assert.deepEqual(
    shownLinks().map(({ ifname }) => ifname),
    ['tun0'],
  );
});

test(
  'a name that is taken: EEXIST, and the other’s link is neither marked, changed nor deleted',
  options,
  async () => {
    const links = linksOf('bridge');
    addForeignLink(link.name);
    await assert.rejects(links.create(link), isLinkError('EEXIST', 'create link wgd1a2b3c: EEXIST'));
    const shown = shownLink(link.name);
    assert.deepEqual([shown?.ifalias, shown?.mtu], [undefined, 1500]);
    const notOurs = 'delete link wgd1a2b3c: it is not this driver’s: its alias says otherwise';
    await assert.rejects(links.delete(link.name), isLinkError(undefined, notOurs));
    assert(shownLink(link.name));
    assert.deepEqual(await links.list(), []);
  },
);

test(
  'what a create that was cut short had left is deleted, and what it cannot have made is not',
  options,
  async () => {
    const links = linksOf('bridge');
    await links.deleteUnfinished(link.name);
    const addBridge = () => execFileSync('ip', ['link', 'add', 'dev', link.name, 'type', 'bridge']);
    addBridge();
    await links.deleteUnfinished(link.name);
    await links.create(link);
    await links.deleteUnfinished(link.name);
    assert.equal(shownLink(link.name), undefined);

    addForeignLink('wgd2');
    await links.deleteUnfinished('wgd2');
    addBridge();
    setAlias(link.name, 'somebody’s');
    await links.deleteUnfinished(link.name);
    assert([link.name, 'wgd2'].every(shownLink));
  },
);

test(
  'a recorded link is deleted whatever its alias has become, and one of another kind is not',
  options,
  async () => {
    const links = linksOf('bridge');
    await links.create(link);
    setAlias(link.name, anyAliases[0]);
    await assert.rejects(links.delete(link.name), { message: /it is not this driver’s/ });
    await links.deleteRecorded(link.name);
    await links.deleteRecorded(link.name);
    assert.deepEqual(shownLinks(), []);
    addForeignLink(link.name);
    const message = 'delete link wgd1a2b3c: it is not this driver’s: its kind is tun';
    await assert.rejects(links.deleteRecorded(link.name), isLinkError(undefined, message));
  },
);

test('listing survives any alias', options, async () => {
  const links = linksOf('bridge');
  await links.create(link);
  addForeignLink('tun0');
  for (const alias of anyAliases) {
    setAlias('tun0', alias);
    assert.deepEqual(await links.list(), [{ name: link.name, endpointId: link.endpointId }]);
  }
});

test(
  'the MTU of a link is changed where it is: on the host, and in a container under another name',
  options,
  async () => {
    const links = linksOf('bridge');
    const place = { ...link, sandbox: '/run/netns/box' };
    await links.create(link);
    await links.change(place, { mtu: 1400 });
    assert.equal(shownLink(link.name)?.mtu, 1400);
    execFileSync('ip', ['netns', 'add', 'box']);
    try {
      execFileSync('ip', ['link', 'add', 'dev', 'wgd-peer', 'type', 'veth', 'peer', 'name', 'wgd-inside']);
      const veth = linksOf('veth');
      setAlias('wgd-inside', mark.write('v'));
      execFileSync('ip', ['link', 'set', 'dev', 'wgd-inside', 'netns', 'box', 'name', 'wg0']);
      await veth.change({ name: 'wgd-inside', endpointId: 'v', sandbox: '/run/netns/box' }, { mtu: 1333 });
      const shown = execFileSync('ip', ['-n', 'box', 'link', 'show', 'dev', 'wg0'], { encoding: 'utf8' });
      assert.match(shown, / mtu 1333 /);
    } finally {
      execFileSync('ip', ['netns', 'delete', 'box']);
    }
    for (const nowhere of [
      { ...place, endpointId: 'x' },
      { name: 'wgdnone', endpointId: 'x' },
    ]) {
      assert.equal(await links.read(nowhere), undefined);
      await assert.rejects(links.change(nowhere, { mtu: 1400 }), { code: 'ENODEV' });
    }
  },
);

test('a kind that the kernel does not know: its own words, and no link', options, async () => {
  await assert.rejects(
    linksOf('none').create(link),
    isLinkError('EOPNOTSUPP', 'create link wgd1a2b3c: EOPNOTSUPP: Unknown device type'),
  );
  assert.deepEqual(shownLinks(), []);
});

test('a name and an MTU that the kernel refuses: its own words', options, async () => {
  const links = linksOf('bridge');
  await assert.rejects(
    links.create({ ...link, name: 'n'.repeat(16) }),
    isLinkError('ERANGE', /^create link n{16}: ERANGE: Attribute failed policy validation: at byte \d+ of/),
  );
  await assert.rejects(
    links.create({ ...link, mtu: 1 }),
    isLinkError('EINVAL', 'create link wgd1a2b3c: EINVAL: mtu less than device minimum'),
  );
});

test('a link that cannot be marked is not left behind', options, async () => {
  await assert.rejects(
    linksOf('bridge').create({ ...link, endpointId: 'e'.repeat(300) }),
    isLinkError('ERANGE', /^create link wgd1a2b3c: ERANGE: set alias of link wgd1a2b3c: /),
  );
  assert.deepEqual(shownLinks(), []);
});

test('not root: EPERM, and what is needed', options, async () => {
  process.seteuid?.(65534);
  try {
    const needs = 'create link wgd1a2b3c: EPERM: needs CAP_NET_ADMIN';
    await assert.rejects(linksOf('bridge').create(link), isLinkError('EPERM', needs));
    assert.equal(await probeWireGuardByNetlink(), 'enter network namespace: EPERM: needs CAP_SYS_ADMIN');
  } finally {
    process.seteuid?.(0);
  }
});

test('deleting one link at once from many sides, and many links', options, async () => {
  const links = linksOf('bridge');
  const names = Array.from({ length: 10 }, (_, n) => `wgd${n}`);
  for (const name of names) {
    await links.create({ ...link, name });
  }
  await Promise.all([...names, ...names].map((name) => links.delete(name)));
  assert.deepEqual(shownLinks(), []);
});

test('the event loop goes on while links are deleted', options, async () => {
  const links = linksOf('bridge');
  const names = Array.from({ length: 20 }, (_, n) => `wgd${n}`);
  for (const name of names) {
    await links.create({ ...link, name });
  }
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  const started = performance.now();
  await Promise.all(names.map((name) => links.delete(name)));
  const deleted = performance.now() - started;
  clearInterval(timer);
  assert(ticks > deleted / 20, `${ticks} ticks of 1 ms in ${deleted} ms`);
});

test('links are listed in several messages', options, async () => {
  const links = linksOf('bridge');
  const names = Array.from({ length: 40 }, (_, n) => `wgd${n}`);
  for (const name of names) {
    await links.create({ ...link, name });
  }
  const listed = await links.list();
  assert.deepEqual(listed.map(({ name }) => name).sort(), names.sort());
});

test('links are listed while many are deleted, which interrupts a dump', options, async () => {
  const links = linksOf('bridge');
  const names = Array.from({ length: 100 }, (_, n) => `wgd${n}`);
  for (const name of names) {
    await links.create({ ...link, name });
  }
  const deletions = Promise.all(names.map((name) => links.delete(name)));
  const listed = await links.list();
  assert(listed.length < names.length, `${listed.length}`);
  await deletions;
  assert.deepEqual(await links.list(), []);
});

test(
  'configuring a link where the kernel has no WireGuard, or no such link: no key in the error',
  options,
  async () => {
    const privateKey = new PrivateKey(new Uint8Array(32).fill(65));
    await assert.rejects(linksOf().configure('wgdnone', { privateKey, peers: [] }), (error: LinkError) => {
      assert.match(
        error.message,
        /^configure link wgdnone: (?:ENOENT: resolve netlink family wireguard|ENODEV)$/,
      );
      return true;
    });
  },
);

test('the probe says why, and leaves nothing', options, async () => {
  const reason = await probeWireGuardByNetlink();
  assert.deepEqual(shownLinks(), []);
  if (reason !== undefined) {
    assert.equal(reason, 'create link wgprobe: EOPNOTSUPP: Unknown device type');
  }
});

function isLinkError(code: string | undefined, message: string | RegExp) {
  return (error: LinkError) => {
    assert.equal(error.name, 'LinkError');
    if (typeof message === 'string') {
      assert.equal(error.message, message);
    } else {
      assert.match(error.message, message);
    }
    assert.equal(error.code, code);
    return true;
  };
}
