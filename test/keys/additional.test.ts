import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAdditionals } from '../../src/keys/additional.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

test('one value, or the newest above older ones', () => {
  assert.deepEqual(parseAdditionals('YmVzdG92Lmlv\n'), [bytes('bestov.io')]);
  assert.deepEqual(parseAdditionals('# 2026\n bmV3 \n\n# 2025\nb2xk'), [bytes('new'), bytes('old')]);
});

test('what is no base64 is refused as a whole', () => {
  for (const text of ['', '\n# nothing\n', 'bmV3\nold!', 'bmV3 b2xk']) {
    assert.equal(parseAdditionals(text), undefined);
  }
});
