import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { markOf, readEndpointId } from '../../src/wireguard/link-alias.ts';

test('a mark is read back by its owner alone', () => {
  // Names of drivers as serve takes them, and ids as the decoder does.
  const anyOwner = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/);
  const anyId = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/);
  fc.assert(
    fc.property(anyOwner, anyOwner, anyId, (owner, other, id) => {
      const alias = markOf(owner).write(id);
      assert.equal(markOf(owner).read(alias), id);
      assert.equal(markOf(other).read(alias), owner === other ? id : undefined);
      assert.equal(readEndpointId(alias), id);
      assert(alias.length < 256 && !/\s/.test(alias));
    }),
  );
});

test('other aliases are no mark', () => {
  for (const alias of [
    undefined,
    '',
    'uplink',
    'wgdriver',
    'wgdriver:',
    'wgdriver:other:id',
    ' wgdriver:own:id',
  ]) {
    assert.equal(markOf('own').read(alias), undefined);
  }
  for (const alias of [undefined, '', 'uplink', 'wgdriver:', 'wgdriver:own:', ' wgdriver:own:id']) {
    assert.equal(readEndpointId(alias), undefined);
  }
});
