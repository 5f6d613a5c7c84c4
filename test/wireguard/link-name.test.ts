import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { containerLinkPrefix, linkName } from '../../src/wireguard/link-name.ts';

test('a link’s name is that of its endpoint’s id, at every start the same', () => {
  // A change of it would orphan the links of running containers.
  assert.equal(linkName('dummy-endpoint'), 'wgd03937dfa4a9e');
});

test('any id gives a name that the kernel takes', () => {
  fc.assert(
    fc.property(fc.string(), (id) => {
      const name = linkName(id);
      assert.match(name, /^wgd[0-9a-f]{12}$/);
      assert.equal(name, `wgd${createHash('sha256').update(id, 'utf8').digest('hex').slice(0, 12)}`);
    }),
  );
});

test('the engine’s counter fits behind the prefix', () => {
  assert(containerLinkPrefix.length <= 14);
});
