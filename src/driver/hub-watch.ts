import type { Links } from '../links/links.ts';
import type { UplinksTo } from '../links/uplink.ts';
import type { Log } from '../log.ts';
import type { TunnelPeer } from '../networks/tunnel.ts';
import type { Address } from '../wireguard/address.ts';
import type { PeerChange } from '../wireguard/change.ts';
import { formatEndpoint } from '../wireguard/device.ts';
import { handshakeAgeMs } from '../wireguard/handshake-age.ts';
import { byPublicKey, type LinkStatus, type PeerStatus } from '../wireguard/status.ts';
import type { EndpointState } from './endpoint-states.ts';
import { type FollowedLinks, fieldsOf, keepOnly, limitLinks } from './followed-links.ts';
import type { HubNames } from './hub-names.ts';
import { createAutoMtu, rememberUplinks } from './hub-uplinks.ts';
import type { Lifecycle } from './lifecycle.ts';
import { oncePerKey } from './once.ts';
import { isInTouch, remedyFor, type SeenPeer } from './silent-hub.ts';

export interface HubWatchDependencies {
  readonly lifecycle: Pick<Lifecycle, 'hasAutoMtu' | 'changeLink'>;
  readonly links: Pick<Links, 'read'>;
  readonly followedLinks: FollowedLinks;
  readonly hubNames: HubNames;
  readonly uplinksTo: UplinksTo;
  readonly log: Log;
  /** Milliseconds on a clock that only goes forward. */
  readonly now: () => number;
  /** Milliseconds of UNIX time, which handshakes are in. */
  readonly unixNow: () => number;
  /** A link has no endpoint, as this name of its hub did not resolve. */
  readonly onMissingEndpoint: (host: string) => void;
}

/** Looks at the handshakes of links. */
export interface HubWatch {
  /** As of Follow. */
  watch(): Promise<void>;
  /** As of Follow. */
  seen(endpointId: string): Seen | undefined;
}

/** A link as it was seen. */
export interface Seen {
  readonly status: LinkStatus;
  /** On `now`'s clock: at this look, and at the first of this link. */
  readonly atMs: number;
  readonly sinceMs: number;
  readonly peers: ReadonlyMap<string, SeenPeer>;
  /** Another number after each call for the endpoint. */
  readonly revision: number;
}

export function createHubWatch({
  lifecycle,
  links,
  followedLinks,
  hubNames,
  uplinksTo,
  log,
  now,
  unixNow,
  onMissingEndpoint,
}: HubWatchDependencies): HubWatch {
  const limited = limitLinks();
  let seen = new Map<string, Seen>();
  /** Links that were given the next address of a name and have not shaken hands since: told once. */
  const searching = new Set<string>();

  return {
    async watch() {
      const looks = new Map<string, Seen>();
      const states = followedLinks.inUse();
      const inUse = new Set(states.map(({ endpoint }) => endpoint.endpointId));
      followedLinks.forgetOthers(inUse);
      keepOnly(searching, inUse);
      const peersIn = oncePerKey(followedLinks.peersOf);
      const uplinksOf = rememberUplinks(uplinksTo);
      const autoMtu = createAutoMtu(uplinksOf);
      await Promise.all(
        states.map((state) =>
          followedLinks.attempt(limited, state, async () => {
            const { endpointId, networkId } = state.endpoint;
            const found = await watchLink(
              state,
              peersIn(networkId),
              seen.get(endpointId),
              uplinksOf,
              autoMtu,
            );
            if (found !== undefined) {
              looks.set(endpointId, found);
            }
          }),
        ),
      );
      seen = looks;
    },

    seen: (endpointId) => seen.get(endpointId),
  };

  async function watchLink(
    state: EndpointState,
    askedPeers: readonly TunnelPeer[],
    earlier: Seen | undefined,
    uplinksOf: UplinksTo,
    autoMtu: ReturnType<typeof createAutoMtu>,
  ): Promise<Seen | undefined> {
    const status = await links.read(state.place);
    if (status === undefined) {
      return undefined;
    }
    const before = earlier?.revision === state.revision ? earlier : undefined;
    const atMs = now();
    const present = byPublicKey(status.peers);
    const earlierPeers = byPublicKey(before?.status.peers ?? []);
    const peers = new Map(
      status.peers.map(
        (peer) =>
          [peer.publicKey as string, seenPeer(peer, earlierPeers.get(peer.publicKey), before, atMs)] as const,
      ),
    );
    const outer = status.peers.flatMap(({ endpoint }) => endpoint?.address ?? []);
    let looked: Promise<unknown> | undefined;
    const hasWayTo = async (address: Address) => {
      // The ways to all peers at once, as soon as one is asked for: there may be thousands.
      looked ??= uplinksOf(outer, status.fwmark);
      await looked;
      const [uplink] = await uplinksOf([address], status.fwmark);
      return uplink !== undefined;
    };
    const sinceMs = before?.sinceMs ?? atMs;

    const changes: PeerChange[] = [];
    for (const { publicKey, endpoint } of askedPeers) {
      const peer = present.get(publicKey);
      const about = peers.get(publicKey);
      if (peer !== undefined && about !== undefined && endpoint !== undefined) {
        changes.push(...(await remedy(endpoint, peer, about, atMs - sinceMs, hasWayTo)));
      }
    }
    const mtu = lifecycle.hasAutoMtu(state.endpoint) ? await autoMtu(status) : undefined;
    const isNewMtu = mtu !== undefined && status.mtu !== undefined && mtu !== status.mtu;
    if (changes.length > 0 || isNewMtu) {
      await lifecycle.changeLink(state, {
        ...(changes.length > 0 && { peers: changes }),
        ...(isNewMtu && { mtu }),
      });
    }
    tellOfSearch(state, changes, peers);
    if (isNewMtu) {
      log.info('a link has a new MTU, because the route to its hub has changed', { ...fieldsOf(state), mtu });
    }
    return { status, atMs, sinceMs, peers, revision: state.revision };
  }

  function seenPeer(
    peer: PeerStatus,
    old: PeerStatus | undefined,
    before: Seen | undefined,
    atMs: number,
  ): SeenPeer {
    return {
      handshake: peer.lastHandshake?.getTime(),
      ageMs: handshakeAgeMs(peer, before, atMs, unixNow()),
      hasSent: old !== undefined && peer.sentBytes > old.sentBytes,
      hasReceived: old !== undefined && peer.receivedBytes > old.receivedBytes,
    };
  }

  function tellOfSearch(
    state: EndpointState,
    changes: readonly PeerChange[],
    peers: ReadonlyMap<string, SeenPeer>,
  ): void {
    const { endpointId } = state.endpoint;
    const endpoint = changes.find((change) => change.endpoint !== undefined)?.endpoint;
    if (endpoint !== undefined && !searching.has(endpointId)) {
      searching.add(endpointId);
      log.info('a hub is silent: its link tries the addresses of its name in turn', {
        ...fieldsOf(state),
        next: formatEndpoint(endpoint),
      });
    } else if ([...peers.values()].every(isInTouch)) {
      searching.delete(endpointId);
    }
  }

  /** What a peer needs, by what was seen of it. */
  async function remedy(
    { host, port }: { readonly host: string; readonly port: number },
    present: PeerStatus,
    about: SeenPeer,
    watchedMs: number,
    hasWayTo: (address: Address) => Promise<boolean>,
  ): Promise<PeerChange[]> {
    const { endpoint } = present;
    if (endpoint === undefined) {
      onMissingEndpoint(host);
      return [];
    }
    if (isInTouch(about)) {
      hubNames.worked(host, endpoint.address);
      return [];
    }
    const addresses = hubNames.answer(host);
    return remedyFor({ present, endpoint, seen: about, watchedMs, addresses, port, hasWayTo });
  }
}
