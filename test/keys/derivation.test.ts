import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { createHash, hkdfSync } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type DerivationName,
  derivationNames,
  derivePresharedKey,
  derivePrivateKey,
} from '../../src/keys/derivation.ts';
import { parseSeed } from '../../src/keys/seed.ts';
import { addressBytes, parseAddress } from '../../src/wireguard/address.ts';
import { decodeBase64 } from '../../src/wireguard/base64.ts';
import { clamp, publicKeyOf } from '../../src/wireguard/key.ts';
import { Secret } from '../../src/wireguard/secret.ts';
import { anyAddress } from '../support/addresses.ts';

const article = { seed: 'dGVzdHNlZWQK', additional: 'dGVzdGFkZGl0aW9uYWwK', address: '192.168.5.2' };

const articleKeys: { derivation: DerivationName; private: string; public?: string }[] = [
  {
    derivation: 'sha3-256',
    private: 'IJftaHjgELSRD3PXllSPn3EpiVmrEjQupVynwcfu8FE=',
    public: '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=',
  },
  { derivation: 'keccak-256', private: 'KPGLBti04NrpSWcdjDVRXQm0HHtsd9CTf8IbMNEb91c=' },
  { derivation: 'hkdf-sha256', private: 'OD0JlvJhFEG9g2hSLJ3qYKccX2nZRefM8ha8p7T1U1I=' },
];

for (const vector of articleKeys) {
  test(`the article's worked example by ${vector.derivation}`, () => {
    const seed = parseSeed(article.seed);
    const additional = decodeBase64(article.additional);
    assert(seed && additional);
    const key = derivePrivateKey(
      { seed, additional, derivation: vector.derivation },
      address(article.address),
    );
    assert.equal(key.toBase64(), vector.private);
    if (vector.public !== undefined) {
      assert.equal(publicKeyOf(key), vector.public);
    }
  });
}

test('the preshared key of the worked example', () => {
  const seed = parseSeed(article.seed);
  const additional = decodeBase64(article.additional);
  assert(seed && additional);
  const key = derivePresharedKey({ seed, additional }, address(article.address));
  assert.equal(key.toBase64(), 'xy/E4uqJb45RI4OKtF9q1/v+fhv7ePpq0hFPiPtlrg4=');
});

/** Known answers of the hashes whose last four bytes make an address. */
const hashes: { name: string; derivation: DerivationName; message: Buffer; digest: string }[] = [
  {
    name: 'FIPS 202, the 1600-bit message of NIST’s examples',
    derivation: 'sha3-256',
    message: Buffer.alloc(200, 0xa3),
    digest: '79f38adec5c20307a98ef76e8324afbfd46cfd81b22e3973c65fa1bd9de31787',
  },
  {
    name: 'Keccak before FIPS 202, Ethereum’s selector of ERC-20 transfer',
    derivation: 'keccak-256',
    message: Buffer.from('transfer(address,uint256)'),
    digest: 'a9059cbb2ab09eb219583f4a59a5d0623ade346d962bcd4e46b11da047c9049b',
  },
  {
    name: 'Keccak before FIPS 202, Ethereum’s topic of ERC-20 Transfer',
    derivation: 'keccak-256',
    message: Buffer.from('Transfer(address,address,uint256)'),
    digest: 'ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef',
  },
];

for (const { name, derivation, message, digest } of hashes) {
  test(`the hash of ${derivation}: ${name}`, () => {
    const seed = new Secret(message.subarray(0, 7));
    const additional = message.subarray(7, -4);
    const last = [...message.subarray(-4)].join('.');
    const key = derivePrivateKey({ seed, additional, derivation }, address(last));
    assert.equal(
      Buffer.from(key.reveal()).toString('hex'),
      Buffer.from(clamp(Buffer.from(digest, 'hex'))).toString('hex'),
    );
  });
}

test('sha3-256 is OpenSSL’s of seed, additional and address, one behind the other', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), anyAddress, (seed, additional, of) => {
      const digest = createHash('sha3-256').update(seed).update(additional).update(addressBytes(of)).digest();
      const key = derivePrivateKey({ seed: new Secret(seed), additional, derivation: 'sha3-256' }, of);
      assert.deepEqual(key.reveal(), clamp(digest));
    }),
  );
});

test('hkdf-sha256 is OpenSSL’s HKDF, with purpose, family and address in its info', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), anyAddress, (seed, additional, of) => {
      const scheme = { seed: new Secret(seed), additional, derivation: 'hkdf-sha256' } as const;
      const family = of.kind() === 'ipv4' ? 4 : 6;
      const expected = (purpose: string) => {
        const info = Buffer.concat([
          Buffer.from(`wgdriver/2 ${purpose} `),
          Buffer.of(family),
          addressBytes(of),
        ]);
        return Buffer.from(hkdfSync('sha256', seed, additional, info, 32));
      };
      assert.deepEqual(
        Buffer.from(derivePrivateKey(scheme, of).reveal()),
        Buffer.from(clamp(expected('private'))),
      );
      assert.deepEqual(Buffer.from(derivePresharedKey(scheme, of).reveal()), expected('preshared'));
    }),
  );
});

test('hkdf-sha256 tells ab|c and a|bc apart, which the other derivations do not', () => {
  const keys = (derivation: DerivationName) =>
    ['a', 'ab'].map((seed) => {
      const additional = Buffer.from('abc'.slice(seed.length));
      const scheme = { seed: new Secret(Buffer.from(seed)), additional, derivation };
      return derivePrivateKey(scheme, address('10.0.0.2')).toBase64();
    });
  const [a, ab] = keys('hkdf-sha256');
  assert.notEqual(a, ab);
  assert.equal(...(keys('sha3-256') as [string, string]));
});

test('every derivation gives scalars that are clamped, and another for another address', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...derivationNames),
      fc.uint8Array({ minLength: 1 }),
      fc.uniqueArray(anyAddress, { minLength: 2, maxLength: 2, selector: String }),
      (derivation, seed, addresses) => {
        const scheme = { seed: new Secret(seed), additional: new Uint8Array(), derivation };
        const keys = addresses.map((of) => derivePrivateKey(scheme, of));
        for (const key of keys) {
          assert.deepEqual(key.reveal(), clamp(key.reveal()));
        }
        assert.equal(new Set(keys.map((key) => key.toBase64())).size, keys.length);
      },
    ),
  );
});

test('the address of an IPv6 endpoint counts with its 16 bytes', () => {
  const seed = new Secret(Buffer.from('seed'));
  const key = derivePrivateKey(
    { seed, additional: new Uint8Array(), derivation: 'sha3-256' },
    address('2001:db8::5'),
  );
  const digest = createHash('sha3-256')
    .update('seed')
    .update(Buffer.from('20010db8000000000000000000000005', 'hex'))
    .digest();
  assert.deepEqual(key.reveal(), clamp(digest));
});

function address(text: string) {
  const parsed = parseAddress(text);
  assert(parsed, text);
  return parsed;
}
