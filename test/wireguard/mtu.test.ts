import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mtuOver, type Uplink } from '../../src/wireguard/mtu.ts';

const routed = (mtu: number): Uplink => ({ mtu, isLocal: false, isOnLink: false });
const onLink = (mtu: number): Uplink => ({ mtu, isLocal: false, isOnLink: true });

for (const [what, mtu, ...uplinks] of [
  ['an Ethernet', 1420, routed(1500)],
  ['PPPoE', 1412, routed(1492)],
  ['a route of 1400', 1320, routed(1400)],
  ['jumbo frames, and a router on the way', 1420, routed(9000)],
  ['jumbo frames to a neighbour', 8920, onLink(9000)],
  ['this host itself', 1420, { mtu: 65536, isLocal: true, isOnLink: true }],
  ['less than IPv6 needs', 1280, routed(1300)],
  ['two peers, the smaller counts', 1320, onLink(9000), routed(1400)],
] as const) {
  test(`the MTU over ${what}`, () => assert.equal(mtuOver(uplinks), mtu));
}

test('without a way there is none', () => assert.equal(mtuOver([]), undefined));
