import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileFault } from '../file-fault.ts';
import { derivePresharedKey, type KeyScheme } from '../keys/derivation.ts';
import { readAdditionalFile, readPresharedKeyFile } from '../keys/key-files.ts';
import { keyPairsOf, workersFor } from '../keys/key-pairs.ts';
import { hostsOf, maxAddresses } from '../keys/ranges.ts';
import { readSeedFile } from '../keys/seed-file.ts';
import { ipv6Counterparts } from '../networks/ipv6.ts';
import {
  type Address,
  type AddressRange,
  addressesOf,
  countOf,
  covers,
  formatPrefix,
  hostPrefix,
  isWithin,
  sameAddress,
} from '../wireguard/address.ts';
import type { PresharedKey, PublicKey } from '../wireguard/key.ts';
import { clientPrefixes, type HubClient, type HubConfig, type HubNetwork, networkOf } from './config.ts';
import type { WantedKey, WantedPeer } from './peers.ts';
import { type ListedKey, parsePublicKeys } from './public-keys.ts';

/** The peers that a part of hub.yaml asks for, by their addresses. */
export interface Source {
  /** Of all that they come of: the same text, the same peers. Holds no secret. */
  readonly signature: string;
  readonly peers: ReadonlyMap<string, WantedPeer>;
  /** Has a peer of it more keys than one? */
  readonly isRotating: boolean;
}

function sourceOf(signature: string, peers: ReadonlyMap<string, WantedPeer>): Source {
  return { signature, peers, isRotating: [...peers.values()].some(({ keys }) => keys.length > 1) };
}

/** All peers of a hub. A client is at each of its addresses, in the place of a container that would have it. */
export interface Sources {
  readonly networks: ReadonlyMap<string, Source>;
  readonly clients: Source;
}

/** The peer at an address. */
export function peerAt({ networks, clients }: Sources, address: string): WantedPeer | undefined {
  const client = clients.peers.get(address);
  if (client !== undefined) {
    return client;
  }
  for (const { peers } of networks.values()) {
    const peer = peers.get(address);
    if (peer !== undefined) {
      return peer;
    }
  }
  return undefined;
}

export function* allPeers({ networks, clients }: Sources): Generator<WantedPeer> {
  for (const { peers } of networks.values()) {
    for (const [address, peer] of peers) {
      if (!clients.peers.has(address)) {
        yield peer;
      }
    }
  }
  yield* new Set(clients.peers.values());
}

/** The addresses at which the peers may differ: those of the parts that do, so that one more costs no look at all. */
export function* touchedAddresses(before: Sources, after: Sources): Generator<string> {
  const names = new Set([...before.networks.keys(), ...after.networks.keys()]);
  const pairs = [...names].map((name) => [before.networks.get(name), after.networks.get(name)] as const);
  for (const [old, current] of [...pairs, [before.clients, after.clients] as const]) {
    if (old?.signature !== current?.signature) {
      yield* new Set([...(old?.peers.keys() ?? []), ...(current?.peers.keys() ?? [])]);
    }
  }
}

/**
 * Reads what hub.yaml names and derives the keys; parts that are as they were are taken over.
 * @throws Error that names the file and what was expected, never what was in it
 */
export async function readSources(config: HubConfig, before?: Sources): Promise<Sources> {
  const schemes = new Map<string, NetworkSecrets>();
  const networks = new Map<string, Source>();
  for (const network of config.networks) {
    const secrets = await readNetworkSecrets(network);
    schemes.set(network.name, secrets);
    networks.set(network.name, await networkSource(network, secrets, before?.networks.get(network.name)));
  }
  return { networks, clients: await clientSource(config, schemes, networks, before?.clients) };
}

/**
 * WireGuard tells its peers apart by their keys: of two peers with one key, the last alone would have its addresses. And
 * it takes no peer with its own key.
 * @throws Error that says whose key it is
 */
export function refuseSharedKeys(
  { clients }: HubConfig,
  sources: Sources,
  hubKey: PublicKey | undefined,
): void {
  const names = new Map(clients.map(({ name, publickey }) => [publickey, name]));
  const holders = new Map<PublicKey, WantedPeer>();
  for (const peer of allPeers(sources)) {
    for (const { publicKey } of peer.keys) {
      const name = names.get(publicKey);
      if (publicKey === hubKey) {
        const who = name === undefined ? `the peer at ${firstAddress(peer)}` : `client ${name}`;
        throw new Error(`${who} has the hub’s own public key: expected the peer’s`);
      }
      if (name !== undefined) {
        const other = holders.get(publicKey) ?? peer;
        if (other !== peer) {
          throw new Error(
            `client ${name}: ${firstAddress(other)} and ${firstAddress(peer)} both have its publickey: each needs its own`,
          );
        }
        holders.set(publicKey, peer);
      }
    }
  }
}

function firstAddress({ allowedIps: [prefix] }: WantedPeer): string {
  return prefix?.address.toString() ?? '';
}

interface NetworkSecrets {
  /** The newest first. Empty if the keys come of a file. */
  readonly schemes: readonly KeyScheme[];
  /** The bytes of the file. */
  readonly publicKeys: Uint8Array | undefined;
  readonly presharedKey: PresharedKey | undefined;
}

async function readNetworkSecrets({ keys, presharedKey }: HubNetwork): Promise<NetworkSecrets> {
  const ofNetwork =
    typeof presharedKey === 'object' ? await readPresharedKeyFile(presharedKey.file) : undefined;
  if ('publickeysfile' in keys) {
    const publicKeys = await readPublicKeysFile(keys.publickeysfile);
    return { schemes: [], publicKeys, presharedKey: ofNetwork };
  }
  const { additional, derivation } = keys;
  const seeds = await Promise.all(keys.seedfiles.map((file) => readSeedFile(file)));
  const additionals =
    additional instanceof Uint8Array ? [additional] : await readAdditionalFile(additional.file);
  // One of the two is rotated at a time; with both, each combination may be some host's.
  const schemes = seeds.flatMap((seed) =>
    additionals.map((value) => ({ seed, additional: value, derivation })),
  );
  return {
    // A new seed that is still a copy of the old one is no other key.
    schemes: schemes.filter((scheme, index) => schemes.findIndex((each) => isSame(each, scheme)) === index),
    publicKeys: undefined,
    presharedKey: ofNetwork,
  };
}

function isSame(a: KeyScheme, b: KeyScheme): boolean {
  return (
    Buffer.compare(a.seed.reveal(), b.seed.reveal()) === 0 && Buffer.compare(a.additional, b.additional) === 0
  );
}

async function networkSource(
  network: HubNetwork,
  secrets: NetworkSecrets,
  before: Source | undefined,
): Promise<Source> {
  const signature = signatureOf(network, secrets);
  if (before?.signature === signature) {
    return before;
  }
  const { keepalive } = network;
  const peers = new Map<string, WantedPeer & { readonly keys: WantedKey[] }>();
  const add = (name: string, address: Address, key: WantedKey) => {
    const known = peers.get(name);
    if (known === undefined) {
      const own = hostPrefix(address);
      const allowedIps = [own, ...ipv6Counterparts(network.ipv6, own)];
      peers.set(name, { allowedIps, keys: [key], ...(keepalive !== undefined && { keepalive }) });
    } else {
      known.keys.push(key);
    }
  };
  if ('publickeysfile' in network.keys) {
    const isAsked = askedOf(network);
    for (const { name, address, key } of listedKeys(network, secrets)) {
      if (isContainers(network, address) && isAsked(address)) {
        add(name, address, key);
      }
    }
    return sourceOf(signature, peers);
  }
  const addresses = [...containersOf(network)];
  for (const scheme of secrets.schemes) {
    for await (const { address, publicKey } of keyPairsOf(scheme, addresses, workersFor(addresses.length))) {
      const presharedKey = presharedKeyOf(network, scheme, address) ?? secrets.presharedKey;
      add(address.toString(), address, withPresharedKey({ publicKey }, presharedKey));
    }
  }
  return sourceOf(signature, peers);
}

async function clientSource(
  { clients, networks: configured }: HubConfig,
  secrets: ReadonlyMap<string, NetworkSecrets>,
  networks: ReadonlyMap<string, Source>,
  before: Source | undefined,
): Promise<Source> {
  const peers = new Map<string, WantedPeer>();
  const hash = createHash('sha256');
  for (const client of clients) {
    const network = networkOf(configured, client.addresses[0]);
    const { keepalive = network?.keepalive } = client;
    const own =
      client.presharedkeyfile === undefined ? undefined : await readPresharedKeyFile(client.presharedkeyfile);
    const keys = await clientKeys(client, network, network && secrets.get(network.name), networks, own);
    const peer: WantedPeer = {
      allowedIps: clientPrefixes(configured, client),
      keys,
      ...(keepalive === undefined ? {} : { keepalive }),
    };
    for (const address of client.addresses) {
      peers.set(address.toString(), peer);
    }
    hash.update(JSON.stringify([peer.allowedIps.map(formatPrefix), keepalive, keys.map(fingerprint)]));
  }
  const signature = hash.digest('base64');
  return before?.signature === signature ? before : sourceOf(signature, peers);
}

async function clientKeys(
  { name, addresses, publickey }: HubClient,
  network: HubNetwork | undefined,
  secrets: NetworkSecrets | undefined,
  networks: ReadonlyMap<string, Source>,
  own: PresharedKey | undefined,
): Promise<readonly WantedKey[]> {
  const [address] = addresses;
  if (publickey !== undefined || network === undefined || address === undefined) {
    return publickey === undefined ? [] : [withPresharedKey({ publicKey: publickey }, own)];
  }
  const keys: WantedKey[] = [];
  for (const scheme of secrets?.schemes ?? []) {
    for await (const { publicKey } of keyPairsOf(scheme, [address], 0)) {
      const shared = own ?? presharedKeyOf(network, scheme, address) ?? secrets?.presharedKey;
      keys.push(withPresharedKey({ publicKey }, shared));
    }
  }
  if (keys.length > 0) {
    return keys;
  }
  // The file may also list a client at an address that gets no peer otherwise.
  const listed =
    networks.get(network.name)?.peers.get(address.toString())?.keys ??
    [...listedKeys(network, secrets)]
      .filter((each) => sameAddress(each.address, address))
      .map(({ key }) => key);
  if (listed.length === 0) {
    throw new Error(`client ${name}: ${address.toString()} is not in the file of public keys of its network`);
  }
  return own === undefined ? listed : listed.map((key) => ({ ...key, presharedKey: own }));
}

/** What a network's file of public keys lists, with the network's preshared key where a line has none. */
function* listedKeys({ keys }: HubNetwork, secrets: NetworkSecrets | undefined): Generator<ListedKey> {
  if (secrets?.publicKeys !== undefined && 'publickeysfile' in keys) {
    const text = new TextDecoder().decode(secrets.publicKeys);
    for (const listed of parsePublicKeys(text, keys.publickeysfile)) {
      yield { ...listed, key: withPresharedKey(listed.key, secrets.presharedKey) };
    }
  }
}

function withPresharedKey(key: WantedKey, presharedKey: PresharedKey | undefined): WantedKey {
  return key.presharedKey !== undefined || presharedKey === undefined ? key : { ...key, presharedKey };
}

function presharedKeyOf(network: HubNetwork, scheme: KeyScheme, address: Address): PresharedKey | undefined {
  return network.presharedKey === 'derived' ? derivePresharedKey(scheme, address) : undefined;
}

/** The addresses that containers of a network may have. */
export function* containersOf(network: HubNetwork): Generator<Address> {
  const ranges = Array.isArray(network.peers)
    ? (network.peers as readonly AddressRange[])
    : network.subnets.map(({ subnet }) => hostsOf(subnet));
  const most = typeof network.peers === 'number' ? network.peers : Number.POSITIVE_INFINITY;
  for (const range of ranges) {
    if (most === Number.POSITIVE_INFINITY && countOf(range) > maxAddresses) {
      throw new Error(
        `network ${network.name}: expected at most ${maxAddresses} addresses, got ${countOf(range)}; say which by \`peers\``,
      );
    }
    let left = most;
    for (const address of addressesOf(range)) {
      if (left === 0) {
        break;
      }
      if (isContainers(network, address)) {
        left -= 1;
        yield address;
      }
    }
  }
}

/** Which addresses `peers` asks for. */
function askedOf(network: HubNetwork): (address: Address) => boolean {
  const { peers } = network;
  if (typeof peers === 'number') {
    const asked = new Set(Array.from(containersOf(network), String));
    return (address) => asked.has(address.toString());
  }
  return (address) => peers?.some((range) => isWithin(range, address)) ?? true;
}

function isContainers({ name, subnets, except }: HubNetwork, address: Address): boolean {
  const own = subnets.find(({ subnet }) => covers(subnet, hostPrefix(address)));
  if (own === undefined) {
    throw new Error(`network ${name}: ${address.toString()} is in none of its subnets`);
  }
  return !sameAddress(own.gateway, address) && !except.some((range) => isWithin(range, address));
}

function signatureOf(network: HubNetwork, { schemes, publicKeys, presharedKey }: NetworkSecrets): string {
  const hash = createHash('sha256');
  hash.update(
    JSON.stringify([
      network.subnets.map(({ subnet, gateway }) => [formatPrefix(subnet), gateway.toString()]),
    ]),
  );
  const ranges = (list: readonly AddressRange[]) =>
    list.map(({ first, last }) => [first.toString(), last.toString()]);
  const peers = Array.isArray(network.peers)
    ? ranges(network.peers as readonly AddressRange[])
    : network.peers;
  hash.update(
    JSON.stringify([
      peers,
      ranges(network.except),
      network.keepalive,
      network.ipv6 && formatPrefix(network.ipv6),
    ]),
  );
  hash.update(JSON.stringify([network.presharedKey === 'derived', publicKeys?.length]));
  hash.update(publicKeys ?? '');
  for (const { seed, additional, derivation } of schemes) {
    hash.update(JSON.stringify([seed.reveal().length, additional.length, derivation]));
    hash.update(seed.reveal()).update(additional);
  }
  hash.update(presharedKey?.reveal() ?? '');
  return hash.digest('base64');
}

function fingerprint({ publicKey, presharedKey }: WantedKey): string {
  const shared =
    presharedKey === undefined ? '' : createHash('sha256').update(presharedKey.reveal()).digest('base64');
  return `${publicKey} ${shared}`;
}

async function readPublicKeysFile(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new Error(`file of public keys ${file}: ${fileFault(error)}`);
  }
}

/** The files that hub.yaml names: when one of them changes, so may the peers. */
export function filesOf({ networks, clients }: HubConfig): string[] {
  return [
    ...networks.flatMap(({ keys, presharedKey }) => [
      ...('publickeysfile' in keys ? [keys.publickeysfile] : keys.seedfiles),
      ...('additional' in keys && 'file' in keys.additional ? [keys.additional.file] : []),
      ...(typeof presharedKey === 'object' ? [presharedKey.file] : []),
    ]),
    ...clients.flatMap(({ presharedkeyfile }) => presharedkeyfile ?? []),
  ];
}
