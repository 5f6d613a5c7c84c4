import assert from 'node:assert/strict';
import { test } from 'node:test';
import { portsOfWireGuard } from '../../src/killswitch/by-programs.ts';
import {
  candidatesOf,
  refusedTunnels,
  sendBufferOfWireGuard,
  withInner,
} from '../../src/killswitch/inner-tunnels.ts';
import { protectionOf, tunnelOf } from '../../src/killswitch/rules.ts';
import { everything, tunnelScope } from '../support/tunnel-scope.ts';

const link = { alias: undefined, isUp: true, kind: 'wireguard' };
const lo = { ...link, index: 1, name: 'lo', kind: undefined };
const ours = { ...link, index: 2, name: 'wg0', alias: 'wgdriver:other:e1' };
const inner = { ...link, index: 3, name: 'vpn0' };
const tun = { ...link, index: 4, name: 'tun0', kind: 'tun' };
const down = { ...link, index: 5, name: 'vpn1', isUp: false };
const links = [lo, ours, inner, tun, down];

test('a link of the kernel’s WireGuard that is up and no driver’s may be a tunnel of the container’s own', () => {
  assert.deepEqual(candidatesOf(links), [inner]);
  assert.deepEqual(refusedTunnels(links), [inner, tun]);
});

test('it is one if a socket of WireGuard’s has its port here; of two with one port neither is', () => {
  const innerOf = (ports: readonly number[], ...candidates: readonly [index: number, listenPort: number][]) =>
    withInner(
      links,
      candidates.map(([index, listenPort]) => ({ index, listenPort })),
      new Set(ports),
    )
      .filter(({ isInner }) => isInner)
      .map(({ index }) => index);
  assert.deepEqual(innerOf([51820], [3, 51820]), [3]);
  assert.deepEqual(innerOf([51821], [3, 51820]), []);
  assert.deepEqual(innerOf([51820, 51821], [3, 51820], [5, 51821]), [3, 5]);
  assert.deepEqual(innerOf([51820], [3, 51820], [5, 51820]), []);
  assert.deepEqual(innerOf([], [3, Number.NaN]), []);
});

test('sockets of WireGuard as ss(8) prints them, by a buffer that no process can have', () => {
  const printed = `UNCONN 0      0      127.0.0.11:53        0.0.0.0:*
\t skmem:(r0,rb212992,t0,tb2147483646,f0,w0,o0,bl0,d0)
UNCONN 0      0      0.0.0.0:60761 0.0.0.0:*
\t skmem:(r0,rb212992,t0,tb2147483647,f0,w0,o0,bl0,d0)
UNCONN 0      0         [::]:6666     [::]:*
\t skmem:(r0,rb212992,t0,tb2147483647,f0,w0,o0,bl0,d0)
`;
  assert.equal(sendBufferOfWireGuard, 2147483647);
  assert.deepEqual(portsOfWireGuard(printed), new Set([60761, 6666]));
});

test('what a container puts into a tunnel of its own leaves, as its outer packets are judged; into any other nothing', () => {
  const tunnels = [tunnelOf(({ alias }) => alias === ours.alias, tunnelScope(everything))];
  const protect = (present: typeof links) =>
    protectionOf({ links: present, addresses: [], defaultRoutes: [], rules: [] }, tunnels);
  const marked = links.map((each) => (each === inner ? { ...each, isInner: true } : each));
  const accepted = (present: typeof links) =>
    protect(present)
      .filter.chains.at(-1)
      ?.rules.map((rule) => rule.map(({ text }) => text).join(' '))
      .filter((text) => /^oif \d+ accept$/.test(text));
  assert.deepEqual(accepted(links), ['oif 1 accept', 'oif 2 accept']);
  assert.deepEqual(accepted(marked), ['oif 1 accept', 'oif 2 accept', 'oif 3 accept']);
  const filtered = (present: typeof links) => protect(present).frameFilter.chains.map(({ device }) => device);
  assert.deepEqual(filtered(links), ['vpn0', 'tun0', 'vpn1']);
  assert.deepEqual(filtered(marked), ['tun0', 'vpn1']);
});
