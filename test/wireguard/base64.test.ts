import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import fc from 'fast-check';
import { base64Fault, decodeBase64, encodeBase64 } from '../../src/wireguard/base64.ts';

/** RFC 4648 section 10. */
const vectors = {
  '': '',
  f: 'Zg==',
  fo: 'Zm8=',
  foo: 'Zm9v',
  foob: 'Zm9vYg==',
  fooba: 'Zm9vYmE=',
  foobar: 'Zm9vYmFy',
};

for (const [decoded, encoded] of Object.entries(vectors)) {
  test(`RFC 4648: ${JSON.stringify(decoded)} is ${JSON.stringify(encoded)}`, () => {
    assert.equal(encodeBase64(Buffer.from(decoded)), encoded);
    assert.equal(Buffer.from(decodeBase64(encoded) ?? 'undefined').toString(), decoded);
  });
}

test('any bytes there and back', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      assert.deepEqual(decodeBase64(encodeBase64(bytes)), bytes);
    }),
  );
});

for (const text of [
  'Z',
  'Zg',
  'Zg=',
  'Zg===',
  'Zg==\n',
  ' Zg==',
  'Zm9v=',
  'Zm-_',
  'Zm9vZg',
  '====',
  'Zg==Zg==',
  'Zm9\u00e9',
]) {
  test(`not base64: ${JSON.stringify(text)}`, () => {
    assert.equal(decodeBase64(text), undefined);
  });
}

test('what is wrong with a text is told exactly', () => {
  for (const [text, fault] of [
    ['', /^it is empty$/],
    ['Zm9v\r', /carriage return/],
    ['Zm 9v', /white space/],
    ['Zm-_', /URL-safe base64: write \+ for each - and \/ for each _/],
    ['Zg', /the = at its end is missing/],
    ['Zg=', /the = at its end is missing/],
    ['Zm9vY', /cut short/],
    ['Zm9vY===', /cut short/],
    ['Zg===', /too many =/],
    ['Zm9v=', /too many =/],
    ['Zg==Zg==', /continues after an =/],
    ['hunter2!', /characters that are not base64/],
  ] as const) {
    assert.match(base64Fault(text), fault, text);
  }
});
