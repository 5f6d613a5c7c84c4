import assert from 'node:assert/strict';
import { test } from 'node:test';
import { didYouMean, nearest } from '../src/nearest.ts';

const commands = ['serve', 'keys', 'endpoint-config', 'doctor', 'service'];

for (const [word, expected] of [
  ['key', 'keys'],
  ['keyss', 'keys'],
  ['sevre', 'serve'],
  ['kyes', 'keys'],
  ['serice', 'service'],
  ['endpoint-confg', 'endpoint-config'],
  ['docotr', 'doctor'],
  ['KEYS', 'keys'],
  ['doc', 'doctor'],
  ['do', undefined],
  ['status', undefined],
  ['kiss', undefined],
  ['', undefined],
] as const) {
  test(`nearest to ${JSON.stringify(word)}: ${expected ?? 'none'}`, () => {
    assert.equal(nearest(word, commands), expected);
  });
}

test('the hint is part of a sentence, or nothing', () => {
  assert.equal(didYouMean('doctr', commands), '; did you mean doctor?');
  assert.equal(didYouMean('bogus', commands), '');
});
