import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import { x25519 as noble } from '@noble/curves/ed25519.js';
import fc from 'fast-check';
import { implementations, x25519 } from '../../src/wireguard/x25519.ts';

/** Clamped or not: they clamp it themselves. */
const anyPrivateKey = fc.uint8Array({ minLength: 32, maxLength: 32 });

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

test('this runtime’s own is taken', () => {
  assert.notEqual(x25519(), implementations.noble);
  assert.ok(x25519().source);
});

for (const [name, { publicKey, source }] of Object.entries({ ...implementations, chosen: x25519() })) {
  test(`${name} gives noble’s bytes, and so does its text, or it is not there`, (t) => {
    try {
      publicKey(new Uint8Array(32).fill(9));
    } catch (error) {
      assert.notEqual(x25519().publicKey, publicKey);
      t.skip(String(error));
      return;
    }
    // As a worker has it: with globals, and nothing of the file around it.
    const read = source === undefined ? publicKey : new Function(`return ${source}`)();
    fc.assert(
      fc.property(anyPrivateKey, (privateKey) => {
        const expected = hex(noble.getPublicKey(privateKey));
        assert.equal(hex(publicKey(privateKey)), expected);
        assert.equal(hex(read(privateKey)), expected);
      }),
      { numRuns: 500 },
    );
  });
}
