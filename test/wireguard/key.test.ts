import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  clamp,
  PresharedKey,
  PrivateKey,
  parsePresharedKey,
  parsePrivateKey,
  parsePublicKey,
  publicKeyOf,
} from '../../src/wireguard/key.ts';
import { whyNoPrograms } from '../support/fresh-namespace.ts';

/** RFC 7748 section 6.1. */
const pairs = [
  {
    name: 'Alice',
    private: '77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a',
    public: '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a',
  },
  {
    name: 'Bob',
    private: '5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb',
    public: 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f',
  },
];

for (const pair of pairs) {
  test(`RFC 7748: ${pair.name}’s public key`, () => {
    const publicKey = publicKeyOf(new PrivateKey(Buffer.from(pair.private, 'hex')));
    assert.equal(Buffer.from(publicKey, 'base64').toString('hex'), pair.public);
  });
}

/** RFC 7748 section 5.2: the scalars and the numbers that they are once decoded. */
const scalars = [
  {
    bytes: 'a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4',
    number: 31029842492115040904895560451863089656472772604678260265531221036453811406496n,
  },
  {
    bytes: '4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d',
    number: 35156891815674817266734212754503633747128614016119564763269015315466259359304n,
  },
];

for (const { bytes, number } of scalars) {
  test(`RFC 7748: the scalar ${bytes.slice(0, 8)}…`, () => {
    const clamped = Buffer.from(clamp(Buffer.from(bytes, 'hex')));
    assert.equal(BigInt(`0x${clamped.reverse().toString('hex')}`), number);
  });
}

test('a preshared key is `wg`’s', await whyNoPrograms('wg'), () => {
  const text = execFileSync('wg', ['genpsk'], { encoding: 'utf8' }).trim();
  assert.equal(parsePresharedKey(text)?.toBase64(), text);
});

const any32 = fc.uint8Array({ minLength: 32, maxLength: 32 });

test('clamping works on a copy, and twice is once', () => {
  fc.assert(
    fc.property(any32, (bytes) => {
      const before = Uint8Array.from(bytes);
      const clamped = clamp(bytes);
      assert.deepEqual(bytes, before);
      assert.deepEqual(clamp(clamped), clamped);
      assert.deepEqual(clamped.subarray(1, 31), bytes.subarray(1, 31));
    }),
  );
});

test('public keys are OpenSSL’s', () => {
  // PKCS #8 of an X25519 key (RFC 8410) is this and the key.
  const header = Buffer.from('302e020100300506032b656e04220420', 'hex');
  fc.assert(
    fc.property(any32, (bytes) => {
      const key = createPrivateKey({ key: Buffer.concat([header, bytes]), format: 'der', type: 'pkcs8' });
      const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
      assert.equal(publicKeyOf(new PrivateKey(bytes)), spki.subarray(-32).toString('base64'));
    }),
  );
});

test('private and public keys are `wg`’s', await whyNoPrograms('wg'), () => {
  const text = execFileSync('wg', ['genkey'], { encoding: 'utf8' }).trim();
  const key = parsePrivateKey(text);
  assert(key);
  assert.equal(key.toBase64(), text);
  assert.deepEqual(clamp(key.reveal()), key.reveal());
  assert.equal(publicKeyOf(key), execFileSync('wg', ['pubkey'], { input: text, encoding: 'utf8' }).trim());
});

test('keys are read back as they were written', () => {
  fc.assert(
    fc.property(any32, (bytes) => {
      const text = Buffer.from(bytes).toString('base64');
      assert.equal(parsePublicKey(text), text);
      assert.deepEqual(parsePrivateKey(text)?.reveal(), bytes);
      assert.equal(parsePresharedKey(text)?.toBase64(), text);
    }),
  );
});

const wrong = [
  '',
  'YQ==',
  `${'A'.repeat(43)}`,
  `${'A'.repeat(44)}`,
  `${'A'.repeat(43)}= `,
  `${'A'.repeat(43)}=\n`,
  // Base64 whose last two bits are not zero: `wg` refuses it.
  `${'A'.repeat(42)}B=`,
  '77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a',
];

for (const text of wrong) {
  test(`no key: ${JSON.stringify(text)}`, () => {
    assert.equal(parsePublicKey(text), undefined);
    assert.equal(parsePrivateKey(text), undefined);
    assert.equal(parsePresharedKey(text), undefined);
  });
}

test('private and preshared keys have 32 bytes', () => {
  assert.throws(() => new PrivateKey(new Uint8Array(31)), /private key: expected 32 bytes, got 31/);
  assert.throws(() => new PresharedKey(new Uint8Array(33)), /preshared key: expected 32 bytes, got 33/);
});
