import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHistogram } from '../../src/metrics/histogram.ts';

test('a bound is part of its bucket, buckets add up, and sums are sums', () => {
  const histogram = createHistogram([0.1, 1]);
  for (const value of [0, 0.1, 0.5, 1, 1.5, 10]) {
    histogram.observe({ call: 'Join' }, value);
  }
  const labels = { call: 'Join' };
  assert.deepEqual(histogram.samples(), [
    { suffix: '_bucket', labels: { call: 'Join', le: '0.1' }, value: 2 },
    { suffix: '_bucket', labels: { call: 'Join', le: '1' }, value: 4 },
    { suffix: '_bucket', labels: { call: 'Join', le: '+Inf' }, value: 6 },
    { suffix: '_sum', labels, value: 13.1 },
    { suffix: '_count', labels, value: 6 },
  ]);
});

test('each set of labels is counted for itself; without observations there is none', () => {
  const histogram = createHistogram([1]);
  assert.deepEqual(histogram.samples(), []);
  histogram.observe({ call: 'Join' }, 0);
  histogram.observe({ call: 'Leave' }, 0);
  histogram.observe({ call: 'Join' }, 2);
  const counts = histogram.samples().filter(({ suffix }) => suffix === '_count');
  assert.deepEqual(
    counts.map(({ labels, value }) => [labels.call, value]),
    [
      ['Join', 2],
      ['Leave', 1],
    ],
  );
});
