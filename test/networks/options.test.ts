import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { derivationNames } from '../../src/keys/derivation.ts';
import {
  decodeEndpointOptions,
  decodeNetworkOptions,
  givenOptions,
  optionPrefix,
  ourOptions,
  passedOver,
  passedOverOfEndpoint,
  refuseMistakes,
  secretFileOf,
} from '../../src/networks/options.ts';
import { formatPrefix, masked } from '../../src/wireguard/address.ts';
import { Secret } from '../../src/wireguard/secret.ts';
import { anyIpv4, anyIpv6, anyPrefix } from '../support/addresses.ts';

const seed = 'dGVzdHNlZWQK';
const peerkey = '+Pm8wi17cOoQ/QvaBq/WLcslAcgX1cCkrJA5dG57nU8=';
const article = { peer: '192.0.2.1:51820', peerkey, seed, additional: 'dGVzdGFkZGl0aW9uYWwK' };
const minimal = { peer: '192.0.2.1:51820', peerkey, seed };

test('the article’s four options', () => {
  const options = decodeNetworkOptions(prefixed(article));
  assert.deepEqual(options.peer, { host: '192.0.2.1', port: 51820 });
  assert.equal(options.peerkey, peerkey);
  assert(options.seed instanceof Secret);
  assert.equal(Buffer.from(options.seed.reveal()).toString(), 'testseed\n');
  assert(options.additional instanceof Uint8Array);
  assert.equal(Buffer.from(options.additional).toString(), 'testadditional\n');
});

test('the defaults of the others', () => {
  const { peer, peerkey: _, seed: __, additional, ...rest } = decodeNetworkOptions(prefixed(minimal));
  assert(additional instanceof Uint8Array);
  assert.equal(Buffer.from(additional).toString(), 'bestov.io');
  assert.deepEqual(rest, { derivation: 'sha3-256', keepalive: 25, killswitch: 'on' });
});

/** A value that is marked, so that it can be searched for in an error. */
const marked = 'MARKED0SECRET';

const good: { [name: string]: { [value: string]: unknown } } = {
  peer: {
    '192.0.2.1:51820': { host: '192.0.2.1', port: 51820 },
    'vpn.example.org:1': { host: 'vpn.example.org', port: 1 },
    'vpn.example.org.:65535': { host: 'vpn.example.org.', port: 65535 },
    'hub:51820': { host: 'hub', port: 51820 },
    'my_hub-1.internal:51820': { host: 'my_hub-1.internal', port: 51820 },
    '[2001:db8::1]:51820': { host: '2001:db8::1', port: 51820 },
    '[::ffff:192.0.2.1]:51820': { host: '::ffff:192.0.2.1', port: 51820 },
  },
  peerkey: { [peerkey]: peerkey },
  killswitch: { on: 'on', strict: 'strict', off: 'off' },
  derivation: { 'sha3-256': 'sha3-256', 'keccak-256': 'keccak-256', 'hkdf-sha256': 'hkdf-sha256' },
  keepalive: { 0: 0, 1: 1, 25: 25, 65535: 65535 },
  mtu: { auto: 'auto', 576: 576, 1280: 1280, 1420: 1420, 65535: 65535 },
  fwmark: { off: 0, 51820: 51820, '0xCA6C': 0xca6c, '0xffffffff': 0xffff_ffff },
  allowedips: {
    '10.0.0.0/8': ['10.0.0.0/8'],
    '10.1.2.3/8': ['10.0.0.0/8'],
    '10.0.0.0/8,192.168.5.0/24': ['10.0.0.0/8', '192.168.5.0/24'],
    ' 10.0.0.0/8 , fd00::1/8 ': ['10.0.0.0/8', 'fd00::/8'],
    '0.0.0.0/0, ::/0': ['0.0.0.0/0', '::/0'],
  },
  ipv6: { 'fd12:3456::/64': 'fd12:3456::/64', '2001:db8::/96': '2001:db8::/96' },
};

for (const [name, values] of Object.entries(good)) {
  for (const [value, expected] of Object.entries(values)) {
    test(`${name}: ${value}`, () => {
      const options = decodeNetworkOptions(prefixed({ ...minimal, [name]: value }));
      const { allowedips, ipv6 } = options;
      const decoded = {
        ...options,
        allowedips: allowedips?.map(formatPrefix),
        ipv6: ipv6 && formatPrefix(ipv6),
      };
      assert.deepEqual(decoded[name as keyof typeof decoded], expected);
    });
  }
}

const bad: { [name: string]: unknown[] } = {
  peer: [
    marked,
    `${marked}:`,
    `${marked}:0`,
    `${marked}:65536`,
    `${marked}:5182O`,
    `${marked}:51820x`,
    `${marked}:-1`,
    `:51820`,
    `https://${marked}:51820`,
    `-${marked}:51820`,
    `${marked}..org:51820`,
    `${'a'.repeat(64)}.${marked}:51820`,
    `${`${marked}.`.repeat(20)}org:51820`,
    '192.0.2.256:51820',
    '192.0.2:51820',
    '2001:db8::1:51820',
    '[2001:db8::1]',
    '[192.0.2.1]:51820',
    '[fe80::1%eth0]:51820',
    `[${marked}]:51820`,
    '192.0.2.1:51820 ',
    '192.0.2.1:51820\n',
    '',
  ],
  peerkey: [
    marked,
    `${marked}${'A'.repeat(29)}B=`,
    peerkey.slice(0, -1),
    peerkey.toLowerCase().replace('8=', '9='),
    `${peerkey}\n`,
    '',
    Buffer.alloc(31).toString('base64'),
    Buffer.alloc(33).toString('base64'),
  ],
  seed: [`${marked}!`, `${marked}A`, '', ' ', '='],
  // Any 32 bytes, as `wgdriver keys seed` prints them.
  seedfile: [`/${marked}${'A'.repeat(29)}=`, `${marked}AAA`, `../${marked}`, `a/../../${marked}`, ''],
  additionalfile: [`/${marked}${'A'.repeat(29)}=`, `../${marked}`, ''],
  presharedkey: [marked, 'Derived', '', peerkey],
  presharedkeyfile: [`/${marked}${'A'.repeat(29)}=`, `${marked}AAA`, `../${marked}`, ''],
  additional: [`${marked}!`, `${marked}A`, ' '],
  derivation: [marked, 'SHA3-256', 'sha256', '', 'toString', '__proto__'],
  keepalive: [marked, '-1', '65536', '1.5', '1e3', ' 25', '0x19', '', '100000'],
  mtu: [marked, '575', '65536', '1420.0', '', '-1420', 'Auto'],
  fwmark: [marked, '-1', '0x100000000', '4294967296', '1.5', ''],
  allowedips: [
    marked,
    `10.0.0.0/8,${marked}`,
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0.0/8,',
    ',',
    '',
    '10.0.0.0/8;',
  ],
  ipv6: [marked, 'fd12::/97', 'fd12::1/64', 'fd12::', 'fe80::/64', 'ff02::/64', '10.0.0.0/8', ''],
};

for (const [name, values] of Object.entries(bad)) {
  // JSON's other types too, for whoever does not go through the engine's command line.
  for (const value of [...values, null, 5, true, { marked }, [marked]]) {
    test(`${name} refused: ${JSON.stringify(value)}`, () => {
      const rest = name === 'seedfile' ? { peer: minimal.peer, peerkey } : minimal;
      refused({ ...rest, [name]: value }, new RegExp(`option ${escaped(optionPrefix + name)}: expected `));
    });
  }
}

test('an option that is missing is named', () => {
  for (const name of ['peer', 'peerkey', 'seed']) {
    const { [name]: _, ...rest } = { ...minimal } as Record<string, string>;
    refused(rest, new RegExp(`option ${escaped(optionPrefix + name)} is missing`));
  }
});

test('seed and seedfile do not go together', () => {
  refused(
    { ...minimal, seedfile: '/run/seed' },
    /options io\.bestov\.wg\.seed and .*seedfile were both given/,
  );
});

test('additional and preshared key each come one way', () => {
  for (const [one, other, value] of [
    ['additional', 'additionalfile', 'YQ=='],
    ['presharedkey', 'presharedkeyfile', 'derived'],
  ] as const) {
    refused(
      { ...minimal, [one]: value, [other]: 'app.file' },
      new RegExp(
        `options io\\.bestov\\.wg\\.${one} and io\\.bestov\\.wg\\.${other} were both given; expected one`,
      ),
    );
    assert.doesNotThrow(() => decodeNetworkOptions(prefixed({ ...minimal, [one]: value })));
  }
  const files = { ...minimal, additionalfile: 'app.additional', presharedkeyfile: '/run/psk' };
  const { additional, presharedKey } = decodeNetworkOptions(prefixed(files));
  assert.deepEqual([additional, presharedKey], [{ file: 'app.additional' }, { file: '/run/psk' }]);
  assert.equal(
    decodeNetworkOptions(prefixed({ ...minimal, presharedkey: 'derived' })).presharedKey,
    'derived',
  );
});

test('a seed file is not read here', () => {
  for (const file of ['/none/at/all', 'app.seed', 'team/app.seed']) {
    const options = decodeNetworkOptions(prefixed({ peer: minimal.peer, peerkey, seedfile: file }));
    assert.deepEqual(options.seed, { file });
  }
});

test('a seed file without a folder is in the secrets folder', () => {
  assert.equal(secretFileOf({ file: 'app.seed' }, '/etc/wgdriver'), '/etc/wgdriver/app.seed');
  assert.equal(secretFileOf({ file: '/run/seed' }, '/etc/wgdriver'), '/run/seed');
});

const faults: Readonly<Record<string, readonly [value: string, fault: RegExp][]>> = {
  peer: [
    ['', /it is empty/],
    ['vpn.example.org', /the port is missing/],
    ['vpn.example.org:', /the port is missing/],
    ['vpn.example.org:0', /the port is not from 1 to 65535/],
    ['vpn.example.org:65536', /the port is not from 1 to 65535/],
    ['vpn.example.org:5182O', /the port is not a number/],
    [':51820', /the host is missing/],
    ['udp://vpn.example.org:51820', /a URL: leave out everything but/],
    ['192.0.2.1:51820\r', /a carriage return/],
    ['192.0.2.1: 51820', /white space/],
    ['192.0.2.256:51820', /neither an IPv4 address nor a host name/],
    ['2001:db8::1:51820', /an IPv6 address needs brackets/],
    ['[2001:db8::1]', /the port is missing/],
    ['[2001:db8::1', /closing bracket/],
    ['[2001:db8::1]51820', /a colon after the bracket/],
    ['[192.0.2.1]:51820', /in the brackets is not an IPv6 address/],
    ['[fe80::1%eth0]:51820', /a zone id/],
    ['fe80--1%eth0:51820', /a zone id/],
  ],
  peerkey: [
    [peerkey.slice(0, -1), /the = at its end is missing/],
    [`${peerkey}\r`, /a carriage return/],
    [` ${peerkey}`, /white space/],
    [peerkey.replaceAll('+', '-').replaceAll('/', '_'), /URL-safe base64: write \+ for each -/],
    [Buffer.from(peerkey, 'base64').toString('hex'), /hexadecimal/],
    [Buffer.alloc(31).toString('base64'), /it has 31 bytes, but a key has 32/],
    [peerkey.replace('8=', '9='), /one of them is mistyped/],
    ['hunter2!', /characters that are not base64/],
  ],
  seed: [
    ['hunter2!', /characters that are not base64; `wgdriver keys seed` makes a seed/],
    [' \n', /it is empty/],
  ],
  additional: [['hunter2!', /characters that are not base64/]],
};

for (const [name, cases] of Object.entries(faults)) {
  for (const [value, fault] of cases) {
    test(`${name}: what is wrong with ${JSON.stringify(value)}`, () => {
      refused({ ...minimal, [name]: value }, fault);
    });
  }
}

test('a seed may have line breaks', () => {
  const { seed: broken } = decodeNetworkOptions(prefixed({ ...minimal, seed: 'dGVz\ndHNl\r\nZWQK\n' }));
  assert.deepEqual(Buffer.from((broken as Secret).reveal()), Buffer.from(seed, 'base64'));
});

test('a switch takes what YAML makes of on and off', () => {
  for (const [value, expected] of [
    ['true', 'on'],
    ['false', 'off'],
  ] as const) {
    assert.equal(decodeNetworkOptions(prefixed({ ...minimal, killswitch: value })).killswitch, expected);
  }
});

test('an option that is neither ours nor Docker’s is named, and the nearest of ours; Docker’s are told apart', () => {
  for (const [name, unknown] of [
    ['mtu', 'unknown option mtu; did you mean io.bestov.wg.mtu?'],
    ['io.bestov.mtu', 'unknown option io.bestov.mtu; did you mean io.bestov.wg.mtu?'],
    ['peer', 'unknown option peer; did you mean io.bestov.wg.peer?'],
    [
      'com.example.colour',
      'unknown option com.example.colour; the names of this driver’s begin with io.bestov.wg.',
    ],
    [
      'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
      'unknown option of 32 characters; the names of this driver’s begin with io.bestov.wg.',
    ],
    ['constructor', 'unknown option constructor; the names of this driver’s begin with io.bestov.wg.'],
  ] as const) {
    assert.deepEqual(passedOver({ ...prefixed(minimal), [name]: '' }), { dockers: [], unknown: [unknown] });
  }
  const dockers = {
    'com.docker.network.bridge.name': 'br0',
    'com.docker.network.container_iface_prefix': 'vpn',
  };
  assert.deepEqual(passedOver({ ...prefixed(minimal), ...dockers }), {
    dockers: ['com.docker.network.bridge.name'],
    unknown: [],
  });
});

test('the link’s name in the container, by Docker’s option or by ours, which wins', () => {
  const docker = { 'com.docker.network.container_iface_prefix': 'vpn' };
  assert.deepEqual(givenOptions({ ...prefixed(minimal), ...docker }), { ...minimal, ifprefix: 'vpn' });
  assert.deepEqual(givenOptions({ ...prefixed({ ifprefix: 'tun' }), ...docker }), { ifprefix: 'tun' });
  assert.equal(decodeNetworkOptions(prefixed({ ...minimal, ifprefix: 'vpn' })).ifprefix, 'vpn');
  for (const value of ['', '0a', 'a/b', 'a b', 'a'.repeat(14), '..']) {
    refused(
      { ...minimal, ifprefix: value },
      /option io\.bestov\.wg\.ifprefix: expected a letter, then at most 12 letters/,
    );
  }
});

test('an unknown option is named, with the nearest that there is', () => {
  for (const [name, meant] of [
    ['peers', 'peer'],
    ['killswich', 'killswitch'],
    ['seed.file', 'seedfile'],
  ] as const) {
    refused(
      { ...minimal, [name]: marked },
      new RegExp(`unknown option .*${name}; did you mean io\\.bestov\\.wg\\.${meant}\\?`),
    );
  }
});

test('an unknown option is named, and so are those that there are', () => {
  for (const name of ['colour', '__proto__', 'constructor', '']) {
    refused(
      { ...minimal, [name]: marked },
      new RegExp(
        `unknown option ${escaped(optionPrefix + name)}; expected one of peer, peerkey, hublink, seed, seedfile, `,
      ),
    );
  }
});

test('our options are found among others, and those with capitals refused', () => {
  assert.deepEqual(ourOptions({ 'io.bestov.wg.peer': 'y', 'com.docker.network.x': 'z', 'io.bestov': 1 }), [
    ['peer', 'y'],
  ]);
  for (const name of ['IO.BESTOV.WG.peer', 'io.bestov.wg.Seed']) {
    assert.throws(() => ourOptions({ [name]: marked }), {
      message: `option ${name}: expected the name in lower case, then = and the value`,
    });
  }
});

test('a seed that was typed without its = is told by its length, wherever a name was expected', () => {
  const secret = 'c2VjcmV0U2VlZHNlY3JldFNlZWRzZWNyZXRTZWVkISE=';
  const refusals = [
    (options: object) => {
      decodeNetworkOptions({ ...prefixed(minimal), ...options });
      refuseMistakes(passedOver({ ...options }));
    },
    (options: object) => {
      decodeEndpointOptions({ ...options });
      refuseMistakes(passedOverOfEndpoint({ ...options }));
    },
  ];
  // Docker takes what is before the first = for the name.
  for (const name of [
    `io.bestov.wg.seed:${secret.slice(0, -1)}`,
    `io.bestov.wg.seed${secret.slice(0, -1)}`,
    `io.bestov.wg.privatekeyfile ${secret}`,
    `io.bestov.wg.${secret.toLowerCase()}`,
    `IO.BESTOV.WG.seed ${secret}`,
    `io.bestov.wgseed:${secret}`,
    `io.bestov.seed.${secret}`,
    `seed:${secret}`,
    `seed${secret.slice(0, 12)}`,
  ]) {
    for (const refuse of refusals) {
      assert.throws(
        () => refuse({ [name]: '' }),
        ({ message }: Error) => message.includes(`option of ${name.length} characters`),
      );
    }
  }
});

test('options of others are none of ours', () => {
  const options = { ...prefixed(minimal), 'com.docker.network.driver.mtu': '9000', 'io.bestov.wgx': marked };
  assert.equal(decodeNetworkOptions(options).mtu, undefined);
});

test('what was decoded does not print its seed', () => {
  const options = decodeNetworkOptions(prefixed(article));
  const text = inspect(options, { depth: null, showHidden: true }) + JSON.stringify(options);
  assert(!text.includes(seed) && !text.includes('testseed') && !text.includes('116, 101, 115'), text);
});

const anyLabel = fc.stringMatching(/^[a-z](?:[a-z0-9-]{0,10}[a-z0-9])?$/);
const anyHost = fc.oneof(
  anyIpv4.map((address) => ({ host: address.toString(), text: address.toString() })),
  anyIpv6.map((address) => ({ host: address.toString(), text: `[${address.toString()}]` })),
  fc.array(anyLabel, { minLength: 1, maxLength: 4 }).map((labels) => ({
    host: labels.join('.'),
    text: labels.join('.'),
  })),
);
const portNumber = fc.integer({ min: 1, max: 65535 });

test('any good options are decoded to what they say', () => {
  fc.assert(
    fc.property(
      fc.record({
        hub: anyHost,
        port: portNumber,
        key: fc.uint8Array({ minLength: 32, maxLength: 32 }),
        seedBytes: fc.uint8Array({ minLength: 1 }),
        additional: fc.uint8Array(),
        derivation: fc.constantFrom(...derivationNames),
        keepalive: fc.integer({ min: 0, max: 65535 }),
        mtu: fc.integer({ min: 576, max: 65535 }),
        allowed: fc.array(anyPrefix, { minLength: 1 }),
      }),
      ({ hub, port, key, seedBytes, additional, derivation, keepalive, mtu, allowed }) => {
        const options = decodeNetworkOptions(
          prefixed({
            peer: `${hub.text}:${port}`,
            peerkey: Buffer.from(key).toString('base64'),
            seed: Buffer.from(seedBytes).toString('base64'),
            additional: Buffer.from(additional).toString('base64'),
            derivation,
            keepalive: String(keepalive),
            mtu: String(mtu),
            allowedips: allowed.map(formatPrefix).join(','),
          }),
        );
        assert.deepEqual(options.peer, { host: hub.host, port });
        assert.deepEqual(Buffer.from(options.peerkey ?? '', 'base64'), Buffer.from(key));
        assert(options.seed instanceof Secret);
        assert.deepEqual(options.seed.reveal(), seedBytes);
        assert.deepEqual(options.additional, additional);
        assert.deepEqual([options.derivation, options.keepalive, options.mtu], [derivation, keepalive, mtu]);
        assert.deepEqual(
          options.allowedips?.map(formatPrefix),
          allowed.map((prefix) => formatPrefix(masked(prefix))),
        );
      },
    ),
  );
});

test('whatever the value, an error names the option and quotes nothing', () => {
  const anyText = fc.string({ minLength: 8, unit: 'binary' }).map((text) => marked + text);
  fc.assert(
    fc.property(
      fc.constantFrom(
        'peer',
        'peerkey',
        'seed',
        'additional',
        'derivation',
        'keepalive',
        'mtu',
        'allowedips',
      ),
      fc.oneof(
        anyText,
        fc.jsonValue().filter((value) => typeof value !== 'string'),
      ),
      (name, value) => {
        try {
          decodeNetworkOptions(prefixed({ ...minimal, [name]: value }));
        } catch (error) {
          assert(error instanceof Error);
          assert(error.message.startsWith(`option ${optionPrefix}${name}: expected `), error.message);
          assert(!error.message.includes(marked), error.message);
        }
      },
    ),
  );
});

function refused(options: Readonly<Record<string, unknown>>, message: RegExp): void {
  assert.throws(
    () => decodeNetworkOptions(prefixed(options)),
    (error: Error) => {
      assert.match(error.message, message);
      for (const value of [marked, seed, peerkey]) {
        assert(!error.message.includes(value), error.message);
      }
      assert(!error.message.includes('\n'), error.message);
      return true;
    },
  );
}

function prefixed(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [optionPrefix + name, value]));
}

function escaped(text: string): string {
  return text.replaceAll('.', '\\.');
}
