import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from '../../src/commands/command.ts';
import { metricsAddressOf } from '../../src/commands/metrics-address.ts';

test('addresses of this host alone, or of anybody where that is asked for', () => {
  for (const [text, isPublic, address] of [
    ['127.0.0.1:9586', false, { host: '127.0.0.1', port: 9586 }],
    ['127.9.9.9:1', false, { host: '127.9.9.9', port: 1 }],
    ['[::1]:9586', false, { host: '::1', port: 9586 }],
    ['unix:/run/wgdriver-metrics.sock', false, { path: '/run/wgdriver-metrics.sock', option: '--metrics' }],
    ['0.0.0.0:9586', true, { host: '0.0.0.0', port: 9586 }],
    ['[2001:db8::1]:9586', true, { host: '2001:db8::1', port: 9586 }],
  ] as const) {
    assert.deepEqual(metricsAddressOf(text, isPublic), address);
  }
});

test('what others can reach, and what is no address', () => {
  for (const [text, message] of [
    ['0.0.0.0:9586', /other hosts can reach 0\.0\.0\.0/],
    ['[::]:9586', /other hosts can reach ::/],
    ['10.0.0.5:9586', /other hosts can reach 10\.0\.0\.5/],
    ['localhost:9586', /expected ADDRESS:PORT or unix:PATH/],
    ['127.0.0.1', /expected ADDRESS:PORT or unix:PATH/],
    ['unix:', /expected ADDRESS:PORT or unix:PATH/],
    [`unix:/${'x'.repeat(107)}`, /option --metrics: expected a path of at most 107 bytes, got 108/],
    ['::1:9586', /expected ADDRESS:PORT or unix:PATH/],
  ] as const) {
    assert.throws(
      () => metricsAddressOf(text, false),
      (error: Error) => error instanceof UsageError && message.test(error.message),
    );
  }
});
