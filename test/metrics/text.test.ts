import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatMetrics, formatValue, type Metric } from '../../src/metrics/text.ts';

const gauge = (samples: Metric['samples'], help = 'Help.'): Metric => ({
  name: 'm',
  help,
  type: 'gauge',
  samples,
});
const sampleOf = (labels: Record<string, string>, value = 1) =>
  formatMetrics([gauge([{ labels, value }])]).split('\n')[2];

test('the example of the format’s documentation, without its timestamps', () => {
  const text = formatMetrics([
    {
      name: 'http_requests_total',
      help: 'The total number of HTTP requests.',
      type: 'counter',
      samples: [
        { labels: { method: 'post', code: '200' }, value: 1027 },
        { labels: { method: 'post', code: '400' }, value: 3 },
      ],
    },
    {
      name: 'msdos_file_access_time_seconds',
      help: 'Escaping in label values.',
      type: 'gauge',
      samples: [
        {
          labels: { path: 'C:\\DIR\\FILE.TXT', error: 'Cannot find file:\n"FILE.TXT"' },
          value: 1.458255915e9,
        },
      ],
    },
    {
      name: 'http_request_duration_seconds',
      help: 'A histogram of the request duration.',
      type: 'histogram',
      samples: [
        { suffix: '_bucket', labels: { le: '0.05' }, value: 24054 },
        { suffix: '_bucket', labels: { le: '+Inf' }, value: 144320 },
        { suffix: '_sum', labels: {}, value: 53423 },
        { suffix: '_count', labels: {}, value: 144320 },
      ],
    },
  ]);
  assert.equal(
    text,
    String.raw`# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027
http_requests_total{method="post",code="400"} 3
# HELP msdos_file_access_time_seconds Escaping in label values.
# TYPE msdos_file_access_time_seconds gauge
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1458255915
# HELP http_request_duration_seconds A histogram of the request duration.
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320
`,
  );
});

test('values as Go reads them', () => {
  const vectors: [number, string][] = [
    [0, '0'],
    [-1.5, '-1.5'],
    [Number.MAX_SAFE_INTEGER, '9007199254740991'],
    [1e21, '1e+21'],
    [5e-7, '5e-7'],
    [Number.POSITIVE_INFINITY, '+Inf'],
    [Number.NEGATIVE_INFINITY, '-Inf'],
    [Number.NaN, 'NaN'],
  ];
  for (const [value, text] of vectors) {
    assert.equal(formatValue(value), text);
  }
});

test('whatever is in a label’s value or a help text, it stays in its place and can be read back', () => {
  assert.equal(sampleOf({ a: 'x"} 1\nevil{b="' }), 'm{a="x\\"} 1\\nevil{b=\\""} 1');
  assert.equal(sampleOf({ a: '\\n' }), 'm{a="\\\\n"} 1');
  assert.equal(sampleOf({ a: 'half \ud800 a pair, whole 😀' }), 'm{a="half \ufffd a pair, whole 😀"} 1');
  assert.match(formatMetrics([gauge([], 'a\nb\\ "c"')]), /^# HELP m a\\nb\\\\ "c"\n# TYPE m gauge\n$/);
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('\\', '"', '\n', 'n', 'a', '{', '}', ',', '=', '\r', 'é') }),
      (value) => {
        const [, quoted = ''] = /^m\{a="(.*)"\} 1$/su.exec(sampleOf({ a: value }) ?? '') ?? [];
        assert.doesNotMatch(quoted, /\n|(?<!\\)(\\\\)*"/);
        const read = quoted.replaceAll(/\\(.)/g, (_, escaped) => (escaped === 'n' ? '\n' : escaped));
        assert.equal(read, value);
      },
    ),
  );
});

test('of two samples with the same labels the first counts', () => {
  const samples = [
    { labels: { a: '1' }, value: 1 },
    { labels: { a: '1' }, value: 2 },
    { labels: { a: '2' }, value: 3 },
  ];
  assert.match(formatMetrics([gauge(samples)]), /gauge\nm\{a="1"\} 1\nm\{a="2"\} 3\n$/);
});

test('names that Prometheus does not allow', () => {
  for (const name of ['', '0a', 'a-b', 'a b', 'é']) {
    assert.throws(() => formatMetrics([{ ...gauge([]), name }]), {
      name: 'TypeError',
      message: /of a metric/,
    });
  }
  for (const name of ['', '0a', 'a:b', '__name__', 'é']) {
    assert.throws(() => sampleOf({ [name]: '' }), { name: 'TypeError', message: /of a label/ });
  }
});
