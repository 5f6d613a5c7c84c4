import buffer, { Buffer } from 'node:buffer';
import crypto from 'node:crypto';
import { x25519 as noble } from '@noble/curves/ed25519.js';

/** The public key of a private key: X25519(k, 9) of RFC 7748 section 6.1, 32 bytes to 32 bytes. */
export type X25519 = (privateKey: Uint8Array) => Uint8Array;

/** A way to the runtime's own X25519. Uses nothing but its arguments, so that its text is a program. */
type NativeWay = (nodeCrypto: typeof crypto, nodeBuffer: typeof buffer) => X25519;

/**
 * As a JSON Web Key (RFC 8037). Nothing but its private half is looked at, so the public one is zeros;
 * newer runtimes compare the two, and refuse it.
 */
const byJwk: NativeWay =
  ({ createPrivateKey }, { Buffer }) =>
  (privateKey) => {
    const d = Buffer.from(privateKey).toString('base64url');
    const key = { kty: 'OKP', crv: 'X25519', d, x: 'A'.repeat(43) };
    const { x = '' } = createPrivateKey({ key, format: 'jwk' }).export({ format: 'jwk' });
    return Buffer.from(x, 'base64url');
  };

/** As PKCS #8 (RFC 8410), which every runtime takes; with the OpenSSL 3.0 of Node 20 no faster than noble. */
const byPkcs8: NativeWay =
  ({ createPrivateKey }, { Buffer }) =>
  (privateKey) => {
    const header = Buffer.from('302e020100300506032b656e04220420', 'hex');
    const key = Buffer.concat([header, privateKey]);
    const { x = '' } = createPrivateKey({ key, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' });
    return Buffer.from(x, 'base64url');
  };

export interface Implementation {
  readonly publicKey: X25519;
  /** JavaScript that has this function as its value, for a worker; absent if it takes libraries. */
  readonly source?: string;
}

/** All there are, the fastest first. Any may be missing here, but the last, which the others must equal. */
export const implementations: Readonly<Record<'jwk' | 'pkcs8' | 'noble', Implementation>> = {
  jwk: native(byJwk),
  pkcs8: native(byPkcs8),
  noble: { publicKey: noble.getPublicKey },
};

function native(way: NativeWay): Implementation {
  const modules = ['node:crypto', 'node:buffer'].map((name) => `process.getBuiltinModule('${name}')`);
  return { publicKey: way(crypto, buffer), source: `(${way})(${modules})` };
}

let chosen: Implementation | undefined;

/** The fastest implementation that is right here. */
export function x25519(): Implementation {
  chosen ??= Object.values(implementations).find(isRight) ?? implementations.noble;
  return chosen;
}

/** RFC 7748 section 6.1: Alice's keys. */
const alice = {
  privateKey: Buffer.from('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a', 'hex'),
  publicKey: '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a',
};

function isRight({ publicKey }: Implementation): boolean {
  try {
    return Buffer.from(publicKey(alice.privateKey)).toString('hex') === alice.publicKey;
  } catch {
    return false;
  }
}
