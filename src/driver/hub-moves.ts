import type { Links } from '../links/links.ts';
import type { Log } from '../log.ts';
import { parseAddress, sameAddress } from '../wireguard/address.ts';
import type { PeerEndpoint } from '../wireguard/device.ts';
import { byPublicKey } from '../wireguard/status.ts';
import type { EndpointState } from './endpoint-states.ts';
import { type FollowedLinks, fieldsOf, keepOnly, limitLinks } from './followed-links.ts';
import type { HubNames } from './hub-names.ts';
import type { Lifecycle } from './lifecycle.ts';
import { oncePerKey } from './once.ts';
import { prompted } from './silent-hub.ts';

export interface HubMovesDependencies {
  readonly lifecycle: Pick<Lifecycle, 'changeLink'>;
  readonly links: Pick<Links, 'readDevice'>;
  readonly followedLinks: FollowedLinks;
  readonly hubNames: HubNames;
  readonly log: Log;
}

/** Gives links the addresses that their hubs' names have. */
export interface HubMoves {
  /** As of Follow. */
  fill(): Promise<void>;
  /** As of Follow. */
  followNames(): Promise<void>;
  /** A link has no endpoint: `fill` looks this name up for it. */
  awaitName(host: string): void;
}

export function createHubMoves({
  lifecycle,
  links,
  followedLinks,
  hubNames,
  log,
}: HubMovesDependencies): HubMoves {
  /** A look at hundreds of links may take seconds, and a hub that has moved does not wait behind it. */
  const limited = limitLinks();
  /** Names that links without an endpoint wait for, beside those that were looked up in vain for a Join. */
  const awaited = new Set<string>();
  const filling = new Set<string>();

  return {
    async fill() {
      const wanted = new Set([...hubNames.unresolved(), ...awaited]);
      if (wanted.size === 0) {
        return;
      }
      const users = usersOfNames();
      keepOnly(awaited, users);
      await Promise.all(
        [...wanted].filter((host) => users.has(host) && !filling.has(host)).map((host) => fillNow(host)),
      );
    },

    async followNames() {
      await Promise.all([...usersOfNames().keys()].map((host) => followName(host)));
    },

    awaitName: (host) => void awaited.add(host),
  };

  /** The names of hubs, each with the links that have it. */
  function usersOfNames(): Map<string, EndpointState[]> {
    const users = new Map<string, EndpointState[]>();
    const namesIn = oncePerKey((networkId: string) => {
      const hosts = followedLinks.peersOf(networkId).flatMap(({ endpoint }) => endpoint?.host ?? []);
      return [...new Set(hosts)].filter((host) => parseAddress(host) === undefined);
    });
    for (const state of followedLinks.inUse()) {
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
    const addresses = await hubNames.lookUp(host);
    if (addresses === undefined) {
      return;
    }
    // DNS rotates the order of several addresses, so another first one means nothing.
    const earlier = hubNames.takeEarlier(host);
    const [address] = addresses;
    if (earlier.length === 0 || address === undefined) {
      return;
    }
    const count = await forEachPeer(usersOfNames().get(host) ?? [], host, (endpoint, peer) =>
      earlier.some((old) => endpoint !== undefined && sameAddress(endpoint.address, old))
        ? { address, port: peer.port }
        : undefined,
    );
    if (count > 0) {
      log.info('a hub has moved', { host, address: address.toString(), links: count });
    }
  }

  /** Gives new endpoints to the peers that have a host name. @returns how many links were changed */
  async function forEachPeer(
    states: readonly EndpointState[],
    host: string,
    choose: (
      endpoint: PeerEndpoint | undefined,
      asked: { readonly port: number },
    ) => PeerEndpoint | undefined,
  ): Promise<number> {
    let count = 0;
    const peersAt = oncePerKey((networkId: string) =>
      followedLinks.peersOf(networkId).filter(({ endpoint }) => endpoint?.host === host),
    );
    await Promise.all(
      states.map((state) =>
        followedLinks.attempt(limited, state, async () => {
          const status = await links.readDevice(state.place);
          const present = byPublicKey(status?.peers ?? []);
          const changes = peersAt(state.endpoint.networkId).flatMap(({ publicKey, endpoint: asked }) => {
            const peer = present.get(publicKey);
            const endpoint = peer && asked && choose(peer.endpoint, asked);
            return peer === undefined || endpoint === undefined ? [] : prompted(peer, endpoint);
          });
          if (changes.length > 0 && (await lifecycle.changeLink(state, { peers: changes }))) {
            count += 1;
            log.info('a link has a new endpoint', { ...fieldsOf(state), host });
          }
        }),
      ),
    );
    return count;
  }
}
