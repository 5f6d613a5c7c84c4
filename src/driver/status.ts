import { createLimit } from '../concurrency.ts';
import type { Links, Place } from '../links/links.ts';
import type { TunnelPeer } from '../networks/tunnel.ts';
import { parseAddress } from '../wireguard/address.ts';
import { formatEndpoint } from '../wireguard/device.ts';
import { formatHostPort } from '../wireguard/host-port.ts';
import { type LinkStatus, type PeerStatus, rejectAfterMs } from '../wireguard/status.ts';
import { byPublicKey, type Follow } from './hub-following.ts';
import type { EndpointState, Lifecycle } from './lifecycle.ts';
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
  /** Whether the kill switch is in place in the container; `off` if the network has none. */
  readonly killswitch: 'up' | 'down' | 'off';
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
  /** ISO 8601. */
  readonly lastHandshake?: string;
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
  /** The endpoints whose containers are not protected as they should be. */
  readonly unprotected: () => ReadonlyMap<string, string>;
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
    const unprotected = dependencies.unprotected();
    return await Promise.all(
      states.map((state) =>
        limited(() =>
          readOne(
            state,
            linkOf(state),
            networkOf(state.endpoint.networkId),
            unprotected.has(state.endpoint.endpointId),
          ),
        ),
      ),
    );
  }

  async function readOne(
    state: EndpointState,
    reading: Promise<LinkStatus | undefined>,
    { peers, hasKillswitch }: KnownNetwork,
    isUnprotected: boolean,
  ): Promise<ReadEndpoint> {
    const { endpointId, networkId, addresses } = state.endpoint;
    const link = await reading;
    const isProtected = !hasKillswitch || !isUnprotected;
    const health: Health = isProtected ? healthOf(state, link, peers) : 'unprotected';
    const mtu = link?.mtu;
    const status: EndpointStatus = {
      endpointId,
      networkId,
      addresses: addresses.map(({ address }) => address.toString()),
      health,
      killswitch: !hasKillswitch ? 'off' : isProtected ? 'up' : 'down',
      ...(mtu !== undefined && { mtu }),
      hubs: (link?.peers ?? []).map((peer) => hubOf(peer, peers.get(peer.publicKey))),
    };
    return { status, link, isLinkShared: state.place.endpointId !== endpointId };
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

  function healthOf(
    state: EndpointState,
    link: LinkStatus | undefined,
    peers: KnownNetwork['peers'],
  ): Health {
    const { now, unixNow, follow } = dependencies;
    const { touchedMs, place } = state;
    const ageMs = touchedMs === undefined ? Number.POSITIVE_INFINITY : now() - touchedMs;
    if (ageMs < newMs) {
      return 'new';
    }
    if (link === undefined) {
      return 'silent';
    }
    const words = link.peers.map((peer): Health => {
      const handshakeMs =
        peer.lastHandshake === undefined
          ? Number.POSITIVE_INFINITY
          : Math.max(0, unixNow() - peer.lastHandshake.getTime());
      if (handshakeMs <= rejectAfterMs) {
        return 'ok';
      }
      if (peer.endpoint === undefined && hasName(peers.get(peer.publicKey))) {
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

function hasName(peer: TunnelPeer | undefined): boolean {
  return peer?.endpoint !== undefined && parseAddress(peer.endpoint.host) === undefined;
}

function hubOf(peer: PeerStatus, asked: TunnelPeer | undefined): HubStatus {
  return {
    name: asked?.endpoint === undefined ? '' : formatHostPort(asked.endpoint),
    publicKey: peer.publicKey,
    ...(peer.endpoint && { endpoint: formatEndpoint(peer.endpoint) }),
    ...(peer.lastHandshake && { lastHandshake: peer.lastHandshake.toISOString() }),
    receivedBytes: peer.receivedBytes,
    sentBytes: peer.sentBytes,
  };
}
