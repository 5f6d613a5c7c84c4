import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinRoutes } from '../../src/driver/wire.ts';
import { containerAddresses, refuseUnfit, unheeded } from '../../src/networks/conf-file.ts';
import type { Network } from '../../src/networks/network.ts';
import { decodeEndpointOptions } from '../../src/networks/options.ts';
import { routesOf } from '../../src/networks/routing.ts';
import { scopeOf } from '../../src/networks/scope.ts';
import { resolved, sharedTunnelOf, tunnelOf } from '../../src/networks/tunnel.ts';
import { formatPrefix, prefixOf } from '../../src/wireguard/address.ts';
import { readWgQuick } from '../../src/wireguard/config/wg-quick-reader.ts';
import { publicKeyOf } from '../../src/wireguard/key.ts';
import { articleOptions, network, peerKeyText } from '../support/networks.ts';

const privateKey = 'OD0JlvJhFEG9g2hSLJ3qYKccX2nZRefM8ha8p7T1U1I=';
const psk = 'xy/E4uqJb45RI4OKtF9q1/v+fhv7ePpq0hFPiPtlrg4=';
const peer = (more = '') =>
  `[Peer]\nPublicKey = ${peerKeyText}\nAllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = vpn.example.org:51820\n${more}`;
const own = (more = '') =>
  `[Interface]\nPrivateKey = ${privateKey}\nAddress = 10.2.0.2/32, fd00::2/128\n${more}`;

const conffile = { conffile: 'app.conf' };
const onePeer = (options = {}) =>
  network({ subnets: [['0.0.0.0/0', '']], options: { ...conffile, ...options } });
const { seed, additional } = articleOptions;
const derived = (options = {}) => network({ options: { ...conffile, seed, additional, ...options } });

const tunnel = (made: Network, text: string, addresses: string[], options = {}) => {
  const configuration = readWgQuick(text);
  refuseUnfit(made, configuration);
  return tunnelOf(made, addresses.map(prefixOf), { configuration, additional: new Uint8Array() }, options);
};

test('a network without pools is its file’s one peer: key, peers, MTU, mark and port are the file’s', () => {
  const text = own('MTU = 1380\nFwMark = 0x10\nListenPort = 7\n') + peer(`PresharedKey = ${psk}\n`);
  const made = tunnel(onePeer(), text, ['10.2.0.2/32', 'fd00::2/128']);
  assert.equal(made.privateKey.toBase64(), privateKey);
  assert.equal(made.mtu, 1380);
  const [first, ...rest] = made.peers;
  assert.deepEqual(rest, []);
  assert.equal(first?.presharedKey?.toBase64(), psk);
  assert.deepEqual(first?.endpoint, { host: 'vpn.example.org', port: 51820 });
  assert.equal(first?.persistentKeepaliveInterval, undefined);
  const { fwmark, listenPort, peers } = resolved(made, new Map());
  assert.deepEqual([fwmark, listenPort], [16, 7]);
  assert.deepEqual(Object.keys(peers[0] ?? {}).sort(), ['allowedIps', 'presharedKey', 'publicKey']);
});

test('its gateways are made up, and have routes of their own', () => {
  const made = tunnel(onePeer(), own() + peer(), ['10.2.0.2/32', 'fd00::2/128']);
  assert.deepEqual(joinRoutes(routesOf(made, onePeer().options)), {
    Gateway: '169.254.1.1',
    GatewayIPv6: 'fe80::1',
    StaticRoutes: ['169.254.1.1/32', 'fe80::1/128'].map((Destination) => ({
      Destination,
      RouteType: 1,
      NextHop: '',
    })),
  });
});

test('what a file sends into the tunnel closes both families, as `allowedips` would', () => {
  const of = (allowedIps: string) => {
    const configuration = readWgQuick(own() + peer().replace('0.0.0.0/0, ::/0', allowedIps));
    const { prefixes, closed } = scopeOf(onePeer(), { configuration });
    return [prefixes.map(formatPrefix), closed];
  };
  assert.deepEqual(of('0.0.0.0/0'), [['0.0.0.0/0'], ['ipv4', 'ipv6']]);
  assert.deepEqual(of('10.0.0.0/8'), [['10.0.0.0/8'], []]);
});

test('options of the network win over the file, and those of an endpoint over both', () => {
  const text = own('MTU = 1380\n') + peer('PersistentKeepalive = 15\n');
  const of = (options: object, endpoint = {}) => {
    const made = tunnel(onePeer(options), text, ['10.2.0.2/32'], endpoint);
    return [made.mtu, made.peers[0]?.persistentKeepaliveInterval];
  };
  assert.deepEqual(of({}), [1380, 15]);
  assert.deepEqual(of({ mtu: '1300', keepalive: '0' }), [1300, 0]);
  assert.deepEqual(of({ mtu: '1300' }, { mtu: 1290, keepalive: 7 }), [1290, 7]);
});

test('without a private key it gives the peers, and the seed the key of each address', () => {
  const configuration = readWgQuick(peer());
  const network = derived();
  refuseUnfit(network, configuration);
  const key = (address: string) =>
    tunnelOf(network, [prefixOf(address)], {
      configuration,
      seed: network.options.seed as never,
      additional: network.options.additional as Uint8Array,
    }).privateKey.toBase64();
  assert.equal(key('192.168.5.2/24'), 'IJftaHjgELSRD3PXllSPn3EpiVmrEjQupVynwcfu8FE=');
  assert.notEqual(key('192.168.5.3/24'), key('192.168.5.2/24'));
});

test('what is not done with a file has words', () => {
  const text = own('Address = 10.3.0.2/24\nPostUp = x\nSaveConfig = true\nListenPort = 7\n');
  assert.deepEqual(unheeded(onePeer(), readWgQuick(text + peer())), [
    'the driver ignores PostUp, SaveConfig of the configuration file',
    'no container gets 10.3.0.2/24 of the configuration file: the engine takes one address per family',
  ]);
  assert.deepEqual(containerAddresses(readWgQuick(text)).map(formatPrefix), ['10.2.0.2/32', 'fd00::2/128']);
  const [addresses, port] = unheeded(
    derived(),
    readWgQuick(`[Interface]\nAddress = 10.3.0.2/24\nListenPort = 7\n${peer()}`),
  );
  assert.match(addresses ?? '', /no container gets 10\.3\.0\.2\/24 .*: the engine assigns addresses/);
  assert.match(port ?? '', /ignores ListenPort of the configuration file/);
  assert.deepEqual(unheeded(onePeer(), readWgQuick(own() + peer())), []);
  assert.match(
    String(unheeded(onePeer(), readWgQuick(own() + peer().replace(/Endpoint.*\n/, '')))),
    /no peer of the configuration file has an Endpoint, so nothing passes until the other side begins/,
  );
  assert.match(
    String(unheeded(onePeer(), readWgQuick(own('DNS = 10.2.0.1, corp.example, lan\n') + peer()))),
    /search domains of the configuration file \(corp\.example, lan\): .* --dns-search/,
  );
});

test('the gateway of a shared tunnel answers no names if the file has no IPv4 DNS server: it has words too', () => {
  const words = (dns: string) => String(unheeded(shared(), readWgQuick(own(dns) + peer())));
  for (const dns of ['', 'DNS = fd00::1\n', 'DNS = corp.example\n']) {
    assert.match(words(dns), /no IPv4 DNS server, so the network’s gateway does not resolve names: .* --dns/);
  }
  assert.equal(words('DNS = fd00::1, 10.2.0.1\n'), '');
});

test('options that a file says instead, or knows nothing of', () => {
  for (const [options, message] of [
    [{ peer: '192.0.2.1:1' }, /option io\.bestov\.wg\.peer cannot be combined with io\.bestov\.wg\.conffile/],
    [{ peerkey: peerKeyText }, /peerkey cannot be combined with/],
    [{ allowedips: '10.0.0.0/8' }, /allowedips cannot be combined with/],
    [{ presharedkey: 'derived' }, /presharedkey cannot be combined with/],
    [{ presharedkeyfile: 'app.psk' }, /presharedkeyfile cannot be combined with/],
    [{ ipv6: 'fd12::/64' }, /ipv6 cannot be combined with io\.bestov\.wg\.conffile/],
    [{ seedfile: 'app.seed' }, /seed and .*seedfile were both given/],
  ] as const) {
    assert.throws(() => derived(options), message);
  }
  assert.throws(
    () => network({ internal: true, options: conffile }),
    /conffile cannot be combined with --internal/,
  );
  assert.throws(() => network({ subnets: [['0.0.0.0/0', '']] }), /--ipam-driver null/);
});

const shared = (options = {}, setting = {}) => network({ options: { ...conffile, ...options }, ...setting });

test('without a seed the containers of a subnet share the file’s key, addresses and port', () => {
  const made = shared();
  assert(made.isShared && !made.isOnePeer && !derived().isShared && !onePeer().isShared);
  const configuration = readWgQuick(own('ListenPort = 7\nDNS = 10.2.0.1\n') + peer());
  refuseUnfit(made, configuration);
  assert.deepEqual(unheeded(made, configuration), []);
  const link = sharedTunnelOf(made, { configuration, additional: new Uint8Array() });
  assert.deepEqual(link.addresses.map(formatPrefix), ['10.2.0.2/32', 'fd00::2/128']);
  assert.equal(link.privateKey.toBase64(), privateKey);
  assert.equal(link.listenPort, 7);
});

test('its IPv6 prefix is a unique local one of its own, or option ipv6', () => {
  const pools = (made: Network) => made.subnets.map(({ pool }) => formatPrefix(pool));
  const [ipv4, ipv6 = ''] = pools(shared());
  assert.equal(ipv4, '192.168.5.0/24');
  assert.match(ipv6, /^fd[0-9a-f:]+:c0a8:500\/120$/);
  assert.deepEqual(pools(shared()), pools(shared()));
  assert.notDeepEqual(pools(shared({}, { id: 'another' })), pools(shared()));
  assert.deepEqual(pools(shared({ ipv6: 'fd12::/64' }))[1], 'fd12::c0a8:500/120');
});

test('containers of a shared tunnel go by its gateway, and IPv6 by a route to that', () => {
  const made = shared();
  const [, ipv6 = assert.fail()] = made.subnets;
  const gateway6 = ipv6.gateway.address.toString();
  const inContainer = tunnel(made, own() + peer(), ['192.168.5.2/24', `${gateway6.replace(/1$/, '2')}/128`]);
  assert.deepEqual(joinRoutes(routesOf(inContainer, made.options, true)), {
    Gateway: '192.168.5.1',
    StaticRoutes: [{ Destination: `${gateway6}/128`, RouteType: 1, NextHop: '' }],
  });
  assert.equal(joinRoutes(routesOf(inContainer, { killswitch: 'off' }, true)).GatewayIPv6, gateway6);
  // Of a part of everything the kill switch has the routes; without it they lead to the gateway.
  const part = own() + peer().replace('0.0.0.0/0, ::/0', '10.0.0.0/8');
  const inPart = tunnel(made, part, ['192.168.5.2/24']);
  assert.deepEqual(joinRoutes(routesOf(inPart, made.options, true)), { StaticRoutes: [] });
  assert.deepEqual(joinRoutes(routesOf(inPart, { killswitch: 'off' }, true)), {
    StaticRoutes: [{ Destination: '10.0.0.0/8', RouteType: 0, NextHop: '192.168.5.1' }],
  });
  const scope = scopeOf(made, { configuration: readWgQuick(part) });
  assert.deepEqual(scope.prefixes.map(formatPrefix), [
    '10.0.0.0/8',
    ...made.subnets.map(({ pool }) => formatPrefix(pool)),
  ]);
  assert.deepEqual(scope.via?.map(String), ['192.168.5.1', gateway6]);
});

const refused = (made: Network, text: string) => () => refuseUnfit(made, readWgQuick(text));

test('files that no network can be of, whatever its kind', () => {
  const ownKey = publicKeyOf(readWgQuick(own()).privateKey ?? assert.fail());
  for (const made of [onePeer(), shared()]) {
    for (const [text, message] of [
      [own(), /expected a \[Peer\], got none/],
      [
        own() + peer().replace(/AllowedIPs.*\n/, ''),
        /no \[Peer\] has AllowedIPs, so nothing would go through/,
      ],
      [
        own() + peer().replace(peerKeyText, ownKey),
        /the PublicKey of the peer in line 4 belongs to the file’s own PrivateKey: expected the key of the other/,
      ],
    ] as const) {
      assert.throws(refused(made, text), message);
    }
    // Of two, one may have none: its prefixes come later.
    const another = `[Peer]\nPublicKey = ${ownKey.replace(/^./, 'A')}\n`;
    assert.doesNotThrow(refused(made, own() + peer() + another));
  }
});

test('files that containers cannot share', () => {
  const ipv4 = own().replace(', fd00::2/128', '');
  for (const [made, text, message] of [
    [shared(), peer(), /it has no PrivateKey, so keys are derived: give io\.bestov\.wg\.seedfile/],
    [shared(), `[Interface]\nPrivateKey = ${privateKey}\n${peer()}`, /expected an Address/],
    [
      shared({ ipv6: 'fd12::/64' }),
      ipv4 + peer(),
      /no IPv6 Address, so the tunnel cannot carry IPv6: leave out io\.bestov\.wg\.ipv6/,
    ],
    [
      shared(),
      own('Address = 192.168.5.9/32\n') + peer(),
      /its 192\.168\.5\.9 is also in the network’s subnet/,
    ],
    [shared(), own('DNS = 192.168.5.9\n') + peer(), /create the network with another --subnet/],
    // The LAN behind an OPNsense, as its own files have it, and one of its machines.
    ...['10.10.10.0/24, 192.168.5.0/24', '192.168.5.7/32'].map(
      (allowedIps) =>
        [
          shared(),
          ipv4 + peer().replace('0.0.0.0/0, ::/0', allowedIps),
          /AllowedIPs of the peer in line 4: 192\.168\.5\.\d\/\d+ is in the network’s subnet 192\.168\.5\.0\/24, .* another --subnet/,
        ] as const,
    ),
    [shared({ mtu: '1000' }), own() + peer(), /option io\.bestov\.wg\.mtu: expected at least 1280/],
    [
      derived(),
      own() + peer(),
      /leave out io\.bestov\.wg\.seed and io\.bestov\.wg\.seedfile, and containers share/,
    ],
  ] as const) {
    assert.throws(refused(made, text), message);
  }
  assert.doesNotThrow(refused(shared({ mtu: '1000' }), ipv4 + peer()));
  assert.doesNotThrow(
    refused(shared(), ipv4 + peer().replace('0.0.0.0/0, ::/0', '192.168.0.0/16, 10.0.0.0/8')),
  );
  // Where each container is a peer of its own, the hub has the subnet.
  assert.doesNotThrow(refused(derived(), peer().replace('0.0.0.0/0, ::/0', '192.168.5.0/24')));
  assert.throws(() => derived({ icc: 'off' }), /icc is for containers that share a tunnel/);
  assert.throws(() => shared({ icc: 'no' }), /io\.bestov\.wg\.icc: expected one of on, off, true, false/);
});

test('options of one endpoint', () => {
  const prefixed = (options: Record<string, string>) =>
    Object.fromEntries(Object.entries(options).map(([name, value]) => [`io.bestov.wg.${name}`, value]));
  assert.deepEqual(decodeEndpointOptions({ 'com.docker.network.portmap': [] }), {});
  assert.deepEqual(
    decodeEndpointOptions(
      prefixed({ privatekeyfile: 'a.key', presharedkeyfile: '/b.psk', keepalive: '7', mtu: '1300' }),
    ),
    { privatekeyfile: { file: 'a.key' }, presharedkeyfile: { file: '/b.psk' }, keepalive: 7, mtu: 1300 },
  );
  for (const [options, message] of [
    [{ mtu: 'MARKED' }, /option io\.bestov\.wg\.mtu: expected auto or an integer/],
    [{ peer: 'MARKED' }, /option io\.bestov\.wg\.peer applies to a whole network/],
    [{ color: 'MARKED' }, /unknown option io\.bestov\.wg\.color; expected one of privatekeyfile/],
  ] as const) {
    assert.throws(
      () => decodeEndpointOptions(prefixed(options)),
      (error: Error) => message.test(error.message) && !error.message.includes('MARKED'),
    );
  }
});
