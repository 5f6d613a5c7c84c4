import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseRange } from '../../src/keys/ranges.ts';
import { countSelected, firstOf, isSelected, selected } from '../../src/keys/selection.ts';
import { addressesOf } from '../../src/wireguard/address.ts';

const anyRange = fc
  .tuple(fc.nat(40), fc.nat(20))
  .map(([first, length]) => parseRange(`10.0.0.${first}-10.0.0.${first + length}`));

test('a selection is what is in a range and in no exception, each address once', () => {
  fc.assert(
    fc.property(
      fc.array(anyRange, { maxLength: 4 }),
      fc.array(anyRange, { maxLength: 3 }),
      (ranges, without) => {
        const texts = [...selected({ ranges, without })].map(String);
        assert.equal(new Set(texts).size, texts.length);
        assert.equal(countSelected({ ranges, without }, 'all'), texts.length);
        const all = [...addressesOf(parseRange('10.0.0.0-10.0.0.70'))];
        assert.deepEqual(
          texts.toSorted(),
          all
            .filter((address) => isSelected({ ranges, without }, address))
            .map(String)
            .toSorted(),
        );
      },
    ),
  );
});

test('the first so many of a range end where the last of them is', () => {
  const without = [parseRange('10.0.0.2-10.0.0.3')];
  const { range, found } = firstOf(parseRange('10.0.0.0/24'), 3, without);
  assert.deepEqual([...selected({ ranges: [range], without })].map(String), [
    '10.0.0.1',
    '10.0.0.4',
    '10.0.0.5',
  ]);
  assert.equal(found, 3);
  assert.equal(firstOf(parseRange('10.0.0.0/30'), 3, without).found, 1);
});

test('more than there is time for is not counted', () => {
  const ranges = [parseRange('10.0.0.0/13'), parseRange('10.8.0.0/13'), parseRange('10.16.0.0/13')];
  assert.throws(
    () => countSelected({ ranges, without: [] }, '10.0.0.0/8'),
    /^Error: 10\.0\.0\.0\/8: expected at most 1048576 addresses.*: name fewer/,
  );
});
