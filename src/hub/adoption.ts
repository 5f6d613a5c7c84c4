import { covers, formatPrefix, type Prefix, sameAddress } from '../wireguard/address.ts';
import type { PresharedKey, PublicKey } from '../wireguard/key.ts';
import { byPublicKey, type PeerStatus } from '../wireguard/status.ts';
import type { HubConfig } from './config.ts';
import { holderOf } from './peers.ts';
import { hubAddresses, hubRoutes } from './rules.ts';
import { allPeers, type Sources } from './sources.ts';

/** A link as somebody else has set it up. */
export interface FoundLink {
  readonly peers: readonly PeerStatus[];
  /** By public keys, in base64; a peer without one is not in it. Undefined if nobody here could tell. */
  readonly presharedKeys: ReadonlyMap<string, string> | undefined;
  readonly addresses: readonly Prefix[];
  readonly routes: readonly Prefix[];
}

/** What a link has and hub.yaml does not say, so that a hub would take it away. */
export interface AdoptionLoss {
  readonly unknownPeers: readonly PeerStatus[];
  /** Peers whose next handshake would fail. */
  readonly otherPresharedKeys: readonly PeerStatus[];
  /** Prefixes of peers that are known, addresses and routes, each as a person reads it. */
  readonly rest: readonly string[];
}

export function adoptionLoss(config: HubConfig, sources: Sources, link: FoundLink): AdoptionLoss {
  const present = byPublicKey(link.peers);
  const presharedKeys = new Map<PublicKey, PresharedKey | undefined>();
  const lostPrefixes: string[] = [];
  for (const { keys, allowedIps } of allPeers(sources)) {
    for (const { publicKey, presharedKey } of keys) {
      presharedKeys.set(publicKey, presharedKey);
    }
    const holder = present.get(keys[holderOf(keys, present, new Set())]?.publicKey as PublicKey);
    const lost = holder?.allowedIps.filter((prefix) => !allowedIps.some((own) => covers(own, prefix))) ?? [];
    if (lost.length > 0) {
      lostPrefixes.push(`${lost.map(formatPrefix).join(', ')} of peer ${holder?.publicKey}`);
    }
  }
  const isOther = ({ publicKey, hasPresharedKey }: PeerStatus) => {
    const wanted = presharedKeys.get(publicKey);
    const seen = link.presharedKeys?.get(publicKey);
    return (
      presharedKeys.has(publicKey) &&
      (hasPresharedKey !== (wanted !== undefined) || (seen !== undefined && seen !== wanted?.toBase64()))
    );
  };
  const own = hubAddresses(config);
  const routed = [...own, ...hubRoutes(config)];
  return {
    unknownPeers: link.peers.filter(({ publicKey }) => !presharedKeys.has(publicKey)),
    otherPresharedKeys: link.peers.filter(isOther),
    rest: [
      ...lostPrefixes,
      ...link.addresses
        .filter(({ address }) => !own.some((other) => sameAddress(other.address, address)))
        .map((address) => `address ${formatPrefix(address)}`),
      ...link.routes
        .filter((route) => !routed.some((prefix) => covers(prefix, route)))
        .map((route) => `the route to ${formatPrefix(route)}`),
    ],
  };
}
