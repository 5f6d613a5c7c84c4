import { createLimit } from '../concurrency.ts';
import type { Guard } from '../killswitch/killswitch.ts';
import type { ProtectionState } from '../killswitch/sandbox.ts';
import type { Links, Place } from '../links/links.ts';
import type { TunnelPeer } from '../networks/tunnel.ts';
import { parseAddress } from '../wireguard/address.ts';
import { formatEndpoint } from '../wireguard/device.ts';
import { handshakeAgeMs } from '../wireguard/handshake-age.ts';
import { formatHostPort } from '../wireguard/host-port.ts';
import { byPublicKey, type LinkStatus, type PeerStatus, rejectAfterMs } from '../wireguard/status.ts';
import type { EndpointState } from './endpoint-states.ts';
import type { Follow } from './hub-following.ts';
import type { HubNames } from './hub-names.ts';
import type { Lifecycle } from './lifecycle.ts';
import { oncePerKey } from './once.ts';

/**
 * How a container's tunnel does, in a word; the last that holds counts. `new` and `idle` are as good as `ok`: it is too
 * young to tell, or nothing was sent and nothing is to be.
 */
export const healths = ['ok', 'idle', 'new', 'silent', 'no name', 'unprotected'] as const;
export type Health = (typeof healths)[number];

/** A container on one of our networks, with nothing that is secret. */
export interface EndpointStatus {
  readonly endpointId: string;
  readonly networkId: string;
  readonly addresses: readonly string[];
  readonly health: Health;
  /**
   * `up` once the kill switch was found or put in place in the container, `coming` while that is under way; `off` if the
   * network has none.
   */
  readonly killswitch: ProtectionState | 'off';
  /** Absent if there is no link, or none that could be read. */
  readonly mtu?: number;
  readonly hubs: readonly HubStatus[];
}

export interface HubStatus {
  /** As the network names it. */
  readonly name: string;
  readonly publicKey: string;
  /** Where packets go now. */
  readonly endpoint?: string;
  /** ISO 8601, by the clock of then. */
  readonly lastHandshake?: string;
  /** What the clock says, unless it was set since. */
  readonly lastHandshakeAgeSeconds?: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** An endpoint's status, and what it was made of. */
export interface ReadEndpoint {
  readonly status: EndpointStatus;
  readonly link: LinkStatus | undefined;
  /** Is it the network’s, whose containers share it? */
  readonly isLinkShared: boolean;
}

/** What the containers of a network have in common. */
interface KnownNetwork {
  readonly peers: ReadonlyMap<string, TunnelPeer>;
  readonly hasKillswitch: boolean;
}

export interface StatusDependencies {
  readonly lifecycle: Pick<Lifecycle, 'endpoints' | 'network' | 'peers'>;
  readonly links: Pick<Links, 'read'>;
  readonly follow: Pick<Follow, 'seen'>;
  readonly hubNames: Pick<HubNames, 'isFailing'>;
  readonly guard: Pick<Guard, 'stateOf'>;
  readonly now: () => number;
  readonly unixNow: () => number;
}

/** Each takes the network namespace of a container, or a program. */
const linksAtOnce = 8;

const newMs = 30_000;

/** Makes a function that reads all links. Whoever asks while they are being read gets the same answer. */
export function createStatus(dependencies: StatusDependencies): () => Promise<readonly ReadEndpoint[]> {
  const limited = createLimit(linksAtOnce);
  let underWay: Promise<readonly ReadEndpoint[]> | undefined;
  return () => {
    underWay ??= readAll().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };

  async function readAll(): Promise<readonly ReadEndpoint[]> {
    const states = dependencies.lifecycle.endpoints().filter(({ joined }) => joined?.stage === 'marked');
    const networkOf = oncePerKey(knownOf);
    // Containers may share one.
    const places = new Map<string, Place>();
    const linkAt = oncePerKey(async (key: string) => {
      const place = places.get(key);
      return place && dependencies.links.read(place).catch(() => undefined);
    });
    const linkOf = ({ place }: EndpointState) => {
      const key = `${place.name} ${place.sandbox}`;
      places.set(key, place);
      return linkAt(key);
    };
    return await Promise.all(
      states.map((state) =>
        limited(() => readOne(state, linkOf(state), networkOf(state.endpoint.networkId))),
      ),
    );
  }

  async function readOne(
    state: EndpointState,
    reading: Promise<LinkStatus | undefined>,
    { peers, hasKillswitch }: KnownNetwork,
  ): Promise<ReadEndpoint> {
    const { endpointId, networkId, addresses } = state.endpoint;
    const link = await reading;
    const killswitch = hasKillswitch ? protectionOf(state) : 'off';
    const ages = new Map((link?.peers ?? []).map((peer) => [peer.publicKey, ageOf(peer, state.place)]));
    const health: Health = killswitch === 'down' ? 'unprotected' : healthOf(state, link, peers, ages);
    const mtu = link?.mtu;
    const status: EndpointStatus = {
      endpointId,
      networkId,
      addresses: addresses.map(({ address }) => address.toString()),
      health,
      killswitch,
      ...(mtu !== undefined && { mtu }),
      hubs: (link?.peers ?? []).map((peer) =>
        hubOf(peer, peers.get(peer.publicKey), ages.get(peer.publicKey)),
      ),
    };
    return { status, link, isLinkShared: state.place.endpointId !== endpointId };
  }

  /** What the guard does not know of was not verified, whatever an earlier driver has put there. */
  function protectionOf({ endpoint, joined, touchedMs }: EndpointState): ProtectionState {
    const isJoining = touchedMs !== undefined && dependencies.now() - touchedMs < newMs;
    return (
      dependencies.guard.stateOf(joined?.sandbox ?? '', endpoint.endpointId) ??
      (isJoining ? 'coming' : 'down')
    );
  }

  function knownOf(networkId: string): KnownNetwork {
    try {
      const network = dependencies.lifecycle.network(networkId);
      const peers = dependencies.lifecycle.peers(networkId);
      return { peers: byPublicKey(peers), hasKillswitch: network.options.killswitch !== 'off' };
    } catch {
      return { peers: new Map(), hasKillswitch: true };
    }
  }

  function ageOf(peer: PeerStatus, { endpointId = '' }: Place): number | undefined {
    const { follow, now, unixNow } = dependencies;
    return handshakeAgeMs(peer, follow.seen(endpointId), now(), unixNow());
  }

  function healthOf(
    state: EndpointState,
    link: LinkStatus | undefined,
    peers: KnownNetwork['peers'],
    ages: ReadonlyMap<string, number | undefined>,
  ): Health {
    const { now, follow, hubNames } = dependencies;
    const { sinceMs, place } = state;
    const ageMs = sinceMs === undefined ? Number.POSITIVE_INFINITY : now() - sinceMs;
    if (ageMs < newMs) {
      return 'new';
    }
    // A container's root can take the peers away.
    if (link === undefined || link.peers.length === 0) {
      return 'silent';
    }
    const words = link.peers.map((peer): Health => {
      const handshakeMs = ages.get(peer.publicKey) ?? Number.POSITIVE_INFINITY;
      if (handshakeMs <= rejectAfterMs) {
        return 'ok';
      }
      const host = nameOf(peers.get(peer.publicKey));
      if (host !== undefined && (peer.endpoint === undefined || hubNames.isFailing(host))) {
        return 'no name';
      }
      if (ageMs <= rejectAfterMs) {
        return 'ok';
      }
      const hasSent = follow.seen(place.endpointId ?? '')?.peers.get(peer.publicKey)?.hasSent ?? false;
      return peer.persistentKeepaliveInterval > 0 || hasSent ? 'silent' : 'idle';
    });
    return words.reduce(
      (worst, word) => (healths.indexOf(word) > healths.indexOf(worst) ? word : worst),
      'ok',
    );
  }
}

/** Undefined if it is an address, or there is none. */
function nameOf(peer: TunnelPeer | undefined): string | undefined {
  const host = peer?.endpoint?.host;
  return host === undefined || parseAddress(host) !== undefined ? undefined : host;
}

function hubOf(peer: PeerStatus, asked: TunnelPeer | undefined, ageMs: number | undefined): HubStatus {
  return {
    name: asked?.endpoint === undefined ? '' : formatHostPort(asked.endpoint),
    publicKey: peer.publicKey,
    ...(peer.endpoint && { endpoint: formatEndpoint(peer.endpoint) }),
    ...(peer.lastHandshake && { lastHandshake: peer.lastHandshake.toISOString() }),
    ...(ageMs !== undefined && { lastHandshakeAgeSeconds: Math.floor(ageMs / 1000) }),
    receivedBytes: peer.receivedBytes,
    sentBytes: peer.sentBytes,
  };
}
