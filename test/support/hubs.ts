import assert from 'node:assert/strict';
import { type Address, type Prefix, parseAddress, parsePrefix } from '../../src/wireguard/address.ts';
import type { HubFile } from '../../src/wireguard/config/hub.ts';
import type { Peer } from '../../src/wireguard/device.ts';
import { type PrivateKey, type PublicKey, parsePrivateKey, parsePublicKey } from '../../src/wireguard/key.ts';

export const privateKeyText = 'IJftaHjgELSRD3PXllSPn3EpiVmrEjQupVynwcfu8FE=';
export const ownPublicKeyText = '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=';
/** Bob's and Alice's, of RFC 7748. */
export const publicKeyTexts = [
  '3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=',
  'hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=',
] as const;

/** A hub of two peers, the first of an IPv4 address and the second of both families. */
export const hub: HubFile & { readonly peers: readonly Peer[] } = {
  comment: 'two peers',
  interfaceName: 'wgtest',
  addresses: [prefix('192.168.5.1/24')],
  listenPort: 51820,
  privateKey: privateKey(privateKeyText),
  privateKeyFile: '/etc/wireguard/key',
  peers: [
    { publicKey: publicKey(publicKeyTexts[0]), allowedIps: [prefix('192.168.5.2/32')] },
    {
      publicKey: publicKey(publicKeyTexts[1]),
      allowedIps: [prefix('192.168.5.3/32'), prefix('fd00::3/128')],
    },
  ],
};

/** A file that is written in pieces. */
export async function whole(pieces: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const piece of pieces) {
    text += piece;
  }
  return text;
}

export function withoutKey({ privateKey: _, privateKeyFile: __, ...rest }: HubFile): HubFile {
  return rest;
}

export function address(text: string): Address {
  const parsed = parseAddress(text);
  assert(parsed, text);
  return parsed;
}

export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  assert(parsed, text);
  return parsed;
}

export function privateKey(text: string): PrivateKey {
  const parsed = parsePrivateKey(text);
  assert(parsed);
  return parsed;
}

export function publicKey(text: string): PublicKey {
  const parsed = parsePublicKey(text);
  assert(parsed, text);
  return parsed;
}
