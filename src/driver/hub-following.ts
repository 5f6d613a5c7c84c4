import { setTimeout as setTimeoutAsync } from 'node:timers/promises';
import { createLimit, type Limit } from '../concurrency.ts';
import { LinkError, type Links } from '../links/links.ts';
import type { UplinksTo } from '../links/uplink.ts';
import type { Log } from '../log.ts';
import type { TunnelPeer } from '../networks/tunnel.ts';
import { type Address, parseAddress, sameAddress } from '../wireguard/address.ts';
import type { PeerChange } from '../wireguard/change.ts';
import { formatEndpoint, type PeerEndpoint } from '../wireguard/device.ts';
import { handshakeAgeMs, type SeenHandshake } from '../wireguard/handshake-age.ts';
import type { LinkStatus, PeerStatus } from '../wireguard/status.ts';
import type { EndpointState } from './endpoint-states.ts';
import { type HubNames, lookUpEveryMs } from './hub-names.ts';
import type { Lifecycle } from './lifecycle.ts';
import { oncePerKey } from './once.ts';
import { createAutoMtu, rememberUplinks } from './uplink-mtu.ts';

export interface FollowDependencies {
  readonly lifecycle: Pick<Lifecycle, 'tunnels' | 'network' | 'peers' | 'hasAutoMtu' | 'changeLink'>;
  readonly links: Pick<Links, 'read' | 'readDevice'>;
  readonly hubNames: HubNames;
  readonly uplinksTo: UplinksTo;
  readonly log: Log;
  /** Milliseconds on a clock that only goes forward. */
  readonly now?: () => number;
  /** Milliseconds of UNIX time, which handshakes are in. */
  readonly unixNow?: () => number;
  /** A link could not be read or changed. */
  readonly onFailure?: (() => void) | undefined;
}

/**
 * Keeps links in touch with their hubs. WireGuard itself never looks a name up, and keeps trying the endpoint that it was
 * given. None of these rejects.
 */
export interface Follow {
  /** Gives endpoints to the links that have none, as soon as their names resolve; every 5 s. */
  fill(): Promise<void>;
  /** Looks each name up, once for all its links, and follows a hub that has moved; every 30 s. */
  followNames(): Promise<void>;
  /**
   * Looks at the handshakes of all links, and does something about those whose hub is silent, or whose way there carries
   * other packets than before; every 15 s.
   */
  watch(): Promise<void>;
  /** What was seen of an endpoint's link the last time and the time before; undefined if nothing was. */
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

interface SeenPeer extends SeenHandshake {
  /** More was sent than at the look before: somebody wants an answer. */
  readonly hasSent: boolean;
  readonly hasReceived: boolean;
}

/** Each takes the network namespace of a container, or a program. */
const linksAtOnce = 8;

/** A link that never shook hands has been trying for long enough (a handshake is sent every 5 s). */
const untriedMs = 14_000;

/** linux/drivers/net/wireguard/messages.h: a session is made anew after REKEY_AFTER_TIME, if anything is sent. */
const rekeyAfterMs = 120_000;

/** Then it was tried three times in vain. */
const silentMs = 135_000;

export function createFollow({
  lifecycle,
  links,
  hubNames,
  uplinksTo,
  log,
  now = () => performance.now(),
  unixNow = Date.now,
  onFailure,
}: FollowDependencies): Follow {
  const limited = createLimit(linksAtOnce);
  /** A look at hundreds of links may take seconds, and a hub that has moved does not wait behind it. */
  const limitedChanges = createLimit(linksAtOnce);
  let seen = new Map<string, Seen>();
  /** The answers that links have followed. */
  const followed = new Map<string, readonly Address[]>();
  /** Names that links without an endpoint wait for, beside those that were looked up in vain for a Join. */
  const awaited = new Set<string>();
  const filling = new Set<string>();
  /** What went wrong with a link is told once. */
  const complained = new Set<string>();
  /** Links that were given the next address of a name and have not shaken hands since: told once, too. */
  const searching = new Set<string>();

  return {
    async fill() {
      const wanted = new Set([...hubNames.unresolved(), ...awaited]);
      if (wanted.size === 0) {
        return;
      }
      const users = usersOfNames();
      for (const host of awaited) {
        if (!users.has(host)) {
          awaited.delete(host);
        }
      }
      await Promise.all(
        [...wanted].filter((host) => users.has(host) && !filling.has(host)).map((host) => fillNow(host)),
      );
    },

    async followNames() {
      const users = usersOfNames();
      for (const host of followed.keys()) {
        if (!users.has(host)) {
          followed.delete(host);
        }
      }
      await Promise.all([...users.keys()].map((host) => followName(host)));
    },

    async watch() {
      const looks = new Map<string, Seen>();
      const states = inUse();
      const inUseNow = new Set(states.map(({ endpoint }) => endpoint.endpointId));
      for (const told of [complained, searching]) {
        for (const endpointId of told) {
          if (!inUseNow.has(endpointId)) {
            told.delete(endpointId);
          }
        }
      }
      const peersIn = oncePerKey(peersOf);
      const uplinksOf = rememberUplinks(uplinksTo);
      const autoMtu = createAutoMtu(uplinksOf);
      await Promise.all(
        states.map((state) =>
          attempt(limited, state, async () => {
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

  /** The tunnels whose links carry traffic, or should. */
  function inUse(): EndpointState[] {
    return lifecycle
      .tunnels()
      .filter(({ joined, isUndeleted }) => joined?.stage === 'marked' && !isUndeleted);
  }

  function peersOf(networkId: string): readonly TunnelPeer[] {
    try {
      const network = lifecycle.network(networkId);
      // A hub on this host has no name to follow and does not move.
      return network.options.hublink === undefined ? lifecycle.peers(networkId) : [];
    } catch {
      // Of a newer driver's making: its links stay as they are.
      return [];
    }
  }

  /** The names of hubs, each with the links that have it. */
  function usersOfNames(): Map<string, EndpointState[]> {
    const users = new Map<string, EndpointState[]>();
    const namesIn = oncePerKey((networkId: string) => {
      const hosts = peersOf(networkId).flatMap(({ endpoint }) => endpoint?.host ?? []);
      return [...new Set(hosts)].filter((host) => parseAddress(host) === undefined);
    });
    for (const state of inUse()) {
      for (const host of namesIn(state.endpoint.networkId)) {
        const others = users.get(host) ?? [];
        users.set(host, others);
        others.push(state);
      }
    }
    return users;
  }

  async function fillNow(host: string): Promise<void> {
    filling.add(host);
    try {
      const address = (await hubNames.lookUp(host)) && hubNames.preferred(host);
      if (address === undefined) {
        return;
      }
      awaited.delete(host);
      await forEachPeer(usersOfNames().get(host) ?? [], host, (endpoint, peer) =>
        endpoint === undefined ? { address, port: peer.port } : undefined,
      );
    } finally {
      filling.delete(host);
    }
  }

  async function followName(host: string): Promise<void> {
    // A link that was made since the last of these has the answer that its Join had.
    const known = hubNames.answer(host);
    const addresses = await hubNames.lookUp(host);
    if (addresses === undefined) {
      return;
    }
    const [old, ...olds] = followed.get(host) ?? known;
    followed.set(host, addresses);
    const [address, ...others] = addresses;
    // DNS rotates the order of several addresses, so another first one means nothing.
    const isOne = old !== undefined && olds.length === 0 && address !== undefined && others.length === 0;
    if (!isOne || sameAddress(old, address)) {
      return;
    }
    log.info('a hub has moved', { host, address: address.toString() });
    await forEachPeer(usersOfNames().get(host) ?? [], host, (endpoint, peer) =>
      endpoint !== undefined && sameAddress(endpoint.address, old) ? { address, port: peer.port } : undefined,
    );
  }

  /** Gives new endpoints to the peers that have a host name. */
  async function forEachPeer(
    states: readonly EndpointState[],
    host: string,
    choose: (
      endpoint: PeerEndpoint | undefined,
      asked: { readonly port: number },
    ) => PeerEndpoint | undefined,
  ): Promise<void> {
    const peersAt = oncePerKey((networkId: string) =>
      peersOf(networkId).filter(({ endpoint }) => endpoint?.host === host),
    );
    await Promise.all(
      states.map((state) =>
        attempt(limitedChanges, state, async () => {
          const status = await links.readDevice(state.place);
          const present = byPublicKey(status?.peers ?? []);
          const changes = peersAt(state.endpoint.networkId).flatMap(({ publicKey, endpoint: asked }) => {
            const peer = present.get(publicKey);
            const endpoint = peer && asked && choose(peer.endpoint, asked);
            return peer === undefined || endpoint === undefined ? [] : prompted(peer, endpoint);
          });
          if (changes.length > 0 && (await lifecycle.changeLink(state, { peers: changes }))) {
            log.info('a link has a new endpoint', { ...fieldsOf(state), host });
          }
        }),
      ),
    );
  }

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
      log.info('a link has the MTU of another way to its hub', { ...fieldsOf(state), mtu });
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
    } else if ([...peers.values()].every(({ ageMs = Number.POSITIVE_INFINITY }) => ageMs < rekeyAfterMs)) {
      searching.delete(endpointId);
    }
  }

  /** What to do about a peer: another address of its name, or another handshake, or nothing. */
  async function remedy(
    asked: { readonly host: string; readonly port: number },
    present: PeerStatus,
    { ageMs, hasSent, hasReceived }: SeenPeer,
    watchedMs: number,
    hasWayTo: (address: Address) => Promise<boolean>,
  ): Promise<PeerChange[]> {
    const { endpoint, persistentKeepaliveInterval: keepalive } = present;
    const addresses = hubNames.answer(asked.host);
    if (endpoint === undefined) {
      awaited.add(asked.host);
      return [];
    }
    if (ageMs !== undefined && ageMs < rekeyAfterMs) {
      hubNames.worked(asked.host, endpoint.address);
      return [];
    }
    const isSilent = ageMs === undefined ? watchedMs >= untriedMs : ageMs > silentMs;
    // WireGuard does not count what it has no route for.
    const isTrying = keepalive > 0 || hasSent || (isSilent && !(await hasWayTo(endpoint.address)));
    if (hasReceived || !isTrying) {
      return [];
    }
    const next = isSilent ? await nextOf(addresses, asked.port, endpoint, hasWayTo) : undefined;
    // With keepalives alone the kernel tries for 90 s, and then waits for the next.
    return next !== undefined || (keepalive > 0 && (isSilent || ageMs !== undefined))
      ? prompted(present, next)
      : [];
  }

  async function attempt(limit: Limit, state: EndpointState, task: () => Promise<void>): Promise<void> {
    const { endpointId } = state.endpoint;
    try {
      await limit(task);
      complained.delete(endpointId);
    } catch (error) {
      if (error instanceof LinkError && error.code === 'ENODEV') {
        // Its container has ended meanwhile.
        return;
      }
      onFailure?.();
      if (!complained.has(endpointId)) {
        complained.add(endpointId);
        log.warn('a link could not be looked after', { ...fieldsOf(state), cause: String(error) });
      }
    }
  }
}

const fillEveryMs = 5000;
const watchEveryMs = 15_000;
const longestPauseMs = 45_000;

/** Does all of it, each at its time. @returns how to end that */
export function keepFollowing(follow: Follow): () => void {
  const stopped = new AbortController();
  // A name that hangs does not keep these from the others: they may run beside themselves.
  const timers = [
    setInterval(() => void follow.fill(), fillEveryMs).unref(),
    setInterval(() => void follow.followNames(), lookUpEveryMs).unref(),
  ];
  void follow.followNames();
  void keepWatching(follow, stopped.signal).catch(() => {});
  return () => {
    stopped.abort();
    for (const timer of timers) {
      clearInterval(timer);
    }
  };
}

async function keepWatching(follow: Follow, signal: AbortSignal): Promise<never> {
  for (;;) {
    const started = performance.now();
    await follow.watch();
    const tookMs = performance.now() - started;
    await setTimeoutAsync(pauseAfter(tookMs), undefined, { ref: false, signal });
  }
}

/**
 * How long links are left alone after a look at them all. Where that takes seconds, as by programs with hundreds of links, it does
 * not take over the host.
 */
export function pauseAfter(tookMs: number): number {
  return Math.max(watchEveryMs - tookMs, Math.min(4 * tookMs, longestPauseMs));
}

/** A configuration file may have thousands of peers. */
export function byPublicKey<Peer extends { readonly publicKey: string }>(
  peers: readonly Peer[],
): ReadonlyMap<string, Peer> {
  return new Map(peers.map((peer) => [peer.publicKey, peer]));
}

/**
 * A peer's new endpoint, and a handshake at once where it sends keepalives: WireGuard sends one when they are switched
 * on, and both are done in one step.
 */
function prompted(
  { publicKey, persistentKeepaliveInterval }: PeerStatus,
  endpoint: PeerEndpoint | undefined,
): PeerChange[] {
  const change = { publicKey, updateOnly: true, ...(endpoint && { endpoint }) };
  return persistentKeepaliveInterval === 0
    ? [change]
    : [
        { ...change, persistentKeepaliveInterval: 0 },
        { publicKey, updateOnly: true, persistentKeepaliveInterval },
      ];
}

/** The address behind the one in use, or the first, that this host has a way to; undefined if there is no other. */
async function nextOf(
  addresses: readonly Address[],
  port: number,
  endpoint: PeerEndpoint,
  hasWayTo: (address: Address) => Promise<boolean>,
): Promise<PeerEndpoint | undefined> {
  const index = addresses.findIndex((address) => sameAddress(address, endpoint.address));
  for (const address of [...addresses.slice(index + 1), ...addresses.slice(0, index + 1)]) {
    const isOther = !(sameAddress(address, endpoint.address) && port === endpoint.port);
    if (isOther && (await hasWayTo(address))) {
      return { address, port };
    }
  }
  return undefined;
}

function fieldsOf({ endpoint: { endpointId, networkId } }: EndpointState) {
  return { network: networkId, endpoint: endpointId };
}
