import { base64Fault, decodeBase64, encodeBase64 } from './base64.ts';
import { Secret } from './secret.ts';
import { x25519 } from './x25519.ts';

/** Length in bytes of WireGuard's Curve25519 keys: `WG_KEY_LEN` in linux/wireguard.h. */
export const WG_KEY_LEN = 32;

declare const publicKey: unique symbol;

/** A public key as `wg` writes it: 32 bytes in base64, 44 characters. */
export type PublicKey = string & { readonly [publicKey]: true };

/** A key of 32 bytes that do not print. */
abstract class SecretKey extends Secret {
  constructor(bytes: Uint8Array, what: string) {
    if (bytes.length !== WG_KEY_LEN) {
      throw new RangeError(`${what}: expected ${WG_KEY_LEN} bytes, got ${bytes.length}`);
    }
    super(bytes);
  }

  /** The key as `wg genkey` and `wg genpsk` write it. A secret: only for a file or pipe that root alone can read. */
  toBase64(): string {
    return encodeBase64(this.reveal());
  }
}

export class PrivateKey extends SecretKey {
  // Keeps the type checker from taking one kind of key for the other.
  declare private readonly kind: 'private';

  constructor(bytes: Uint8Array) {
    super(bytes, 'private key');
  }
}

export class PresharedKey extends SecretKey {
  declare private readonly kind: 'preshared';

  constructor(bytes: Uint8Array) {
    super(bytes, 'preshared key');
  }
}

/** Parses a preshared key as `wg genpsk` writes it; undefined if it is none. */
export function parsePresharedKey(text: string): PresharedKey | undefined {
  const bytes = keyBytes(text);
  return bytes && new PresharedKey(bytes);
}

/** Parses a private key as `wg genkey` writes it; undefined if it is none. */
export function parsePrivateKey(text: string): PrivateKey | undefined {
  const bytes = keyBytes(text);
  return bytes && new PrivateKey(bytes);
}

/** 32 bytes in base64: of the last character two bits are none of theirs, and `wg` refuses any but zeros there. */
const keyText = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/** Parses a public key as `wg pubkey` writes it; undefined if it is none. Hubs have files of many: nothing is decoded. */
export function parsePublicKey(text: string): PublicKey | undefined {
  return keyText.test(text) ? (text as PublicKey) : undefined;
}

const printers = { public: 'pubkey', private: 'genkey', preshared: 'genpsk' } as const;

/** What was expected where a text is no key, and what is wrong with it. It quotes nothing of the text, which may be a secret. */
export function keyExpectation(kind: keyof typeof printers, text: string): string {
  return `expected a ${kind} key, 32 bytes in base64, as \`wg ${printers[kind]}\` prints it; ${keyFault(text)}`;
}

function keyFault(text: string): string {
  if (/^[0-9a-f]{64}$/i.test(text)) {
    return 'it is hexadecimal, but a key is written in base64';
  }
  const bytes = decodeBase64(text);
  if (bytes === undefined || bytes.length === 0) {
    return base64Fault(text);
  }
  return bytes.length === WG_KEY_LEN
    ? 'a key cannot end in its last two characters: one of them is mistyped'
    : `it has ${bytes.length} bytes, but a key has ${WG_KEY_LEN}`;
}

function keyBytes(text: string): Uint8Array | undefined {
  return keyText.test(text) ? decodeBase64(text) : undefined;
}

/** The public key of a private key, as `wg pubkey` computes it. */
export function publicKeyOf(privateKey: PrivateKey): PublicKey {
  return encodeBase64(x25519().publicKey(privateKey.reveal())) as PublicKey;
}

/**
 * Makes any 32 bytes a Curve25519 scalar (RFC 7748 section 5, decodeScalar25519), as `wg genkey` does.
 * Works on a copy.
 */
export function clamp(bytes: Uint8Array): Uint8Array {
  const scalar = Uint8Array.from(bytes);
  // "set the three least significant bits of the first byte and the most significant bit of the last to
  // zero, set the second most significant bit of the last byte to 1"
  scalar[0] = (scalar[0] ?? 0) & 0b1111_1000;
  scalar[31] = ((scalar[31] ?? 0) & 0b0111_1111) | 0b0100_0000;
  return scalar;
}
