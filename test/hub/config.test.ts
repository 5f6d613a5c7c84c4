import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeHubConfig, type HubConfig, HubConfigError } from '../../src/hub/config.ts';
import { formatPrefix } from '../../src/wireguard/address.ts';

const key = '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=';
const decode = (text: string): HubConfig => decodeHubConfig(text, '/etc/wgdriver/hub.yaml');

test('the least there is: defaults fill the rest', () => {
  const config = decode('networks:\n  app: { subnet: 192.168.5.0/24, seedfile: app.seed }\n');
  assert.equal(config.interface, 'wg0');
  assert.equal(config.port, 51820);
  assert.equal(config.mtu, 1420);
  assert.equal(config.privatekeyfile, '/etc/wgdriver/wg0.key');
  assert.equal(config.forwarding, true);
  assert.deepEqual(config.masquerade, []);
  assert.deepEqual(config.allow, { containers: true, clients: undefined, outside: [] });
  const [network] = config.networks;
  assert.equal(network?.name, 'app');
  assert.equal(network.subnets[0]?.gateway.toString(), '192.168.5.1');
  assert.deepEqual('seedfiles' in network.keys && network.keys.seedfiles, ['/etc/wgdriver/app.seed']);
  assert.equal('seedfiles' in network.keys && network.keys.derivation, 'sha3-256');
});

test('everything at once', () => {
  const config = decode(`
interface: wg-hub
port: 4500
privatekeyfile: /root/hub.key
mtu: 1280
networks:
  app:
    subnet: [192.168.5.0/24, 192.168.6.0/24]
    gateway: 192.168.6.9
    ipv6: fd12:3456::/64
    seedfiles: [new.seed, old.seed]
    additionalfile: app.additional
    derivation: hkdf-sha256
    presharedkey: derived
    peers: [192.168.5.2-192.168.5.9, 192.168.6.16/28]
    except: 192.168.5.4
    keepalive: 25
  other:
    subnet: 10.9.0.0/16
    publickeysfile: other.keys
    presharedkeyfile: other.psk
    peers: 100
clients:
  laptop: { address: [192.168.5.200, fd12:3456::c0a8:5c8], publickey: ${key}, allowedips: 10.7.0.0/16 }
  phone: { address: 192.168.5.201 }
forwarding: true
masquerade: ipv4
uplinks: [eth0]
allow: { containers: false, clients: [192.168.5.0/24], outside: [10.1.0.0/16] }
firewall: docker-user
`);
  const [app, other] = config.networks;
  assert.deepEqual(
    app?.subnets.map(({ gateway }) => gateway.toString()),
    ['192.168.5.1', '192.168.6.9'],
  );
  assert.equal(app.ipv6 && formatPrefix(app.ipv6), 'fd12:3456::/64');
  assert.deepEqual(app.keys, {
    seedfiles: ['/etc/wgdriver/new.seed', '/etc/wgdriver/old.seed'],
    additional: { file: '/etc/wgdriver/app.additional' },
    derivation: 'hkdf-sha256',
  });
  assert.equal(app.presharedKey, 'derived');
  // Docker assigns the first and the last address of an --ip-range too.
  assert.deepEqual(
    Array.isArray(app.peers) && app.peers.map(({ first, last }) => [first.toString(), last.toString()]),
    [
      ['192.168.5.2', '192.168.5.9'],
      ['192.168.6.16', '192.168.6.31'],
    ],
  );
  assert.equal(app.except.length, 1);
  assert.deepEqual(other?.keys, { publickeysfile: '/etc/wgdriver/other.keys' });
  assert.deepEqual(other.presharedKey, { file: '/etc/wgdriver/other.psk' });
  assert.equal(other.peers, 100);
  assert.deepEqual(config.masquerade, ['ipv4']);
  assert.equal(config.clients[0]?.addresses.length, 2);
  assert.equal(config.clients[0]?.publickey, key);
  assert.equal(config.clients[1]?.publickey, undefined);
  assert.equal(config.firewall, 'docker-user');
});

test('what masquerade means', () => {
  for (const [text, families] of [
    ['true', ['ipv4', 'ipv6']],
    ['false', []],
    ['ipv6', ['ipv6']],
  ] as const) {
    assert.deepEqual(decode(`masquerade: ${text}`).masquerade, families);
  }
});

const network = 'subnet: 192.168.5.0/24, seedfile: app.seed';

for (const [name, text, expected] of [
  ['not YAML', 'interface: [wg0\n', /hub\.yaml:2: /],
  ['a name twice', 'port: 1\nport: 2\n', /hub\.yaml:2: Map keys must be unique/],
  ['no settings at all', 'wg0\n', /hub\.yaml:1: expected settings: interface, networks …/],
  ['a file that was cut off', '# the hub\n', /hub\.yaml:1: expected settings: interface, networks …/],
  ['a list', '- wg0\n', /hub\.yaml:1: expected settings: interface, networks …/],
  ['two documents', 'port: 1\n---\nport: 2\n', /hub\.yaml:2: expected one document, but a second one/],
  [
    'aliases of aliases',
    `a: &a [${'x, '.repeat(99)}]\nb: &b [${'*a, '.repeat(99)}]\nc: [${'*b, '.repeat(99)}]\n`,
    /hub\.yaml:1: Excessive alias count/,
  ],
  ['the name of a folder', 'interface: ".."\n', /hub\.yaml:1: interface: expected 1 to 15 letters/],
  ['an unknown setting', 'port: 1\nprot: 2\n', /hub\.yaml:2: prot: unknown setting/],
  ['a port out of range', 'port: 65536\n', /hub\.yaml:1: port: expected an integer from 1 to 65535/],
  ['a port that is text', 'port: "51820"\n', /port: expected an integer from 1 to 65535/],
  [
    'a setting of a network',
    `networks:\n  app:\n    subnet: 192.168.5.0/24\n    seedfile: a\n    derivaton: x\n`,
    /hub\.yaml:5: networks\.app\.derivaton: unknown setting/,
  ],
  [
    'an item of a list',
    'networks:\n  app:\n    seedfile: a\n    subnet:\n      - 192.168.5.0/24\n      - 192.168.6.5/24\n',
    /hub\.yaml:6: networks\.app\.subnet\.1: 192\.168\.6\.5\/24: expected 192\.168\.6\.0\/24/,
  ],
  ...['prototype', 'constructor', '__proto__'].flatMap((name) =>
    ['networks', 'clients'].map(
      (setting) =>
        [
          `${setting} with the name ${name}`,
          `port: 1\n${setting}:\n  app: { ${network} }\n  ${name}: { ${network} }\n`,
          new RegExp(`hub\\.yaml:4: ${setting}\\.${name}: expected another name: prototype, constructor`),
        ] as const,
    ),
  ),
  ...[
    ['a network’s ipv6', `networks:\n  app: { ${network}, ipv6: 'fd12::/64' }`],
    ['a subnet', "networks:\n  app: { subnet: 'fd12::/64', seedfile: a }"],
    ['a client’s own address', `clients:\n  a: { address: ['10.0.0.1', 'fd12::1'], publickey: ${key} }`],
    [
      'what is behind a client',
      `clients:\n  a: { address: 10.0.0.1, allowedips: 'fd12::/64', publickey: ${key} }`,
    ],
  ].map(
    ([what, rest]) =>
      [
        `an MTU that IPv6 cannot have: ${what}`,
        `port: 1\nmtu: 1279\n${rest}\n`,
        /hub\.yaml:2: mtu: expected at least 1280 with IPv6 addresses \(RFC 8200\)$/,
      ] as const,
  ),
  [
    'a network without its subnet',
    'networks:\n  app: { seedfile: a }\n',
    /:2: networks\.app\.subnet: is missing/,
  ],
  [
    'a network without keys',
    'networks:\n  app: { subnet: 192.168.5.0/24 }\n',
    /:2: networks\.app: expected one of seedfile, seedfiles and publickeysfile/,
  ],
  [
    'a seed in two places',
    `networks:\n  app: { ${network}, publickeysfile: b }\n`,
    /expected one of seedfile, seedfiles and publickeysfile/,
  ],
  [
    'a gateway elsewhere',
    `networks:\n  app: { ${network}, gateway: 10.0.0.1 }\n`,
    /networks\.app: gateway 10\.0\.0\.1 is not in the network’s subnet/,
  ],
  [
    'a gateway that is no host’s',
    `networks:\n  app:\n    { ${network},\n      gateway: 192.168.5.255 }\n`,
    /:4: networks\.app\.gateway: 192\.168\.5\.255 is no host’s address/,
  ],
  [
    'two gateways of one subnet',
    `networks:\n  app: { ${network}, gateway: [192.168.5.1, 192.168.5.2] }\n`,
    /:2: networks\.app: subnet 192\.168\.5\.0\/24 has more than one gateway/,
  ],
  [
    'an exception that is a slip',
    `networks:\n  app:\n    { ${network},\n      except: 192.168.6.7 }\n`,
    /:4: networks\.app\.except: 192\.168\.6\.7 is not in the network’s subnet/,
  ],
  [
    'peers that reach beyond',
    `networks:\n  app: { ${network}, peers: [192.168.5.7-192.168.6.7] }\n`,
    /:2: networks\.app\.peers: 192\.168\.5\.7 is not in the network’s subnet, or not all of the range/,
  ],
  [
    'more peers than the largest subnet has room for',
    'networks:\n  app: { subnet: [10.0.0.0/29, 10.0.1.0/30], seedfile: a, peers: 6 }\n',
    /:2: networks\.app\.peers: expected at most 5, the addresses that the subnet has for peers, got 6/,
  ],
  [
    'subnets that overlap',
    `networks:\n  app: { ${network} }\n  two: { subnet: 192.168.0.0/16, seedfile: b }\n`,
    /:3: networks\.two: 192\.168\.0\.0\/16 overlaps 192\.168\.5\.0\/24 of network app/,
  ],
  [
    'an IPv6 prefix too long',
    `networks:\n  app: { ${network}, ipv6: fd12::/112 }\n`,
    /networks\.app\.ipv6: expected an IPv6 prefix of at most \/96/,
  ],
  [
    'a client at the hub’s address',
    `networks:\n  app: { ${network} }\nclients:\n  pc: { address: 192.168.5.1 }\n`,
    /:4: clients\.pc\.address: 192\.168\.5\.1 belongs to the hub itself in network app/,
  ],
  [
    'two clients of one address',
    `networks:\n  app: { ${network} }\nclients:\n  pc: { address: 192.168.5.7 }\n  tv: { address: 192.168.5.7 }\n`,
    /:5: clients\.tv\.address: 192\.168\.5\.7 belongs to client pc/,
  ],
  [
    'two clients of one key',
    `clients:\n  pc: { address: 10.0.0.7, publickey: ${key} }\n  tv: { address: 10.0.0.8, publickey: ${key} }\n`,
    /:3: clients\.tv\.publickey: is also client pc’s: each needs its own/,
  ],
  [
    'a prefix behind two clients',
    `networks:\n  app: { ${network} }\nclients:\n  pc: { address: 192.168.5.7, allowedips: 10.7.0.0/16 }\n` +
      '  tv: { address: 192.168.5.8, allowedips: [10.8.0.0/16, 10.7.0.0/16] }\n',
    /:5: clients\.tv\.allowedips: 10\.7\.0\.0\/16 belongs to client pc/,
  ],
  [
    'the whole Internet behind a client',
    `networks:\n  app: { ${network} }\nclients:\n  pc:\n    address: 192.168.5.7\n    allowedips: [10.7.0.0/16, 0.0.0.0/0]\n`,
    /:6: clients\.pc\.allowedips\.1: expected prefixes behind this client, such as 10\.0\.0\.0\/8; the whole/,
  ],
  [
    'half of it',
    `networks:\n  app: { ${network} }\nclients:\n  pc: { address: 192.168.5.7, allowedips: 128.0.0.0/1 }\n`,
    /:4: clients\.pc\.allowedips: expected prefixes behind this client/,
  ],
  [
    'a container’s address behind a client',
    `networks:\n  app: { ${network} }\nclients:\n  pc: { address: 192.168.5.7, allowedips: 192.168.5.9/32 }\n`,
    /:4: clients\.pc\.allowedips: 192\.168\.5\.9 is an address of network app: write it under address/,
  ],
  [
    'a client at the IPv6 address of a container',
    `networks:\n  app: { ${network}, ipv6: 'fd12::/64' }\nclients:\n  pc: { address: 'fd12::c0a8:509' }\n`,
    /:4: clients\.pc\.address: fd12::c0a8:509 goes with an IPv4 address of network app: write that one/,
  ],
  [
    'a subnet whose addresses no host has',
    'networks:\n  app:\n    subnet: [10.7.0.0/24, 127.0.0.0/24]\n    seedfile: app.seed\n',
    /:3: networks\.app\.subnet\.1: expected a subnet of addresses that hosts can have/,
  ],
  [
    'a client at an address that no host has',
    `clients:\n  pc: { address: 127.0.0.1, publickey: ${key} }\n`,
    /:2: clients\.pc\.address: expected the address of a host/,
  ],
  [
    'a client at the broadcast address of a network',
    `networks:\n  app: { ${network} }\nclients:\n  pc: { address: 192.168.5.255 }\n`,
    /:4: clients\.pc\.address: 192\.168\.5\.255 is no host’s address of 192\.168\.5\.0\/24/,
  ],
  ['a list of networks', `networks:\n  - { ${network} }\n`, /:1: networks: expected networks by name/],
  [
    'one file where a list is expected',
    'networks:\n  app: { subnet: 192.168.5.0/24, seedfiles: app.seed }\n',
    /:2: networks\.app\.seedfiles: expected a list of files/,
  ],
  [
    'a client whose key nobody knows',
    'clients:\n  pc: { address: 192.168.5.7 }\n',
    /:2: clients\.pc: needs a publickey: 192\.168\.5\.7 is in no network/,
  ],
] as const) {
  test(`refused with its line: ${name}`, () => {
    assert.throws(
      () => decode(text),
      (error: Error) => {
        assert(error instanceof HubConfigError);
        assert.match(error.message, expected);
        return true;
      },
    );
  });
}

test('a client’s key as the UAPI has it', () => {
  const inHexadecimal = Buffer.from(key, 'base64').toString('hex');
  assert.throws(
    () => decode(`clients:\n  pc: { address: 10.0.0.9, publickey: ${inHexadecimal} }\n`),
    /:2: clients\.pc\.publickey: expected a public key, .*; it is hexadecimal, but a key is written in base64$/,
  );
});

test('every mistake is told of, and no value', () => {
  const secret = 'c2VjcmV0IHNlY3JldCBzZWNyZXQ=';
  assert.throws(
    () => decode(`prot: 1\nport: ${secret}\nclients:\n  pc: { address: 10.0.0.9, publickey: ${secret} }\n`),
    ({ message }: Error) => {
      assert.match(message, /hub\.yaml:1: prot: unknown setting/);
      assert.match(message, /hub\.yaml:2: port: expected/);
      assert.match(message, /hub\.yaml:4: clients\.pc\.publickey: expected a public key/);
      assert(!message.includes(secret));
      return true;
    },
  );
});

test('a secret that was typed into the name of a setting, or where YAML expects something else, is told by its length', () => {
  const secret = 'c2VjcmV0IHNlY3JldCBzZWNyZXQ=';
  for (const [text, expected] of [
    [`networks:\n  apps:\n    seed${secret}: x\n`, /:3: networks\.apps: unknown setting of 32 characters/],
    [`seedfile:${secret}: 1\n`, /:1: unknown setting of 37 characters/],
    [`port: *${secret}\n`, /:1: Unresolved alias .*: of 28 characters/],
    [`port: | ${secret}\n`, /:1: Not a YAML token: of 28 characters/],
    [`privatekey:${secret}\nport: 1\n`, /:1: Implicit keys need to be on a single line/],
  ] as const) {
    assert.throws(
      () => decode(text),
      ({ message }: Error) => {
        assert.match(message, expected);
        assert(!message.includes(secret.slice(0, 8)), message);
        return true;
      },
    );
  }
});
