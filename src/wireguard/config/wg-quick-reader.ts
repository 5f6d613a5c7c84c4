import { formatPrefix, hostPrefix, masked, type Prefix, parseAddress, parsePrefix } from '../address.ts';
import { firewallMarkExpectation, parseFirewallMark } from '../firewall-mark.ts';
import { type HostPort, parseHostPort } from '../host-port.ts';
import {
  keyExpectation,
  type PresharedKey,
  type PrivateKey,
  type PublicKey,
  parsePresharedKey,
  parsePrivateKey,
  parsePublicKey,
} from '../key.ts';
import { type Entry, entryName, type Section, sectionsOf } from './sections.ts';

/** A file for wg-quick(8), read. Absent means that the file does not say. */
export interface WgQuickFile {
  readonly privateKey?: PrivateKey;
  /** With their prefix lengths, host bits kept. */
  readonly addresses: readonly Prefix[];
  readonly dns: readonly string[];
  readonly searchDomains: readonly string[];
  /** Bytes. */
  readonly mtu?: number;
  /** 0 is any. */
  readonly listenPort?: number;
  /** 0 is none. */
  readonly fwmark?: number;
  readonly peers: readonly WgQuickPeer[];
  /** Keys in the file that only wg-quick itself can obey, as it spells them, each once. */
  readonly ignored: readonly string[];
}

export interface WgQuickPeer {
  readonly publicKey: PublicKey;
  readonly presharedKey?: PresharedKey;
  readonly endpoint?: HostPort;
  /** Seconds; 0 is off. */
  readonly persistentKeepaliveInterval?: number;
  /** Masked. */
  readonly allowedIps: readonly Prefix[];
  /** The line of its [Peer]. */
  readonly line: number;
}

/** What wg-quick does to the host: programs, routes, files. The container's link is no affair of the file's. */
const neverObeyed = ['PreUp', 'PostUp', 'PreDown', 'PostDown', 'SaveConfig', 'Table'];

/** A peer that uses them does not answer WireGuard’s own handshake: without them the tunnel would stay silent. */
const amnezia = /^(?:j(?:c|min|max|[1-3])|s[1-4]|h[1-4]|i[1-5]|itime)$/;

/**
 * Reads the text of a file as wg-quick(8) and wg(8) do: comments, white space and line ends of any kind, keys and
 * sections in any case, several values in a line and several lines for a key. What they would take in silence and
 * nobody means (a second [Interface], a peer or a prefix twice) is refused.
 * @throws Error that names the line, its key and what was expected, never what was there
 */
export function readWgQuick(text: string): WgQuickFile {
  const sections = sectionsOf(text);
  const interfaces = sections.filter(({ name }) => name === 'interface');
  const [first, second] = interfaces;
  if (second !== undefined) {
    throw new Error(
      `line ${second.line}: expected only one [Interface], but line ${first?.line} already has one`,
    );
  }
  const peers = sections.filter(({ name }) => name === 'peer').map(peerOf);
  refuseTwice(peers);
  return { ...interfaceOf(first?.entries ?? []), peers };
}

function interfaceOf(entries: readonly Entry[]): Omit<WgQuickFile, 'peers'> {
  const single = new Map<string, Entry>();
  const addresses: Prefix[] = [];
  const servers: string[] = [];
  const ignored = new Set<string>();
  for (const entry of entries) {
    const { name, value } = entry;
    const onlyWgQuick = neverObeyed.find((key) => key.toLowerCase() === name);
    if (onlyWgQuick !== undefined) {
      ignored.add(onlyWgQuick);
    } else if (name === 'address') {
      addresses.push(...wordsOf(value).map((word) => addressOf(entry, word)));
    } else if (name === 'dns') {
      servers.push(...wordsOf(value).map((word) => serverOf(entry, word)));
    } else if (['privatekey', 'listenport', 'fwmark', 'mtu'].includes(name)) {
      once(single, entry);
    } else {
      throw unknown(entry, '[Interface]');
    }
  }
  const privateKey = single.get('privatekey');
  const mtu = single.get('mtu');
  const listenPort = single.get('listenport');
  const fwmark = single.get('fwmark');
  return {
    addresses,
    dns: servers.filter((server) => parseAddress(server) !== undefined),
    searchDomains: servers.filter((server) => parseAddress(server) === undefined),
    ignored: [...ignored],
    ...(privateKey && {
      privateKey: parsedValue(privateKey, parsePrivateKey, (text) => keyExpectation('private', text)),
    }),
    ...(mtu && { mtu: parsedValue(mtu, integer(576, 65535), 'an integer from 576 to 65535 (bytes)') }),
    ...(listenPort && { listenPort: parsedValue(listenPort, integer(0, 65535), 'a port from 0 to 65535') }),
    ...(fwmark && {
      fwmark: parsedValue(fwmark, parseFirewallMark, firewallMarkExpectation),
    }),
  };
}

function peerOf({ line, entries }: Section): WgQuickPeer {
  const single = new Map<string, Entry>();
  const allowedIps: Prefix[] = [];
  for (const entry of entries) {
    const { name } = entry;
    if (name === 'allowedips') {
      allowedIps.push(...allowedIpsOf(entry));
    } else if (['publickey', 'presharedkey', 'endpoint', 'persistentkeepalive'].includes(name)) {
      once(single, entry);
    } else {
      throw unknown(entry, '[Peer]');
    }
  }
  const publicKey = single.get('publickey');
  if (publicKey === undefined) {
    throw new Error(`line ${line}: this [Peer] has no PublicKey`);
  }
  const presharedKey = single.get('presharedkey');
  const endpoint = single.get('endpoint');
  const keepalive = single.get('persistentkeepalive');
  return {
    line,
    publicKey: parsedValue(publicKey, parsePublicKey, (text) => keyExpectation('public', text)),
    ...(presharedKey && {
      presharedKey: parsedValue(presharedKey, parsePresharedKey, (text) => keyExpectation('preshared', text)),
    }),
    ...(endpoint && {
      endpoint: parsedValue(
        endpoint,
        endpointOf,
        'host:port, such as vpn.example.org:51820, 192.0.2.1:51820 or [2001:db8::1]:51820',
      ),
    }),
    ...(keepalive && {
      persistentKeepaliveInterval: parsedValue(keepalive, keepaliveOf, '`off` or seconds from 0 to 65535'),
    }),
    allowedIps,
  };
}

/** WireGuard gives a prefix to the last peer that has it, so the others would lose theirs in silence. */
function refuseTwice(peers: readonly WgQuickPeer[]): void {
  const lineOfKey = new Map<PublicKey, number>();
  const holders = new Map<string, WgQuickPeer>();
  for (const peer of peers) {
    const earlier = lineOfKey.get(peer.publicKey);
    if (earlier !== undefined) {
      throw new Error(`line ${peer.line}: this [Peer] has the public key of the one in line ${earlier}`);
    }
    lineOfKey.set(peer.publicKey, peer.line);
    for (const prefix of peer.allowedIps) {
      const text = formatPrefix(prefix);
      const holder = holders.get(text) ?? peer;
      if (holder !== peer) {
        throw new Error(
          `line ${peer.line}: this [Peer] has ${text} among its AllowedIPs, as the one in line ${holder.line} ` +
            'does; expected each prefix in only one [Peer]',
        );
      }
      holders.set(text, peer);
    }
  }
}

function once(single: Map<string, Entry>, entry: Entry): void {
  const earlier = single.get(entry.name);
  if (earlier !== undefined) {
    throw new Error(`line ${entry.line}: ${spellingOf(entry)} is already set in line ${earlier.line}`);
  }
  single.set(entry.name, entry);
}

function unknown(entry: Entry, section: string): Error {
  const name = entryName(entry);
  if (name !== undefined && amnezia.test(entry.name)) {
    return new Error(
      `line ${entry.line}: ${name} is a setting of AmneziaWG, which is another protocol; expected only ` +
        'WireGuard’s settings',
    );
  }
  return new Error(
    name === undefined
      ? `line ${entry.line}: expected KEY = VALUE with a setting that WireGuard knows`
      : `line ${entry.line}: ${name} is not a setting of WireGuard in ${section}`,
  );
}

function parsedValue<Value>(
  entry: Entry,
  parse: (text: string) => Value | undefined,
  expectation: string | ((text: string) => string),
): Value {
  // As wg(8) does, which drops white space wherever it is.
  const text = entry.value.replaceAll(/\s/g, '');
  const value = parse(text);
  if (value === undefined) {
    const expected = typeof expectation === 'string' ? `expected ${expectation}` : expectation(text);
    throw new Error(`line ${entry.line}: ${spellingOf(entry)}: ${expected}`);
  }
  return value;
}

function addressOf(entry: Entry, word: string): Prefix {
  const prefix = parsePrefix(word);
  if (prefix === undefined) {
    const address = parseAddress(word);
    throw new Error(
      `line ${entry.line}: Address: expected ` +
        (address === undefined
          ? 'addresses with their prefix lengths, such as 10.0.0.2/32'
          : `the prefix length too, ${formatPrefix(hostPrefix(address))} for this address alone`),
    );
  }
  return prefix;
}

/** What looks like an address is one; all else is a search domain, as in wg-quick(8). */
function serverOf(entry: Entry, word: string): string {
  if (/^[0-9.]+$|:/.test(word) && parseAddress(word) === undefined) {
    throw new Error(
      `line ${entry.line}: DNS: expected addresses of servers and search domains, such as 10.0.0.1, example.org`,
    );
  }
  return word;
}

function allowedIpsOf(entry: Entry): Prefix[] {
  const words = entry.value.replaceAll(/\s/g, '').split(',');
  return words.map((word) => {
    const address = word.includes('/') ? undefined : parseAddress(word);
    const prefix = address === undefined ? parsePrefix(word) : hostPrefix(address);
    if (prefix === undefined) {
      throw new Error(
        `line ${entry.line}: AllowedIPs: expected prefixes separated by commas, such as 0.0.0.0/0, ::/0`,
      );
    }
    return masked(prefix);
  });
}

/** Without brackets wg(8) takes what is behind the last colon for the port, of an IPv6 address too. */
function endpointOf(text: string): HostPort | undefined {
  const [, ipv6, port] = /^([^[\]]*:[^[\]]*):([^:]*)$/.exec(text) ?? [];
  return parseHostPort(ipv6 === undefined ? text : `[${ipv6}]:${port}`);
}

function keepaliveOf(text: string): number | undefined {
  return text.toLowerCase() === 'off' ? 0 : integer(0, 65535)(text);
}

function integer(minimum: number, maximum: number): (text: string) => number | undefined {
  return (text) => {
    const number = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
    return number >= minimum && number <= maximum ? number : undefined;
  };
}

/** The items of an Address or a DNS, as wg-quick(8) tells them apart. */
export function wordsOf(value: string): string[] {
  return value.split(/[\s,]+/).filter((word) => word !== '');
}

const spellings = [
  'PrivateKey',
  'ListenPort',
  'FwMark',
  'MTU',
  'PublicKey',
  'PresharedKey',
  'Endpoint',
  'PersistentKeepalive',
];

function spellingOf({ name }: Entry): string {
  return spellings.find((spelling) => spelling.toLowerCase() === name) ?? name;
}
