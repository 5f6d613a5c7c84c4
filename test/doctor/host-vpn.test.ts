// A host whose own VPN takes everything, as `wg-quick up` leaves it, with wireguard-go in a namespace of its own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findHostVpn } from '../../src/doctor/host-vpn.ts';
import { linkReader } from '../../src/links/select.ts';
import { prefixOf } from '../../src/wireguard/address.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';
import { sh } from '../support/hub-namespaces.ts';

const { skip } = await enterFreshNamespace('wireguard-go', 'wg', 'ip');

test('the VPN that packets to a hub leave by, and the mark that leads past it', { skip }, async () => {
  const hub = prefixOf('192.0.2.9/32').address;
  sh(
    `ip link add up0 type veth peer name far0; ip link set up0 up; ip link set far0 up
     ip address add 10.97.0.1/24 dev up0; ip route add default via 10.97.0.2`,
  );
  assert.equal(await findHostVpn(hub, 0, linkReader()), undefined);
  sh(
    `wireguard-go vpn0 >/dev/null 2>&1; wg set vpn0 fwmark 0xca6c; ip link set vpn0 up
     ip route add default dev vpn0 table 51820
     ip rule add not fwmark 0xca6c table 51820; ip rule add table main suppress_prefixlength 0`,
  );
  assert.deepEqual(await findHostVpn(hub, 0, linkReader()), { link: 'vpn0', fwmark: 0xca6c });
  assert.equal(await findHostVpn(hub, 0xca6c, linkReader()), undefined);
  assert.equal(await findHostVpn(prefixOf('10.97.0.7/32').address, 0, linkReader()), undefined);
});
