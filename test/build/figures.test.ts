import assert from 'node:assert/strict';
import { test } from 'node:test';
import { medianRatio } from '../../build/bench/figures.ts';

test('a median of ratios, and its interval of 95 %', () => {
  const numbers = Array.from({ length: 30 }, (_, index) => index + 1);
  // By tables of the sign test: the 10th and the 21st of 30.
  assert.deepEqual(medianRatio(numbers, new Array(30).fill(1)), { median: 16, low: 10, high: 21 });
  assert.deepEqual(medianRatio([2, 9, 4], [1, 3, 4]), { median: 2, low: 1, high: 3 });
  assert(Number.isNaN(medianRatio([], []).median));
});
