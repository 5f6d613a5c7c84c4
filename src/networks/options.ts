import { isAbsolute, resolve } from 'node:path';
import * as v from 'valibot';
import { decode, parsed } from '../decode.ts';
import {
  type DerivationName,
  defaultAdditional,
  defaultDerivation,
  derivationNames,
} from '../keys/derivation.ts';
import { parseSeed, seedExpectation } from '../keys/seed.ts';
import { nearest, unknownName } from '../nearest.ts';
import { ContainerIfacePrefix, DriverMTU } from '../plugin/netlabel.ts';
import { masked, type Prefix, parsePrefix } from '../wireguard/address.ts';
import { base64Fault, decodeBase64 } from '../wireguard/base64.ts';
import { firewallMarkExpectation, parseFirewallMark } from '../wireguard/firewall-mark.ts';
import { type HostPort, hostPortFault, parseHostPort } from '../wireguard/host-port.ts';
import { keyExpectation, type PublicKey, parsePublicKey } from '../wireguard/key.ts';
import type { Secret } from '../wireguard/secret.ts';
import { ipv6PrefixExpectation, parseIpv6Prefix } from './ipv6.ts';
import { optionPrefix, switchWord } from './option-names.ts';

export { optionPrefix } from './option-names.ts';

/** What is done against traffic that leaves past the tunnel. */
export const killswitches = ['on', 'strict', 'off'] as const;
export type Killswitch = (typeof killswitches)[number];

/** A file on this host, by an absolute path or a name in the secrets folder: see secretFileOf. */
export interface SecretFile {
  readonly file: string;
}

/** Bytes, or what the way to the hub carries, as it is at each time. */
export type Mtu = number | 'auto';

/** The options of a network, decoded. */
export interface NetworkOptions {
  /** With `hublink` both are read from that link when a container joins; until then they say nothing. */
  readonly peer?: HostPort;
  /** Both are absent with a configuration file, which has the peers. */
  readonly peerkey?: PublicKey;
  /** The hub is this WireGuard link of the host. */
  readonly hublink?: string;
  /** A file for wg-quick(8). */
  readonly conffile?: SecretFile;
  /** Absent only with a configuration file, which may hold the key itself. */
  readonly seed?: Secret | SecretFile;
  /** Of a file it is the first line; the others are older epochs, which only the hub still accepts. */
  readonly additional: Uint8Array | SecretFile;
  readonly derivation: DerivationName;
  /** One of each address, or one of the whole network; absent is none. */
  readonly presharedKey?: 'derived' | SecretFile;
  /** Seconds between keepalives; 0 is off. Absent: the configuration file says. */
  readonly keepalive?: number;
  /** Absent: the configuration file says, or it is `auto`. */
  readonly mtu?: Mtu;
  /** Of the outer packets; 0 is none. Absent: the configuration file says. */
  readonly fwmark?: number;
  /** Masked; undefined if not given, which means everything. */
  readonly allowedips?: readonly Prefix[];
  /** Masked: what does not go into the tunnel and may leave by another network. */
  readonly exclude?: readonly Prefix[];
  readonly killswitch: Killswitch;
  /** What the link is called in the container, less the number that the engine puts after it; absent: `wg`. */
  readonly ifprefix?: string;
  /** What containers' IPv6 addresses are made of, with their IPv4 addresses: see ipv6AddressOf. */
  readonly ipv6?: Prefix;
  /** Do containers that share a tunnel reach one another? Absent: they do. */
  readonly icc?: 'on' | 'off';
}

/** The options of one endpoint, by `docker network connect --driver-opt`; they win over the network's. */
export interface EndpointOptions {
  readonly privatekeyfile?: SecretFile;
  readonly presharedkeyfile?: SecretFile;
  /** Seconds; 0 is off. */
  readonly keepalive?: number;
  readonly mtu?: Mtu;
}

const keepalive = integer(0, 65535, 'seconds, 0 for off');
const mtu = v.union(
  [v.literal('auto'), integer(576, 65535, 'bytes')],
  'expected auto or an integer from 576 to 65535 (bytes)',
);
const presharedkeyfile = secretFile('a preshared key, as `wg genpsk` prints it', 'app.psk');
const defaultKeepalive = 25;

const schema = v.strictObject({
  peer: v.exactOptional(
    v.pipe(
      v.string('expected host:port, the hub’s address and UDP port'),
      parsed(
        parseHostPort,
        (text) =>
          'expected host:port, such as vpn.example.org:51820, 192.0.2.1:51820 or [2001:db8::1]:51820; ' +
          `${hostPortFault(text)}`,
      ),
    ),
  ),
  peerkey: v.exactOptional(
    v.pipe(
      v.string('expected the hub’s public key'),
      parsed(parsePublicKey, (text) => keyExpectation('public', text)),
    ),
  ),
  hublink: v.exactOptional(
    v.pipe(
      v.string(),
      v.regex(/^[A-Za-z0-9_=+.-]{1,15}$/, 'expected the name of a WireGuard link of this host, such as wg0'),
    ),
  ),
  seed: v.exactOptional(v.pipe(v.string(), parsed(parseSeed, seedExpectation))),
  seedfile: v.exactOptional(secretFile('the seed in base64', 'app.seed')),
  additional: v.exactOptional(
    v.pipe(
      v.string(),
      parsed(decodeBase64, (text) => `expected base64, but ${base64Fault(text)}`),
    ),
  ),
  additionalfile: v.exactOptional(
    secretFile('a value in base64 on each line, the newest first', 'app.additional'),
  ),
  presharedkey: v.exactOptional(
    v.literal(
      'derived',
      `expected derived; the key itself goes into a file, by ${optionPrefix}presharedkeyfile`,
    ),
  ),
  presharedkeyfile: v.exactOptional(presharedkeyfile),
  derivation: v.optional(
    v.picklist(derivationNames, `expected one of ${derivationNames.join(', ')}`),
    defaultDerivation,
  ),
  keepalive: v.exactOptional(keepalive),
  mtu: v.exactOptional(mtu),
  fwmark: v.exactOptional(
    v.pipe(v.string(), parsed(parseFirewallMark, `expected ${firewallMarkExpectation}`)),
  ),
  allowedips: v.exactOptional(
    v.pipe(
      v.string(),
      parsed(parsePrefixes, 'expected CIDR prefixes separated by commas, such as 10.0.0.0/8,192.168.5.0/24'),
    ),
  ),
  exclude: v.exactOptional(
    v.pipe(
      v.string(),
      parsed(parsePrefixes, 'expected CIDR prefixes separated by commas, such as 192.168.0.0/16,fd00::/8'),
    ),
  ),
  conffile: v.exactOptional(secretFile('a configuration for wg-quick', 'provider.conf')),
  ipv6: v.exactOptional(v.pipe(v.string(), parsed(parseIpv6Prefix, ipv6PrefixExpectation))),
  icc: v.exactOptional(switched(['on', 'off'])),
  killswitch: v.optional(switched(killswitches), 'on'),
  ifprefix: v.exactOptional(
    v.pipe(
      v.string(),
      v.regex(
        /^[A-Za-z][A-Za-z0-9_-]{0,12}$/,
        'expected a letter, then at most 12 letters, digits, - and _; Docker appends a number',
      ),
    ),
  ),
});

const endpointSchema = v.strictObject({
  privatekeyfile: v.exactOptional(secretFile('a private key, as `wg genkey` prints it', 'app.key')),
  presharedkeyfile: v.exactOptional(presharedkeyfile),
  keepalive: v.exactOptional(keepalive),
  mtu: v.exactOptional(mtu),
});

/** What a configuration file says instead. */
const notWithConffile = [
  'peer',
  'peerkey',
  'hublink',
  'allowedips',
  'presharedkey',
  'presharedkeyfile',
] as const;

const defaultAdditionalBytes = decodeBase64(defaultAdditional) as Uint8Array;

/** Where files are that are given without a folder, unless `serve --secrets-dir` says otherwise. */
export const defaultSecretsFolder = '/etc/wgdriver';

/** The absolute path of a file that an option may name relative to the secrets folder. */
export function secretFileOf({ file }: SecretFile, secretsFolder: string): string {
  return resolve(secretsFolder, file);
}

/**
 * Decodes the options of a network: those whose names begin with `io.bestov.wg.`; others are not ours.
 * @throws Error that names the option and what was expected, never its value
 */
export function decodeNetworkOptions(options: Readonly<Record<string, unknown>>): NetworkOptions {
  const ours = Object.fromEntries(ourOptions(options));
  refuseUnknown(ours, Object.keys(schema.entries));
  if (ours.conffile === undefined) {
    for (const name of ['peer', 'peerkey']) {
      refuseBoth(ours, name, 'hublink');
      if (ours[name] === undefined && ours.hublink === undefined) {
        throw new Error(
          `option ${optionPrefix}${name} is missing: give it with \`-o ${optionPrefix}${name}=…\`, or name the ` +
            'hub’s link ' +
            `on this host with \`-o ${optionPrefix}hublink=…\``,
        );
      }
    }
  } else {
    const surplus = notWithConffile.find((name) => ours[name] !== undefined);
    if (surplus !== undefined) {
      throw new Error(
        `option ${optionPrefix}${surplus} cannot be combined with ${optionPrefix}conffile, whose [Peer] sets it: ` +
          'leave one out',
      );
    }
  }
  const { seed, seedfile, additional, additionalfile, presharedkey, presharedkeyfile, ...rest } = decode(
    schema,
    ours,
    `option ${optionPrefix.slice(0, -1)}`,
  );
  const aSeed = seed ?? seedfile;
  if (aSeed === undefined && rest.conffile === undefined) {
    throw new Error(
      `option ${optionPrefix}seed is missing: give it, or ${optionPrefix}seedfile with the name of a file that holds it`,
    );
  }
  refuseBoth(ours, 'seed', 'seedfile');
  refuseBoth(ours, 'additional', 'additionalfile');
  refuseBoth(ours, 'presharedkey', 'presharedkeyfile');
  const presharedKey = presharedkey ?? presharedkeyfile;
  return {
    ...(rest.hublink !== undefined && unknownHub),
    ...(rest.conffile === undefined && { keepalive: defaultKeepalive }),
    ...rest,
    ...(aSeed !== undefined && { seed: aSeed }),
    additional: additional ?? additionalfile ?? defaultAdditionalBytes,
    ...(presharedKey !== undefined && { presharedKey }),
  };
}

/** The endpoint and key of a hub on this host, until its link was looked at. No link has port 0. */
const unknownHub = { peer: { host: '127.0.0.1', port: 0 }, peerkey: '' as PublicKey } as const;

/**
 * Decodes the options of one endpoint.
 * @throws Error that names the option and what was expected, never its value
 */
export function decodeEndpointOptions(options: Readonly<Record<string, unknown>>): EndpointOptions {
  const ours = Object.fromEntries(ourOptions(options));
  for (const name of Object.keys(ours)) {
    if (Object.hasOwn(schema.entries, name) && !Object.hasOwn(endpointSchema.entries, name)) {
      throw new Error(
        `option ${optionPrefix}${name} applies to a whole network: give it to \`docker network create\``,
      );
    }
  }
  refuseUnknown(ours, Object.keys(endpointSchema.entries));
  return decode(endpointSchema, ours, `option ${optionPrefix.slice(0, -1)}`);
}

function refuseUnknown(ours: Readonly<Record<string, unknown>>, names: readonly string[]): void {
  const unknown = Object.keys(ours).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    const own = nearest(unknown, names);
    throw new Error(
      `unknown option ${unknownName(optionPrefix + unknown)}; ${
        own === undefined ? `expected one of ${names.join(', ')}` : `did you mean ${optionPrefix}${own}?`
      }`,
    );
  }
}

function refuseBoth(ours: Readonly<Record<string, unknown>>, one: string, other: string): void {
  if (ours[one] !== undefined && ours[other] !== undefined) {
    throw new Error(
      `options ${optionPrefix}${one} and ${optionPrefix}${other} were both given; expected one of the two`,
    );
  }
}

/**
 * Our options by their names less the prefix, as they were given.
 * @throws Error for a name that is ours but for capitals: it would be passed over in silence
 */
export function ourOptions(options: Readonly<Record<string, unknown>>): [name: string, value: unknown][] {
  return Object.entries(options)
    .filter(([name]) => name.toLowerCase().startsWith(optionPrefix))
    .map(([name, value]) => {
      if (name !== name.toLowerCase()) {
        throw new Error(`option ${unknownName(name)}: expected the name in lower case, then = and the value`);
      }
      return [name.slice(optionPrefix.length), value];
    });
}

/** Options of Docker's that mean the same as one of ours, which counts if both are there. */
const dockersOptions: Readonly<Record<string, string>> = {
  [DriverMTU]: 'mtu',
  [ContainerIfacePrefix]: 'ifprefix',
};

/** What is kept of a network's options: ours, by their names less the prefix, and what Docker calls otherwise. */
export function givenOptions(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const ofDocker = Object.entries(dockersOptions).flatMap(([name, own]) =>
    options[name] === undefined ? [] : [[own, options[name]] as const],
  );
  return Object.fromEntries([...ofDocker, ...ourOptions(options)]);
}

/** What is said of options that the driver passes over. */
export interface PassedOver {
  /** Options of Docker's that have no meaning here. */
  readonly dockers: readonly string[];
  /** Of the others, which are mistakes, why each is one. */
  readonly unknown: readonly string[];
}

/** The options of a network that are neither ours nor honoured. */
export function passedOver(options: Readonly<Record<string, unknown>>): PassedOver {
  const others = Object.keys(options).filter(
    (name) => !name.toLowerCase().startsWith(optionPrefix) && !Object.hasOwn(dockersOptions, name),
  );
  const ofNetworks = Object.keys(schema.entries);
  return {
    dockers: others.filter(isDockers),
    unknown: others.filter((name) => !isDockers(name)).map((name) => unknownOption(name, ofNetworks)),
  };
}

/** The same of one endpoint. The engine's own come with each; of a user's, those that only a network can have. */
export function passedOverOfEndpoint(options: Readonly<Record<string, unknown>>): PassedOver {
  const others = Object.keys(options).filter((name) => !name.toLowerCase().startsWith(optionPrefix));
  const ofEndpoints = Object.keys(endpointSchema.entries);
  return {
    dockers: others.filter((name) => Object.hasOwn(dockersOptions, name)),
    unknown: others.filter((name) => !isDockers(name)).map((name) => unknownOption(name, ofEndpoints)),
  };
}

/** @throws Error for the first option that is neither ours nor Docker's */
export function refuseMistakes({ unknown: [mistake] }: PassedOver): void {
  if (mistake !== undefined) {
    throw new Error(mistake);
  }
}

function isDockers(name: string): boolean {
  return name.startsWith('com.docker.');
}

function unknownOption(name: string, names: readonly string[]): string {
  const [last = ''] = name.split('.').slice(-1);
  const own = nearest(last, names);
  return `unknown option ${unknownName(name)}; ${
    own === undefined
      ? `the names of this driver’s begin with ${optionPrefix}`
      : `did you mean ${optionPrefix}${own}?`
  }`;
}

/** The options of a record, by their whole names again. */
export function withPrefix(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [optionPrefix + name, value]));
}

/** A step for the path of a file that holds something secret, or something that a secret goes with. */
function secretFile(content: string, example: string) {
  return v.pipe(
    v.string(),
    v.check(
      isSecretFilePath,
      `expected the path of a file on this host that holds ${content}: absolute, or a name such as ${example} in ` +
        'the secrets folder',
    ),
    v.transform((file): SecretFile => ({ file })),
  );
}

/**
 * A relative path stays inside of the secrets folder. One that could be a secret is taken for one that was given
 * to the wrong option, and would show up in the error that no such file is there.
 */
function isSecretFilePath(path: string): boolean {
  const isSecret = path !== '' && decodeBase64(path) !== undefined;
  const isInside = path !== '' && !path.split('/').includes('..');
  // Base64 may begin with a slash, but 32 bytes of it, as `wgdriver keys seed` makes them, end in what no file does.
  return isAbsolute(path) ? !(isSecret && path.endsWith('=')) : isInside && !isSecret;
}

function integer(minimum: number, maximum: number, unit: string) {
  const message = `expected an integer from ${minimum} to ${maximum} (${unit})`;
  return v.pipe(
    v.string(message),
    v.regex(/^\d{1,5}$/, message),
    v.transform(Number),
    v.minValue(minimum, message),
    v.maxValue(maximum, message),
  );
}

/** One of a few words. */
function switched<const Words extends readonly string[]>(words: Words) {
  const message = `expected one of ${words.join(', ')}, true, false`;
  return v.pipe(v.string(message), v.transform(switchWord), v.picklist(words, message));
}

function parsePrefixes(text: string): Prefix[] | undefined {
  const prefixes = text.split(',').map((part) => parsePrefix(part.trim()));
  return prefixes.every((prefix) => prefix !== undefined) ? prefixes.map(masked) : undefined;
}
