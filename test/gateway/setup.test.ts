import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Gateway,
  gatewayLines,
  gatewayTable,
  portGatewayLines,
  portLines,
} from '../../src/gateway/setup.ts';
import { parseAddress, prefixOf } from '../../src/wireguard/address.ts';

const address = (text: string) => parseAddress(text) ?? assert.fail(text);
const gateway: Gateway = {
  link: 'wgd1',
  addresses: ['10.64.0.7/32', 'fd64::7/128'].map(prefixOf),
  prefixes: ['0.0.0.0/0', '::/0'].map(prefixOf),
  pools: ['10.7.0.0/24', 'fd77::a07:0/120'].map(prefixOf),
  gateways: ['10.7.0.1', 'fd77::a07:1'].map(address),
  dns: ['10.64.0.1', '10.64.0.2'].map(address),
  hasIcc: true,
};

test('a family that the file has no address of has no route into the tunnel', () => {
  const lines = gatewayLines({ ...gateway, addresses: [prefixOf('10.64.0.7/32')] });
  assert.deepEqual(lines, [
    'link set dev lo up',
    'address replace 10.64.0.7/32 dev wgd1',
    'link set dev wgd1 up',
    'route replace unreachable 10.7.0.0/24',
    'route replace unreachable fd77::a07:0/120',
    'route replace 0.0.0.0/0 dev wgd1',
  ]);
  assert(gatewayLines(gateway).includes('address replace fd64::7/128 dev wgd1 nodad'));
});

test('what the gateway is asked goes to the first DNS server of the family, and from there to the next', () => {
  const redirections = (...dns: string[]) =>
    gatewayTable({ ...gateway, dns: dns.map(address) })
      .split('\n')
      .filter((line) => /dnat|goto|jump/.test(line))
      .map((line) => line.replace(/.*(ip6? daddr \S+) .* (jump .*)/, '$1 $2'));
  assert.deepEqual(redirections('10.64.0.1', '10.64.0.2', 'fd64::53'), [
    'dnat ip6 to fd64::53',
    'dnat ip to 10.64.0.2',
    'th dport @asked_ipv4_0 th dport != @waiting_ipv4_0 goto ask_ipv4_1',
    'dnat ip to 10.64.0.1',
    'ip daddr 10.7.0.1 jump ask_ipv4_0',
    'ip6 daddr fd77::a07:1 jump ask_ipv6_0',
  ]);
  assert.deepEqual(redirections(), []);
});

test('without icc nothing is forwarded but into the tunnel, and what answers that', () => {
  const accepted = (hasIcc: boolean) =>
    gatewayTable({ ...gateway, hasIcc })
      .split('\n')
      .filter((line) => /^iifname .* oifname .* accept$/.test(line));
  const toTunnel = 'iifname != "wgd1" oifname "wgd1" accept';
  assert.deepEqual(accepted(false), [toTunnel]);
  assert.deepEqual(accepted(true), [toTunnel, 'iifname != "wgd1" oifname != "wgd1" accept']);
});

test('a container’s link has the gateway’s addresses of its families at the other end', () => {
  const port = { name: 'wgd2', mtu: 1400, addresses: [address('10.7.0.2')], gateways: gateway.gateways };
  assert.deepEqual(portLines(port, 77, 'wgdriver:name:id'), [
    'link add dev wgd2 mtu 1400 type veth peer name wgd2 mtu 1400 netns 77',
    'link set dev wgd2 alias wgdriver:name:id',
  ]);
  assert.deepEqual(
    portGatewayLines(port).filter((line) => /^(?:address|route)/.test(line)),
    ['address replace 10.7.0.1/32 dev wgd2', 'route replace 10.7.0.2/32 dev wgd2'],
  );
});
