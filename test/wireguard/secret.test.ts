import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { Console } from 'node:console';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { format, inspect } from 'node:util';
import { PresharedKey, PrivateKey } from '../../src/wireguard/key.ts';
import { Secret } from '../../src/wireguard/secret.ts';

const bytes = Uint8Array.from({ length: 32 }, (_, index) => index * 7 + 1);
/** Every spelling in which the bytes could have got out. */
const spellings = [
  Buffer.from(bytes).toString('base64').replace(/=$/, ''),
  Buffer.from(bytes).toString('hex'),
  [...bytes].join(','),
  [...bytes].join(', '),
  '8, 15',
  '08 0f',
];

for (const secret of [new Secret(bytes), new PrivateKey(bytes), new PresharedKey(bytes)]) {
  const ways: Record<string, () => string> = {
    template: () => `${secret}`,
    concatenation: () => ['key: ', secret].join(''),
    String: () => String(secret),
    JSON: () => JSON.stringify({ secret, list: [secret] }),
    inspect: () => inspect(secret, { showHidden: true, depth: null, getters: true }),
    'inspect of an object with it': () =>
      inspect({ secret, nested: { deep: { deeper: { secret } } } }, { depth: null, showHidden: true }),
    'format %s %o %O %j': () => format('%s %o %O %j', secret, secret, secret, secret),
    console: () => printed(secret),
    'an error with it as cause': () => inspect(new Error('x', { cause: secret })),
    keys: () => JSON.stringify([Object.keys(secret), Object.entries(secret), { ...secret }]),
    structuredClone: () => inspect(structuredClone(secret), { showHidden: true }),
  };
  for (const [way, print] of Object.entries(ways)) {
    test(`${secret.constructor.name} by ${way} does not print`, () => {
      const text = print();
      for (const spelling of spellings) {
        assert(!text.includes(spelling), text);
      }
    });
  }

  test(`${secret.constructor.name} has one way out`, () => {
    assert.deepEqual(secret.reveal(), bytes);
    assert.equal(`${secret}`, '[secret]');
    assert.equal(inspect(secret), '[secret]');
    assert.equal(JSON.stringify({ secret }), '{"secret":"[secret]"}');
  });
}

function printed(secret: Secret): string {
  const chunks: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(String(chunk));
      done();
    },
  });
  const out = new Console(stream);
  out.log(secret, { secret });
  out.dir({ secret }, { depth: null, showHidden: true });
  out.table([{ secret }]);
  out.error('%o', secret);
  return chunks.join('');
}
