import assert from 'node:assert/strict';
import { parseAddress, parsePrefix } from '../../../src/wireguard/address.ts';
import type { Device } from '../../../src/wireguard/device.ts';
import { parsePresharedKey, parsePrivateKey, parsePublicKey } from '../../../src/wireguard/key.ts';

/** Of the manual page of `wg`, and their own. */
export const firstKeyText = 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=';
export const secondKeyText = 'TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=';
export const privateKeyText = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';
export const publicKeyText = 'HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=';
export const presharedKeyText = 'FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=';

/** What `wg setconf` was given for the vectors: its file, and the flags that `setconf` adds. */
export const configuration: Device & { readonly replacePeers: true } = {
  privateKey: parsePrivateKey(privateKeyText) ?? assert.fail(),
  listenPort: 51820,
  fwmark: 0x1234,
  replacePeers: true,
  peers: [
    {
      publicKey: publicKey(firstKeyText),
      presharedKey: parsePresharedKey(presharedKeyText) ?? assert.fail(),
      endpoint: { address: address('192.0.2.7'), port: 51821 },
      persistentKeepaliveInterval: 25,
      allowedIps: [prefix('10.1.0.0/16'), prefix('fd00:1::/64')],
    },
    {
      publicKey: publicKey(secondKeyText),
      endpoint: { address: address('2001:db8::7'), port: 443 },
      allowedIps: [prefix('0.0.0.0/0'), prefix('::/0')],
    },
  ],
};

export function publicKey(text: string) {
  return parsePublicKey(text) ?? assert.fail();
}

export function address(text: string) {
  return parseAddress(text) ?? assert.fail();
}

export function prefix(text: string) {
  return parsePrefix(text) ?? assert.fail();
}

/** `10.0.0.0/32`, `10.0.0.1/32` …: so many different ones. */
export function prefixes(count: number) {
  return Array.from({ length: count }, (_, n) => prefix(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}/32`));
}
