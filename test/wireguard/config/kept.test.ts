import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePrefix } from '../../../src/wireguard/address.ts';
import { keptOf } from '../../../src/wireguard/config/kept.ts';

const addresses = ['192.168.5.1/24', 'fd12::c0a8:501/120'].map(
  (text) => parsePrefix(text) ?? assert.fail(text),
);
const kept = (...lines: string[]) =>
  keptOf(['[Interface]', ...lines].join('\n'), { addresses, hasPrivateKey: true, peerAt: () => undefined })
    .interfaceLines;

test('an MTU that the new IPv6 addresses cannot have is refused', () => {
  assert.throws(
    () => kept('MTU = 1279'),
    /^Error: MTU is 1279 in this file: expected at least 1280 with IPv6/,
  );
  assert.deepEqual(kept('MTU = 1280'), ['MTU = 1280']);
});

for (const [line, expected] of [
  ['Address = 192.168.5.1/24', []],
  ['Address = 192.168.5.1/24, fd00::1/64', ['Address = fd00::1/64']],
  ['address=fd00::1/64 192.168.5.1/24,10.0.0.1/8 # by hand', ['address = fd00::1/64, 10.0.0.1/8 # by hand']],
  ['Address = fd12:0::C0A8:501/120, 192.168.5.1/24', []],
  // The kernel takes an IPv4 address with two prefix lengths, and an IPv6 address with one.
  ['Address = 192.168.5.1/16, fd12::c0a8:501/64', ['Address = 192.168.5.1/16']],
  ['Address = fd00::1/64,10.0.0.1/8', ['Address = fd00::1/64,10.0.0.1/8']],
  ['DNS = 192.168.5.1, fd12::c0a8:501', ['DNS = 192.168.5.1, fd12::c0a8:501']],
  ['Listen Port = 51820', []],
] as const) {
  test(`of \`${line}\` ${expected.length === 0 ? 'nothing' : `\`${expected.join()}\``} is kept`, () => {
    assert.deepEqual(kept(line), expected);
  });
}
