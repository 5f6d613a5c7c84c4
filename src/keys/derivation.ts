import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { keccak_256, sha3_256 } from '@noble/hashes/sha3.js';
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { type Address, addressBytes } from '../wireguard/address.ts';
import { clamp, PresharedKey, PrivateKey, WG_KEY_LEN } from '../wireguard/key.ts';
import type { Secret } from '../wireguard/secret.ts';

/** seed, additional and address (4 or 16 bytes) to 32 bytes that are not clamped yet. */
type Derivation = (seed: Uint8Array, additional: Uint8Array, address: Uint8Array) => Uint8Array;

/**
 * The derivations by name. `sha3-256` (FIPS 202) is what the article's code and worked example use,
 * `keccak-256` (the padding of before FIPS 202) is what its text says. Both join the parts without saying where one
 * ends, so `ab|c` and `a|bc` give the same key; `hkdf-sha256` keeps them apart.
 */
const derivations = {
  'sha3-256': (...parts) => sha3_256(concatBytes(...parts)),
  'keccak-256': (...parts) => keccak_256(concatBytes(...parts)),
  'hkdf-sha256': (seed, additional, address) => expand(seed, additional, 'private', address),
} satisfies Record<string, Derivation>;

export type DerivationName = keyof typeof derivations;

export const derivationNames = Object.keys(derivations) as readonly DerivationName[];
export const defaultDerivation: DerivationName = 'sha3-256';
/** Base64 of `bestov.io`. */
export const defaultAdditional = 'YmVzdG92Lmlv';

/** Under this many bytes a seed can be guessed; shorter ones are warned about, not refused. */
export const shortSeedBytes = 16;

/** All that an address needs to become a key. */
export interface KeyScheme {
  readonly seed: Secret;
  readonly additional: Uint8Array;
  readonly derivation: DerivationName;
}

/** The private key of a container's address: `clamp(H(seed | additional | address))`. */
export function derivePrivateKey({ seed, additional, derivation }: KeyScheme, address: Address): PrivateKey {
  const derive: Derivation = derivations[derivation];
  return new PrivateKey(clamp(derive(seed.reveal(), additional, addressBytes(address))));
}

/**
 * The preshared key of a container's address: always by HKDF, so that it says nothing about a private key that comes
 * of the same parts, whatever the derivation.
 */
export function derivePresharedKey(
  { seed, additional }: Pick<KeyScheme, 'seed' | 'additional'>,
  address: Address,
): PresharedKey {
  return new PresharedKey(expand(seed.reveal(), additional, 'preshared', addressBytes(address)));
}

/** RFC 5869 with a purpose in its info; the 2 is the version of this scheme. */
function expand(
  seed: Uint8Array,
  additional: Uint8Array,
  purpose: 'private' | 'preshared',
  address: Uint8Array,
): Uint8Array {
  const info = concatBytes(
    utf8ToBytes(`wgdriver/2 ${purpose} `),
    Uint8Array.of(address.length === 4 ? 4 : 6),
    address,
  );
  return hkdf(sha256, seed, additional, info, WG_KEY_LEN);
}
