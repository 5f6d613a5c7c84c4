import { type Address, parseAddress } from '../wireguard/address.ts';
import { keyExpectation, type PublicKey, parsePresharedKey, parsePublicKey } from '../wireguard/key.ts';
import type { WantedKey } from './peers.ts';

/** A line's first three words, and what comes after them. */
const wordsOf = /^\s*(\S+)(?:\s+(\S+)(?:\s+(\S+)(?:\s+(\S))?)?)?/;

/** What a line says. */
export interface ListedKey {
  /** The address as a text, the only one of each. */
  readonly name: string;
  readonly address: Address;
  readonly key: WantedKey;
}

/**
 * Parses a file of public keys, so that a hub needs no seed: `ADDRESS PUBLICKEY [PRESHAREDKEY]` a line, as
 * `wgdriver keys --format table` prints them. Several lines of one address are its keys, the newest first.
 * @throws Error with the number of the line, without what is on it; of none at all, too: a file that was cut off would
 * take every peer away
 */
export function* parsePublicKeys(text: string, file: string): Generator<ListedKey> {
  const lines = text.split('\n');
  const publicKeys = new Set<PublicKey>();
  for (const [index, line] of lines.entries()) {
    const fault = (message: string) => new Error(`${file}:${index + 1}: ${message}`);
    const [, first = '', second = '', third, rest] = wordsOf.exec(line) ?? [];
    // The head of the table that `wgdriver keys` prints.
    if (first === '' || first.startsWith('#') || (index === 0 && first === 'ADDRESS')) {
      continue;
    }
    const address = parseAddress(first);
    if (address === undefined || second === '' || rest !== undefined) {
      throw fault('expected an address, its public key and perhaps its preshared key');
    }
    const publicKey = parsePublicKey(second);
    if (publicKey === undefined) {
      throw fault(keyExpectation('public', second));
    }
    const presharedKey = third === undefined ? undefined : parsePresharedKey(third);
    if (third !== undefined && presharedKey === undefined) {
      throw fault(keyExpectation('preshared', third));
    }
    const { size } = publicKeys;
    if (publicKeys.add(publicKey).size === size) {
      // WireGuard tells its peers apart by their keys.
      const earlier = lines.findIndex((other) => {
        const [, start = '', key] = wordsOf.exec(other) ?? [];
        return key === publicKey && !start.startsWith('#');
      });
      throw fault(`this public key is already in line ${earlier + 1}`);
    }
    const key = presharedKey === undefined ? { publicKey } : { publicKey, presharedKey };
    // The text of an IPv4 address is its only one.
    yield { name: address.kind() === 'ipv4' ? first : address.toString(), address, key };
  }
  if (publicKeys.size === 0) {
    throw new Error(`file of public keys ${file}: expected lines of ADDRESS PUBLICKEY, got none`);
  }
}
