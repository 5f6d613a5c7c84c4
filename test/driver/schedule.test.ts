import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pauseAfter } from '../../src/driver/schedule.ts';

test('a look comes every 15 s, or a minute where it takes seconds itself', () => {
  for (const [tookMs, pauseMs] of [
    [500, 14_500],
    [3000, 12_000],
    [5000, 20_000],
    [11_000, 44_000],
    [40_000, 45_000],
  ] as const) {
    assert.equal(pauseAfter(tookMs), pauseMs);
  }
});
