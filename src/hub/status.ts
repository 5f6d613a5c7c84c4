import { type Address, compareAddresses, plus, sameAddress } from '../wireguard/address.ts';
import type { PublicKey } from '../wireguard/key.ts';
import { byPublicKey, type LinkStatus, type PeerStatus, rejectAfterMs } from '../wireguard/status.ts';
import { type HubConfig, networkOf } from './config.ts';
import { holderOf, type MovedKeys, type PresentPeers, type WantedPeer } from './peers.ts';
import type { Sources } from './sources.ts';

/** How a hub and its peers fare. */
export interface HubStatus {
  readonly interface: string;
  readonly publicKey: PublicKey | undefined;
  readonly port: number;
  readonly networks: readonly NetworkStatus[];
  readonly clients: readonly ClientStatus[];
  /** On the link, and in no file. */
  readonly unknownPeers: number;
}

export interface NetworkStatus {
  readonly name: string;
  readonly peers: number;
  /** Have shaken hands in the last 180 seconds. */
  readonly active: number;
  /** Peers of which the link lacks a key: while one is rotated, that includes the newer ones. */
  readonly missing: number;
  /** Undefined unless a key is being rotated. */
  readonly rotation: RotationStatus | undefined;
}

export interface RotationStatus {
  /** Addresses that have moved to the newest key, clients' included. */
  readonly moved: number;
  /** Addresses with an older key that is in use. While there are any, the old seed or additional has to stay. */
  readonly activeOnOldKeys: number;
  /** Addresses with an older key that nobody uses, in ranges. */
  readonly unused: readonly string[];
  /** The names of clients with an older key, in use or not: nothing but a new file gives them the newer one. */
  readonly clientsOnOldKeys: readonly string[];
}

export interface ClientStatus {
  readonly name: string;
  readonly address: string;
  readonly lastHandshake: Date | undefined;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

export function hubStatus(
  { interface: name, clients, networks }: HubConfig,
  sources: Sources,
  link: LinkStatus,
  moved: MovedKeys,
  now: number,
): HubStatus {
  const present = byPublicKey(link.peers);
  const known = new Set<PublicKey>();
  const remember = ({ keys }: WantedPeer) => {
    for (const { publicKey } of keys) {
      known.add(publicKey);
    }
  };
  for (const { peers } of [...sources.networks.values(), sources.clients]) {
    for (const peer of peers.values()) {
      remember(peer);
    }
  }
  return {
    interface: name,
    publicKey: link.publicKey,
    port: link.listenPort,
    networks: networks.map((network) =>
      networkStatus(
        network.name,
        [...(sources.networks.get(network.name)?.peers ?? [])].flatMap(([address, peer]) =>
          sources.clients.peers.has(address) ? [] : [peer],
        ),
        clients.flatMap(({ name, addresses: [address] }) => {
          const peer = sources.clients.peers.get(address?.toString() ?? '');
          return peer === undefined || networkOf(networks, address) !== network ? [] : [{ name, peer }];
        }),
        present,
        moved,
        now,
      ),
    ),
    clients: clients.map((client) => {
      const address = client.addresses[0]?.toString() ?? '';
      const peer = sources.clients.peers.get(address);
      const status = peer && present.get(holderKey(peer, present, moved));
      return {
        name: client.name,
        address,
        lastHandshake: status?.lastHandshake,
        receivedBytes: status?.receivedBytes ?? 0,
        sentBytes: status?.sentBytes ?? 0,
      };
    }),
    unknownPeers: link.peers.filter(({ publicKey }) => !known.has(publicKey)).length,
  };
}

function networkStatus(
  name: string,
  containers: readonly WantedPeer[],
  clients: readonly { readonly name: string; readonly peer: WantedPeer }[],
  present: PresentPeers,
  moved: MovedKeys,
  now: number,
): NetworkStatus {
  let [active, missing, movedCount, activeOnOldKeys] = [0, 0, 0, 0];
  const unused: Address[] = [];
  const clientsOnOldKeys: string[] = [];
  let isRotating = false;
  const peers = [...containers.map((peer) => ({ name: undefined, peer })), ...clients];
  for (const { name: client, peer } of peers) {
    const holder = holderOf(peer.keys, present, moved);
    const isActive = isActiveAt(present.get(peer.keys[holder]?.publicKey as PublicKey), now);
    const wanted = peer.keys.slice(0, holder + 1);
    missing += Number(!wanted.every(({ publicKey }) => present.has(publicKey)));
    active += Number(isActive && client === undefined);
    if (peer.keys.length > 1) {
      isRotating = true;
      const address = peer.allowedIps[0]?.address;
      if (holder === 0) {
        movedCount += 1;
      } else if (isActive) {
        activeOnOldKeys += 1;
      } else if (address !== undefined) {
        unused.push(address);
      }
      if (holder > 0 && client !== undefined) {
        clientsOnOldKeys.push(client);
      }
    }
  }
  const rotation = isRotating
    ? { moved: movedCount, activeOnOldKeys, unused: rangesOf(unused), clientsOnOldKeys }
    : undefined;
  return { name, peers: containers.length, active, missing, rotation };
}

function holderKey({ keys }: WantedPeer, present: PresentPeers, moved: MovedKeys): PublicKey {
  return keys[holderOf(keys, present, moved)]?.publicKey as PublicKey;
}

export function isActiveAt(peer: PeerStatus | undefined, now: number): boolean {
  return peer?.lastHandshake !== undefined && now - peer.lastHandshake.getTime() < rejectAfterMs;
}

/** Addresses as ranges: `192.168.5.2-192.168.5.9`. */
export function rangesOf(addresses: readonly Address[]): string[] {
  const families = [4, 16].map((length) =>
    addresses.filter((address) => address.toByteArray().length === length).sort(compareAddresses),
  );
  const ranges: { first: Address; last: Address }[] = [];
  for (const address of families.flat()) {
    const range = ranges.at(-1);
    if (
      range !== undefined &&
      range.last.kind() === address.kind() &&
      sameAddress(plus(range.last, 1n), address)
    ) {
      range.last = address;
    } else {
      ranges.push({ first: address, last: address });
    }
  }
  return ranges.map(({ first, last }) =>
    first === last ? first.toString() : `${first.toString()}-${last.toString()}`,
  );
}
