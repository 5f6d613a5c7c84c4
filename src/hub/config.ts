import { dirname, resolve } from 'node:path';
import * as v from 'valibot';
import { type Document, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { parsed } from '../decode.ts';
import {
  type DerivationName,
  defaultAdditional,
  defaultDerivation,
  derivationNames,
} from '../keys/derivation.ts';
import { hostsOf, isHostOf, parseRange, requireMasked } from '../keys/ranges.ts';
import { unknownName } from '../nearest.ts';
import type { Family } from '../netlink/family.ts';
import { ipv6Counterparts, ipv6PrefixExpectation, parseIpv6Prefix } from '../networks/ipv6.ts';
import {
  type Address,
  type AddressRange,
  bits,
  countOf,
  covers,
  formatPrefix,
  hostPrefix,
  isOfHost,
  masked,
  type Prefix,
  parseAddress,
  parsePrefix,
  sameAddress,
} from '../wireguard/address.ts';
import { base64Fault, decodeBase64 } from '../wireguard/base64.ts';
import { keyExpectation, type PublicKey, parsePublicKey } from '../wireguard/key.ts';
import { smallMtuFault } from '../wireguard/mtu.ts';

/** What hub.yaml says. Paths are absolute; what is in the files is not read here. */
export interface HubConfig {
  readonly interface: string;
  readonly port: number;
  readonly privatekeyfile: string;
  /** Bytes. */
  readonly mtu: number;
  readonly networks: readonly HubNetwork[];
  readonly clients: readonly HubClient[];
  readonly forwarding: boolean;
  /** The families whose packets get the hub's own address when they leave by another link. */
  readonly masquerade: readonly Family[];
  /** Where masqueraded packets leave; undefined for the links that have a default route. */
  readonly uplinks: readonly string[] | undefined;
  readonly allow: HubPolicy;
  readonly firewall: Firewall;
}

/** Who may open connections to what. */
export interface HubPolicy {
  /** Containers to one another and to clients. */
  readonly containers: boolean;
  /** What clients may reach; undefined for everything. */
  readonly clients: readonly Prefix[] | undefined;
  /** Who may reach containers and clients without being a peer. */
  readonly outside: readonly Prefix[];
}

/** `docker-user` adds the rules that Docker's drop policy makes necessary. */
export const firewalls = ['none', 'docker-user'] as const;
export type Firewall = (typeof firewalls)[number];

/** A Docker network whose containers are peers. */
export interface HubNetwork {
  readonly name: string;
  readonly subnets: readonly HubSubnet[];
  /** Each container also has this prefix | its IPv4 address. */
  readonly ipv6: Prefix | undefined;
  readonly keys: HubKeys;
  readonly presharedKey: 'derived' | { readonly file: string } | undefined;
  /** The first so many addresses of each subnet, or these. Undefined for whole subnets. */
  readonly peers: number | readonly AddressRange[] | undefined;
  /** Addresses that are no container's. */
  readonly except: readonly AddressRange[];
  /** Seconds; undefined and 0 are off. */
  readonly keepalive: number | undefined;
}

/** A subnet and the hub's own address in it. */
export interface HubSubnet {
  readonly subnet: Prefix;
  readonly gateway: Address;
}

/** Where the public keys of containers come from. */
export type HubKeys =
  | {
      /** The newest first; the others are accepted until their containers have the newest. */
      readonly seedfiles: readonly string[];
      readonly additional: Uint8Array | { readonly file: string };
      readonly derivation: DerivationName;
    }
  | { readonly publickeysfile: string };

/** A peer that is no container: a laptop, a phone, a server. */
export interface HubClient {
  readonly name: string;
  readonly addresses: readonly Address[];
  /** Undefined: derived like a container's of the network that the address is in. */
  readonly publickey: PublicKey | undefined;
  readonly presharedkeyfile: string | undefined;
  /** What else is reached through it. */
  readonly allowedips: readonly Prefix[];
  readonly keepalive: number | undefined;
}

const subnet = v.pipe(
  v.string('expected a prefix such as 192.168.5.0/24'),
  parsed(parsePrefix, 'expected a prefix such as 192.168.5.0/24'),
  attempted(requireMasked),
  v.check(({ address }) => isOfHost(address), 'expected a subnet of addresses that hosts can have'),
);
const prefix = v.pipe(
  v.string('expected a prefix such as 10.0.0.0/8'),
  parsed(parsePrefix, 'expected a prefix such as 10.0.0.0/8'),
  v.transform(masked),
);
const address = v.pipe(
  v.string('expected an address such as 192.168.5.1'),
  parsed(parseAddress, 'expected an address such as 192.168.5.1'),
);
const range = v.pipe(
  v.string('expected an address, a prefix or a range such as 192.168.5.2-192.168.5.9'),
  attempted((text: string) => {
    // The subnet that it is a part of stands elsewhere.
    parseRange(text);
    return text;
  }),
);
/** The hub routes it to its own link: with the whole Internet there, its tunnels' packets would go into the tunnel. */
const behindClient = v.pipe(
  prefix,
  v.check(
    ({ address, length }) => length > (address.kind() === 'ipv4' ? 1 : 3),
    'expected prefixes behind this client, such as 10.0.0.0/8; the whole Internet would take the hub’s own way out',
  ),
);
const path = v.pipe(v.string('expected the path of a file'), v.nonEmpty('expected the path of a file'));
const boolean = v.boolean('expected true or false');
const keepalive = integer(0, 65535, 'seconds, 0 for off');

function integer(minimum: number, maximum: number, unit: string) {
  const message = `expected an integer from ${minimum} to ${maximum} (${unit})`;
  return v.pipe(
    v.number(message),
    v.integer(message),
    v.minValue(minimum, message),
    v.maxValue(maximum, message),
  );
}

/** One of something, or a list of it. */
function oneOrMore<Output>(schema: v.GenericSchema<unknown, Output>) {
  return v.lazy((input) =>
    Array.isArray(input)
      ? v.pipe(v.array(schema), v.minLength(1, 'expected one or more, got none'))
      : v.pipe(
          schema,
          v.transform((one) => [one]),
        ),
  );
}

/** A step of a pipe by a function that throws what was expected. */
function attempted<Input, Output>(parse: (input: Input) => Output) {
  return v.rawTransform<Input, Output>(({ dataset, addIssue, NEVER }) => {
    try {
      return parse(dataset.value);
    } catch (error) {
      addIssue({ message: (error as Error).message });
      return NEVER;
    }
  });
}

const networkSchema = v.pipe(
  v.strictObject(
    {
      subnet: oneOrMore(subnet),
      gateway: v.optional(oneOrMore(address)),
      ipv6: v.optional(
        v.pipe(v.string(ipv6PrefixExpectation), parsed(parseIpv6Prefix, ipv6PrefixExpectation)),
      ),
      seedfile: v.optional(path),
      seedfiles: v.optional(
        v.pipe(
          v.array(path, 'expected a list of files'),
          v.minLength(1, 'expected one or more files, got none'),
        ),
      ),
      publickeysfile: v.optional(path),
      additional: v.optional(
        v.pipe(
          v.string('expected base64'),
          parsed(decodeBase64, (text) => `expected base64, but ${base64Fault(text)}`),
        ),
      ),
      additionalfile: v.optional(path),
      derivation: v.optional(
        v.picklist(derivationNames, `expected one of ${derivationNames.join(', ')}`),
        defaultDerivation,
      ),
      presharedkey: v.optional(
        v.literal('derived', 'expected derived; a key itself goes into presharedkeyfile'),
      ),
      presharedkeyfile: v.optional(path),
      peers: v.optional(
        v.lazy((input) =>
          typeof input === 'number' ? integer(1, 2 ** 20, 'peers') : oneOrMore(range),
        ) as v.GenericSchema<unknown, number | string[]>,
      ),
      except: v.optional(oneOrMore(range)),
      keepalive: v.optional(keepalive),
    },
    'expected the network’s settings: subnet, seedfile …',
  ),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) {
      return;
    }
    const { seedfile, seedfiles, publickeysfile, additional, additionalfile, ...rest } = dataset.value;
    const isElsewhere = (gateway: Address) => !rest.subnet.some((own) => covers(own, hostPrefix(gateway)));
    const elsewhere = rest.gateway?.find(isElsewhere);
    const ambiguous = rest.subnet.find(
      (own) => (rest.gateway ?? []).filter((gateway) => covers(own, hostPrefix(gateway))).length > 1,
    );
    if ([seedfile, seedfiles, publickeysfile].filter((source) => source !== undefined).length !== 1) {
      addIssue({ message: 'expected one of seedfile, seedfiles and publickeysfile' });
    } else if (publickeysfile !== undefined && (additional ?? additionalfile) !== undefined) {
      addIssue({ message: 'additional and additionalfile need a seed, and publickeysfile takes its place' });
    } else if (publickeysfile !== undefined && rest.presharedkey !== undefined) {
      addIssue({ message: 'presharedkey: derived needs a seed; put preshared keys into publickeysfile' });
    } else if (additional !== undefined && additionalfile !== undefined) {
      addIssue({ message: 'expected one of additional and additionalfile, got both' });
    } else if (rest.presharedkey !== undefined && rest.presharedkeyfile !== undefined) {
      addIssue({ message: 'expected one of presharedkey and presharedkeyfile, got both' });
    } else if (elsewhere !== undefined) {
      addIssue({ message: `gateway ${elsewhere.toString()} is not in the network’s subnet` });
    } else if (ambiguous !== undefined) {
      addIssue({ message: `subnet ${formatPrefix(ambiguous)} has more than one gateway` });
    } else if (rest.ipv6 !== undefined && !rest.subnet.some(({ address }) => address.kind() === 'ipv4')) {
      addIssue({ message: 'ipv6 is the prefix of IPv4 addresses, and subnet has none' });
    }
  }),
);

const clientSchema = v.strictObject(
  {
    address: oneOrMore(v.pipe(address, v.check(isOfHost, 'expected the address of a host'))),
    publickey: v.optional(
      v.pipe(
        v.string('expected a public key'),
        parsed(parsePublicKey, (text) => keyExpectation('public', text)),
      ),
    ),
    presharedkeyfile: v.optional(path),
    allowedips: v.optional(oneOrMore(behindClient)),
    keepalive: v.optional(keepalive),
  },
  'expected the client’s settings: address, publickey …',
);

/** Names that valibot's record leaves out without a word. */
const passedOver = ['prototype', 'constructor', '__proto__'];

/** yaml and valibot read it as an object; a Map keeps the order of numbers too, which no name is. */
function named<Output>(schema: v.GenericSchema<unknown, Output>, what: string) {
  const expected = `expected ${what} by name`;
  // A record would take a list, and its numbers for names.
  return v.pipe(
    v.custom<unknown>((input) => !Array.isArray(input), expected),
    v.rawCheck(({ dataset, addIssue }) => {
      const input = Object(dataset.value) as Record<string, unknown>;
      for (const key of passedOver.filter((name) => Object.hasOwn(input, name))) {
        addIssue({
          message: `expected another name: ${passedOver.join(', ')} are reserved`,
          path: [{ type: 'object', origin: 'key', input, key, value: input[key] }],
        });
      }
    }),
    v.record(v.string(), schema, expected),
  );
}

const policySchema = v.strictObject(
  {
    containers: v.optional(boolean, true),
    clients: v.optional(v.array(prefix, 'expected a list of prefixes')),
    outside: v.optional(v.array(prefix, 'expected a list of prefixes'), []),
  },
  'expected containers, clients or outside',
);

const expectedSettings = 'expected settings: interface, networks …';
const schema = v.strictObject(
  {
    interface: v.optional(
      v.pipe(
        v.string('expected the name of the interface'),
        // The kernel takes the two names of folders for no link.
        v.regex(/^(?!\.\.?$)[A-Za-z0-9_=+.-]{1,15}$/, 'expected 1 to 15 letters, digits and _=+.-'),
      ),
      'wg0',
    ),
    port: v.optional(integer(1, 65535, 'UDP port'), 51820),
    privatekeyfile: v.optional(path),
    mtu: v.optional(integer(576, 65535, 'bytes'), 1420),
    networks: v.optional(named(networkSchema, 'networks'), {}),
    clients: v.optional(named(clientSchema, 'clients'), {}),
    forwarding: v.optional(boolean, true),
    masquerade: v.optional(
      v.union([v.boolean(), v.picklist(['ipv4', 'ipv6'])], 'expected true, false, ipv4 or ipv6'),
      false,
    ),
    uplinks: v.optional(v.array(v.string('expected the name of a link'), 'expected a list of links')),
    allow: v.optional(policySchema, {}),
    firewall: v.optional(v.picklist(firewalls, `expected one of ${firewalls.join(', ')}`), 'none'),
  },
  expectedSettings,
);

/** hub.yaml is wrong: each line says where and what was expected, never what a secret's place held. */
export class HubConfigError extends Error {
  override readonly name = 'HubConfigError';
}

/**
 * Decodes hub.yaml.
 * @param file its path: relative paths in it are relative to its folder
 * @throws HubConfigError
 */
export function decodeHubConfig(text: string, file: string): HubConfig {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const fail = (messages: readonly { readonly line: number; readonly message: string }[]): never => {
    throw new HubConfigError(messages.map(({ line, message }) => `${file}:${line}: ${message}`).join('; '));
  };
  if (document.errors.length > 0) {
    fail(
      document.errors.map(({ code, pos, message }) => ({
        line: lines.linePos(pos[0]).line,
        message:
          code === 'MULTIPLE_DOCS' ? 'expected one document, but a second one begins here' : wordsOf(message),
      })),
    );
  }
  // Also what is empty: a file that was cut off would take every peer away.
  if (!isMap(document.contents)) {
    fail([{ line: 1, message: expectedSettings }]);
  }
  const at = (keys: readonly unknown[]) => lineOf(document, lines, keys);
  const result = v.safeParse(schema, plainValueOf(document, fail));
  if (!result.success) {
    return fail(
      result.issues.map((issue) => {
        const keys = (issue.path ?? []).map(({ key }) => key);
        const last = String(keys.at(-1));
        const isSecret = issue.expected === 'never' && unknownName(last) !== last;
        const place = (isSecret ? keys.slice(0, -1) : keys).join('.');
        const message = isSecret ? `unknown setting ${unknownName(last)}` : expectation(issue);
        return { line: at(keys), message: [place, message].filter(Boolean).join(': ') };
      }),
    );
  }
  const config = completed(result.output, dirname(resolve(file)));
  const mistakes = contradictions(config).map(({ keys, message }) => ({
    line: at(keys),
    message: `${keys.join('.')}: ${message}`,
  }));
  return mistakes.length === 0 ? config : fail(mistakes);
}

function plainValueOf(
  document: Document,
  fail: (messages: { line: number; message: string }[]) => never,
): unknown {
  try {
    return document.toJS();
  } catch (error) {
    // Aliases that stand for more than anybody writes.
    return fail([{ line: 1, message: wordsOf((error as Error).message) }]);
  }
}

/** What the library says, some of which ends with what it found. */
function wordsOf(message: string): string {
  return message.split(' ').map(unknownName).join(' ');
}

function expectation(issue: v.BaseIssue<unknown>): string {
  if (issue.expected === 'never') {
    return 'unknown setting';
  }
  if (issue.received === 'undefined') {
    return 'is missing';
  }
  return issue.message.startsWith('Invalid ') ? `expected ${issue.expected}` : issue.message;
}

/** The line of the key or item that a path leads to, or as far as it leads. */
function lineOf(document: Document, lines: LineCounter, keys: readonly unknown[]): number {
  let [node, offset]: [unknown, number] = [document.contents, 0];
  for (const key of keys) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      if (pair === undefined) {
        break;
      }
      offset = (isScalar(pair.key) ? pair.key.range?.[0] : undefined) ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      const item = node.items[Number(key)] as { range?: [number, number, number] | null } | undefined;
      offset = item?.range?.[0] ?? offset;
      node = item;
    }
  }
  return lines.linePos(offset).line;
}

function completed(raw: v.InferOutput<typeof schema>, folder: string): HubConfig {
  const absolute = (file: string) => resolve(folder, file);
  const families: Readonly<Record<string, readonly Family[]>> = {
    true: ['ipv4', 'ipv6'],
    ipv4: ['ipv4'],
    ipv6: ['ipv6'],
  };
  return {
    interface: raw.interface,
    port: raw.port,
    privatekeyfile: absolute(raw.privatekeyfile ?? `${raw.interface}.key`),
    mtu: raw.mtu,
    networks: Object.entries(raw.networks).map(([name, network]) =>
      completedNetwork(name, network, absolute),
    ),
    clients: Object.entries(raw.clients).map(([name, client]) => ({
      name,
      addresses: client.address,
      publickey: client.publickey,
      presharedkeyfile: client.presharedkeyfile && absolute(client.presharedkeyfile),
      allowedips: client.allowedips ?? [],
      keepalive: client.keepalive,
    })),
    forwarding: raw.forwarding,
    masquerade: families[String(raw.masquerade)] ?? [],
    uplinks: raw.uplinks,
    allow: {
      containers: raw.allow.containers,
      clients: raw.allow.clients,
      outside: raw.allow.outside,
    },
    firewall: raw.firewall,
  };
}

function completedNetwork(
  name: string,
  raw: v.InferOutput<typeof networkSchema>,
  absolute: (file: string) => string,
): HubNetwork {
  const seedfiles = raw.seedfiles ?? (raw.seedfile === undefined ? undefined : [raw.seedfile]);
  const gateways = raw.gateway ?? [];
  const rangeIn = (text: string) => parseRange(text, raw.subnet);
  return {
    name,
    subnets: raw.subnet.map((subnet) => ({
      subnet,
      gateway: gateways.find((gateway) => covers(subnet, hostPrefix(gateway))) ?? hostsOf(subnet).first,
    })),
    ipv6: raw.ipv6,
    keys:
      seedfiles === undefined
        ? { publickeysfile: absolute(raw.publickeysfile ?? '') }
        : {
            seedfiles: seedfiles.map(absolute),
            additional:
              raw.additionalfile === undefined
                ? (raw.additional ?? decodeBase64(defaultAdditional) ?? new Uint8Array())
                : { file: absolute(raw.additionalfile) },
            derivation: raw.derivation,
          },
    presharedKey:
      raw.presharedkeyfile === undefined ? raw.presharedkey : { file: absolute(raw.presharedkeyfile) },
    peers: typeof raw.peers === 'number' ? raw.peers : raw.peers?.map(rangeIn),
    except: raw.except?.map(rangeIn) ?? [],
    keepalive: raw.keepalive,
  };
}

interface Mistake {
  readonly keys: readonly (string | number)[];
  readonly message: string;
}

/** What no single setting shows. */
function contradictions({ mtu, networks, clients }: HubConfig): Mistake[] {
  const subnets = networks.flatMap((network) =>
    prefixesOf(network).map((prefix) => ({ name: network.name, prefix })),
  );
  const overlaps = subnets.flatMap(({ name, prefix }, index) =>
    subnets
      .slice(0, index)
      .filter((other) => covers(prefix, other.prefix) || covers(other.prefix, prefix))
      .map((other) => ({
        keys: ['networks', name],
        message: `${formatPrefix(prefix)} overlaps ${formatPrefix(other.prefix)} of network ${other.name}`,
      })),
  );
  const gateways = networks.flatMap(({ name, subnets }) =>
    subnets
      .filter(({ subnet, gateway }) => !isHostOf(subnet, gateway))
      .map(({ subnet, gateway }) => ({
        keys: ['networks', name, 'gateway'],
        message: `${gateway.toString()} is no host’s address of ${formatPrefix(subnet)}`,
      })),
  );
  const hostless = clients.flatMap(({ name, addresses }) =>
    addresses.flatMap((address) => {
      const own = networks
        .flatMap(({ subnets }) => subnets)
        .find(({ subnet }) => covers(subnet, hostPrefix(address)));
      const message = `${address.toString()} is no host’s address of ${own && formatPrefix(own.subnet)}`;
      return own === undefined || isHostOf(own.subnet, address)
        ? []
        : [{ keys: ['clients', name, 'address'], message }];
    }),
  );
  const elsewhere = networks.flatMap(({ name, subnets, peers, except }) => {
    const isOutside = ({ first, last }: AddressRange) =>
      !subnets.some(({ subnet }) => [first, last].every((end) => covers(subnet, hostPrefix(end))));
    return Object.entries({ peers: Array.isArray(peers) ? peers : [], except }).flatMap(([setting, ranges]) =>
      (ranges as readonly AddressRange[]).filter(isOutside).map(({ first }) => ({
        keys: ['networks', name, setting],
        message: `${first.toString()} is not in the network’s subnet, or not all of the range`,
      })),
    );
  });
  // So many of each subnet: the largest can have them all, or it is a slip.
  const tooMany = networks.flatMap(({ name, subnets, peers }) => {
    const rooms = subnets.map(({ subnet }) => countOf(hostsOf(subnet)) - 1n);
    return typeof peers !== 'number' || rooms.some((room) => room >= peers)
      ? []
      : [
          {
            keys: ['networks', name, 'peers'],
            message: `expected at most ${rooms.reduce((a, b) => (a > b ? a : b), 0n)}, the addresses that the subnet has for peers, got ${peers}`,
          },
        ];
  });
  const nameOfKey = new Map<string, string>();
  const sharedKeys = clients.flatMap(({ name, publickey = '' }) => {
    const other = nameOfKey.get(publickey);
    nameOfKey.set(publickey, name);
    return publickey === '' || other === undefined
      ? []
      : [{ keys: ['clients', name, 'publickey'], message: `is also client ${other}’s: each needs its own` }];
  });
  const owners = new Map<string, string>(
    networks.flatMap(({ name, subnets, ipv6 }) =>
      subnets
        .map(({ gateway }) => hostPrefix(gateway))
        .flatMap((own) => [own, ...ipv6Counterparts(ipv6, own)])
        .map((own) => [formatPrefix(own), `the hub itself in network ${name}`] as const),
    ),
  );
  // WireGuard gives a prefix to one peer alone: with two, the traffic would go now to the one, now to the other.
  const doubles = clients.flatMap(({ name, addresses, allowedips }) => {
    const claim = (setting: string, prefixes: readonly Prefix[]) =>
      prefixes.flatMap((prefix) => {
        const owner = owners.get(formatPrefix(prefix));
        owners.set(formatPrefix(prefix), `client ${name}`);
        return owner === undefined || owner === `client ${name}`
          ? []
          : [{ keys: ['clients', name, setting], message: `${shown(prefix)} belongs to ${owner}` }];
      });
    return [
      ...claim('address', clientPrefixes(networks, { addresses, allowedips: [] })),
      ...claim('allowedips', allowedips),
    ];
  });
  const misplaced = clients.flatMap(({ name, addresses, allowedips }) => {
    const own = new Set(clientPrefixes(networks, { addresses, allowedips: [] }).map(formatPrefix));
    return [
      ...addresses.flatMap((address) => {
        const network = networks.find(({ ipv6 }) => ipv6 !== undefined && covers(ipv6, hostPrefix(address)));
        const isImplied = addresses.some((ipv4) =>
          ipv6Counterparts(network?.ipv6, hostPrefix(ipv4)).some((prefix) =>
            sameAddress(prefix.address, address),
          ),
        );
        const message = `${address.toString()} goes with an IPv4 address of network ${network?.name}: write that one`;
        return network === undefined || isImplied ? [] : [{ keys: ['clients', name, 'address'], message }];
      }),
      ...allowedips
        .filter((prefix) => isHost(prefix) && !own.has(formatPrefix(prefix)))
        .flatMap((prefix) => {
          const network = networks.find((each) => prefixesOf(each).some((whole) => covers(whole, prefix)));
          const message = `${shown(prefix)} is an address of network ${network?.name}: write it under address`;
          return network === undefined ? [] : [{ keys: ['clients', name, 'allowedips'], message }];
        }),
    ];
  });
  const keyless = clients
    .filter(
      ({ publickey, addresses }) =>
        publickey === undefined && networkOf(networks, addresses[0])?.keys === undefined,
    )
    .map(({ name, addresses }) => ({
      keys: ['clients', name],
      message: `needs a publickey: ${addresses[0]?.toString()} is in no network that could derive one`,
    }));
  // The hub has addresses of its networks, and routes to what is its clients’.
  const smallMtu = smallMtuFault(mtu, [
    ...networks.flatMap(prefixesOf),
    ...clients.flatMap(({ addresses, allowedips }) => clientPrefixes(networks, { addresses, allowedips })),
  ]);
  return [
    ...(smallMtu === undefined ? [] : [{ keys: ['mtu'], message: smallMtu }]),
    ...overlaps,
    ...gateways,
    ...hostless,
    ...elsewhere,
    ...tooMany,
    ...sharedKeys,
    ...doubles,
    ...misplaced,
    ...keyless,
  ];
}

function isHost({ address, length }: Prefix): boolean {
  return length === bits(address);
}

function shown(prefix: Prefix): string {
  return isHost(prefix) ? prefix.address.toString() : formatPrefix(prefix);
}

/** The prefixes that the addresses of a network are in. */
export function prefixesOf({ subnets, ipv6 }: HubNetwork): Prefix[] {
  return [...subnets.map(({ subnet }) => subnet), ...(ipv6 === undefined ? [] : [ipv6])];
}

/** What goes to a client alone: its addresses, the IPv6 addresses that go with them, and what is behind it. */
export function clientPrefixes(
  networks: readonly HubNetwork[],
  { addresses, allowedips }: Pick<HubClient, 'addresses' | 'allowedips'>,
): Prefix[] {
  return [
    ...addresses.flatMap((address) => {
      const own = hostPrefix(address);
      return [own, ...ipv6Counterparts(networkOf(networks, address)?.ipv6, own)];
    }),
    ...allowedips,
  ];
}

/** The network that an address is in. */
export function networkOf(
  networks: readonly HubNetwork[],
  address: Address | undefined,
): HubNetwork | undefined {
  return networks.find(({ subnets }) =>
    subnets.some(({ subnet }) => address !== undefined && covers(subnet, hostPrefix(address))),
  );
}
