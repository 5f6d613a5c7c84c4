import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseSeed } from '../../src/keys/seed.ts';

test('a seed is what its base64 says, with white space around it', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1 }),
      fc.constantFrom('', ' ', '\n', '\r\n', '\t \n'),
      (bytes, space) => {
        const seed = parseSeed(space + Buffer.from(bytes).toString('base64') + space);
        assert.deepEqual(seed?.reveal(), bytes);
      },
    ),
  );
});

for (const text of [
  '',
  ' \n',
  'a',
  'YQ',
  'YQ=',
  'YQ==YQ==',
  'Y Q==',
  'YQ==\nYQ==',
  'Y-_=',
  'dGVzdHNlZWQK!',
]) {
  test(`no seed: ${JSON.stringify(text)}`, () => {
    assert.equal(parseSeed(text), undefined);
  });
}
