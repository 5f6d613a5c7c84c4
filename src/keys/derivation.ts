import { keccak_256, sha3_256 } from '@noble/hashes/sha3.js';
import { concatBytes } from '@noble/hashes/utils.js';
import { type Address, addressBytes } from '../wireguard/address.ts';
import { clamp, PrivateKey } from '../wireguard/key.ts';
import type { Secret } from '../wireguard/secret.ts';

/** seed, additional and address (4 or 16 bytes) to 32 bytes that are not clamped yet. */
type Derivation = (seed: Uint8Array, additional: Uint8Array, address: Uint8Array) => Uint8Array;

/**
 * The derivations by name. `sha3-256` (FIPS 202) is what the article's code and worked example use,
 * `keccak-256` (the padding of before FIPS 202) is what its text says.
 */
const derivations = {
  'sha3-256': (...parts) => sha3_256(concatBytes(...parts)),
  'keccak-256': (...parts) => keccak_256(concatBytes(...parts)),
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
