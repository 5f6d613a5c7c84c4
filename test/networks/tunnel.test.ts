import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinRoutes } from '../../src/driver/wire.ts';
import { parseSeed } from '../../src/keys/seed.ts';
import { routesOf } from '../../src/networks/routing.ts';
import { allowedIpsOf, peersOf, resolved, type Tunnel, tunnelOf } from '../../src/networks/tunnel.ts';
import { formatPrefix, prefixOf } from '../../src/wireguard/address.ts';
import { decodeBase64 } from '../../src/wireguard/base64.ts';
import { formatEndpoint } from '../../src/wireguard/device.ts';
import { type PublicKey, parsePresharedKey, parsePrivateKey } from '../../src/wireguard/key.ts';
import { articleOptions, network, peerKeyText, seedText } from '../support/networks.ts';

const articlePrivateKey = 'IJftaHjgELSRD3PXllSPn3EpiVmrEjQupVynwcfu8FE=';
const seed = parseSeed(seedText) ?? assert.fail();
const secrets = { seed, additional: decodeBase64(articleOptions.additional) ?? assert.fail() };
const article = tunnelOf(network(), [prefixOf('192.168.5.2/24')], secrets);

test('the article’s tunnel', () => {
  const { privateKey, addresses, gateways, peers, mtu } = article;
  assert.equal(privateKey.toBase64(), articlePrivateKey);
  assert.deepEqual(addresses.map(formatPrefix), ['192.168.5.2/24']);
  assert.deepEqual(gateways.map(String), ['192.168.5.1']);
  assert.equal(mtu, 'auto');
  assert.deepEqual(
    peers.map((peer) => ({ ...peer, allowedIps: peer.allowedIps.map(formatPrefix) })),
    [
      {
        publicKey: peerKeyText,
        endpoint: { host: '192.0.2.1', port: 51820 },
        persistentKeepaliveInterval: 25,
        allowedIps: ['0.0.0.0/0', '::/0'],
      },
    ],
  );
});

test('a private key that is given is taken', () => {
  const privateKey = parsePrivateKey('OD0JlvJhFEG9g2hSLJ3qYKccX2nZRefM8ha8p7T1U1I=') ?? assert.fail();
  const tunnel = tunnelOf(network(), [prefixOf('192.168.5.2/24')], { ...secrets, privateKey });
  assert.equal(tunnel.privateKey, privateKey);
});

test('a preshared key goes to every peer: the network’s, or the address’s own', () => {
  const presharedKey = parsePresharedKey('xy/E4uqJb45RI4OKtF9q1/v+fhv7ePpq0hFPiPtlrg4=') ?? assert.fail();
  const ofThe = (address: string, key: 'derived' | typeof presharedKey) =>
    tunnelOf(network(), [prefixOf(address)], { ...secrets, presharedKey: key }).peers.map((peer) =>
      peer.presharedKey?.toBase64(),
    );
  assert.deepEqual(ofThe('192.168.5.3/24', presharedKey), [presharedKey.toBase64()]);
  assert.deepEqual(ofThe('192.168.5.2/24', 'derived'), [presharedKey.toBase64()]);
  assert.notDeepEqual(ofThe('192.168.5.3/24', 'derived'), [presharedKey.toBase64()]);
  assert.deepEqual(
    article.peers.map((peer) => peer.presharedKey),
    [undefined],
  );
});

test('each address has the gateway of its subnet, and the key is that of the IPv4 address', () => {
  const dual = {
    ...network(),
    subnets: [
      { pool: prefixOf('fd00::/64'), gateway: prefixOf('fd00::1/64') },
      { pool: prefixOf('192.168.5.0/24'), gateway: prefixOf('192.168.5.1/24') },
    ],
  };
  for (const texts of [
    ['fd00::2/64', '192.168.5.2/24'],
    ['192.168.5.2/24', 'fd00::2/64'],
  ]) {
    const tunnel = tunnelOf(dual, texts.map(prefixOf), secrets);
    assert.equal(tunnel.privateKey.toBase64(), articlePrivateKey);
    assert.deepEqual(
      tunnel.gateways.map((gateway) => gateway.kind()),
      tunnel.addresses.map(({ address }) => address.kind()),
    );
    assert.deepEqual(joinRoutes(routesOf(tunnel, { killswitch: 'off' })), {
      Gateway: '192.168.5.1',
      GatewayIPv6: 'fd00::1',
      StaticRoutes: [],
    });
  }
});

test('an address of no subnet, and none at all, are errors', () => {
  assert.throws(
    () => tunnelOf(network(), [prefixOf('10.0.0.2/24')], secrets),
    /^Error: 10\.0\.0\.2 is in no subnet of network network$/,
  );
  assert.throws(() => tunnelOf(network(), [], secrets), /expected an address to derive a key from/);
});

test('two peers: the routes are to both, and one whose name does not resolve comes without an endpoint', () => {
  const peer = (name: string, ...allowedIps: string[]) => ({
    publicKey: `${name}=` as PublicKey,
    endpoint: { host: name, port: 1 },
    allowedIps: allowedIps.map(prefixOf),
  });
  const peers = [peer('a', '10.0.0.0/8'), peer('b', '192.168.5.0/24', '172.16.0.0/12')];
  const tunnel: Tunnel = { ...article, peers };
  assert.deepEqual(allowedIpsOf(tunnel).map(formatPrefix), ['10.0.0.0/8', '192.168.5.0/24', '172.16.0.0/12']);
  assert.deepEqual(
    joinRoutes(routesOf(tunnel, { killswitch: 'off' })).StaticRoutes.map(({ Destination }) => Destination),
    ['10.0.0.0/8', '172.16.0.0/12'],
  );
  const device = resolved(tunnel, new Map([['b', prefixOf('192.0.2.9/32').address]]));
  assert.deepEqual(
    device.peers.map(({ publicKey, endpoint }) => [publicKey, endpoint && formatEndpoint(endpoint)]),
    [
      ['a=', undefined],
      ['b=', '192.0.2.9:1'],
    ],
  );
});

test('a split tunnel has routes of the families that the container has an address of', () => {
  const options = { ...articleOptions, allowedips: '10.0.0.0/8,fd12::/32' };
  const peers = peersOf(network({ options }), {});
  const [v4, v6] = [prefixOf('192.168.5.2/24'), prefixOf('fd12:0:0:5::2/64')];
  const destinations = (addresses: (typeof v4)[]) =>
    joinRoutes(routesOf({ addresses, gateways: [], peers }, { killswitch: 'off' })).StaticRoutes.map(
      ({ Destination }) => Destination,
    );
  assert.deepEqual(destinations([v4]), ['10.0.0.0/8']);
  assert.deepEqual(destinations([v4, v6]), ['10.0.0.0/8', 'fd12::/32']);
});
