import { createLimit } from '../concurrency.ts';
import type { Links } from '../links/links.ts';
import { type Log, msSince } from '../log.ts';
import { containerAddresses } from '../networks/conf-file.ts';
import type { Network } from '../networks/network.ts';
import { hasOtherPrefixes, renewalOf } from '../networks/renewal.ts';
import { resolved, type Tunnel, type TunnelSecrets, tunnelOf } from '../networks/tunnel.ts';
import type { Marker } from '../state/marker.ts';
import { sameAddress } from '../wireguard/address.ts';
import type { PublicKey } from '../wireguard/key.ts';
import type { EndpointState } from './endpoint-states.ts';
import type { HubLinks } from './hub-links.ts';
import type { HubNames } from './hub-names.ts';
import type { Lifecycle } from './lifecycle.ts';
import { endpointOptionsOf } from './secrets.ts';

export interface ReloadDependencies {
  readonly lifecycle: Pick<
    Lifecycle,
    | 'tunnels'
    | 'movedPeers'
    | 'noteRenewed'
    | 'readSecrets'
    | 'settled'
    | 'withLink'
    | 'withOwnKey'
    | 'renewShared'
  >;
  readonly networks: () => readonly Network[];
  readonly links: Pick<Links, 'read' | 'change'>;
  readonly hubLinks: Pick<HubLinks, 'completed' | 'add'>;
  readonly hubNames: Pick<HubNames, 'addressOf'>;
  readonly log: Log;
  /** So that what a kill has cut short is gone on with. */
  readonly marker?: Marker;
}

/** What came of a network. */
export interface ReloadedNetwork {
  readonly networkId: string;
  /** Links of running containers that are as the files say now. */
  readonly links: number;
  /** Those of them that have got another private key. */
  readonly newKeys: number;
  /** Why the network as a whole, or an endpoint's link, is as it was. */
  readonly failures: readonly { readonly endpointId?: string; readonly cause: string }[];
}

export interface Reload {
  /**
   * Reads the files again that networks and endpoints name, and changes the links of running containers where they are.
   * @param ids of networks, or how they begin; none for all
   * @throws Error for one that is not known
   */
  reload(ids: readonly string[]): Promise<readonly ReloadedNetwork[]>;
  /** Goes on with what a kill has cut short. Does not reject. */
  resume(): Promise<void>;
}

/** Each takes the network namespace of a container, or some programs. */
const linksAtOnce = 4;

export function createReload({
  lifecycle,
  networks,
  links,
  hubLinks,
  hubNames,
  log,
  marker,
}: ReloadDependencies): Reload {
  const inTurn = createLimit(1);
  const limited = createLimit(linksAtOnce);

  const reload = (ids: readonly string[]) =>
    inTurn(async () => {
      const chosen = chosenOf(networks(), ids);
      await marker?.begin(chosen.map(({ networkId }) => networkId));
      const reloaded: ReloadedNetwork[] = [];
      for (const network of chosen) {
        reloaded.push(await reloadNetwork(network));
      }
      await marker?.end();
      return reloaded;
    });

  return {
    reload,
    async resume() {
      const begun = await marker?.unfinished();
      const known = new Set(networks().map(({ networkId }) => networkId));
      const left = begun?.filter((id) => known.has(id)) ?? [];
      if (left.length > 0) {
        log.warn('resuming a reload that was interrupted', { networks: left.length });
        await reload(left).catch((error: Error) => {
          log.error('an interrupted reload could not be resumed', { cause: error.message });
        });
      }
    },
  };

  async function reloadNetwork(asked: Network): Promise<ReloadedNetwork> {
    const started = performance.now();
    const { networkId } = asked;
    const failures: { endpointId?: string; cause: string }[] = [];
    const fail = (error: unknown, endpointId?: string) => {
      const cause = error instanceof Error ? error.message : String(error);
      failures.push({ ...(endpointId !== undefined && { endpointId }), cause });
      log.error('a link could not be reloaded', {
        network: networkId,
        ...(endpointId !== undefined && { endpoint: endpointId }),
        cause,
      });
    };
    const counts = { links: 0, newKeys: 0 };
    try {
      // A container that is starting may have read the files before they were changed, and have no link yet.
      await lifecycle.settled(networkId);
      const network = await hubLinks.completed(asked);
      const secrets = await lifecycle.readSecrets(network);
      const { hublink, peerkey } = network.options;
      // A hub on this host is at the port that its link has now.
      const moved =
        hublink !== undefined && peerkey !== undefined ? new Set([peerkey]) : lifecycle.movedPeers(networkId);
      const states = lifecycle
        .tunnels()
        .filter(
          ({ endpoint, joined, isUndeleted }) =>
            endpoint.networkId === networkId && joined?.stage === 'marked' && !isUndeleted,
        );
      await Promise.all(
        states.map((state) =>
          limited(() => reloadLink(state, network, secrets, moved)).then(
            (outcome) => {
              counts.links += Number(outcome !== undefined);
              counts.newKeys += Number(outcome === 'new key');
            },
            (error) => fail(error, state.endpoint.endpointId),
          ),
        ),
      );
      if (failures.length === 0) {
        lifecycle.noteRenewed(networkId, moved);
      }
    } catch (error) {
      fail(error);
    }
    log.info('reloaded', { network: networkId, ...counts, failed: failures.length, ms: msSince(started) });
    return { networkId, ...counts, failures };
  }

  /** @returns undefined if there is no such link any more */
  async function reloadLink(
    state: EndpointState,
    network: Network,
    ofNetwork: TunnelSecrets,
    moved: ReadonlySet<PublicKey>,
  ): Promise<'new key' | 'same key' | undefined> {
    const { endpointId, addresses, options } = state.endpoint;
    const own = endpointOptionsOf(state.endpoint);
    if (network.isShared) {
      return lifecycle.renewShared(network, ofNetwork);
    }
    const secrets = options === undefined ? ofNetwork : await lifecycle.readSecrets(network, own);
    refuseOtherAddresses(state, network, secrets);
    const tunnel = tunnelOf(network, addresses, secrets, own);
    const device = resolved(tunnel, await addressesOf(tunnel));
    return lifecycle.withLink(state, async (place) => {
      // The engine may have moved it into its container between the two looks that a read takes.
      const status = (await links.read(place)) ?? (await links.read(place));
      if (status === undefined) {
        return undefined;
      }
      if (hasOtherPrefixes(status, device)) {
        throw new Error(
          'AllowedIPs have changed: restart the container, because its routes are set when it starts',
        );
      }
      const change = renewalOf(status, device, moved, tunnel.mtu);
      // The hub on this host knows the new key before the container uses it.
      await hubLinks.add(network, endpointId, tunnel, status.publicKey);
      if (change?.privateKey !== undefined) {
        await lifecycle.withOwnKey(network, change.privateKey, () => links.change(place, change));
      } else if (change !== undefined) {
        await links.change(place, change);
      }
      return change?.privateKey === undefined ? 'same key' : 'new key';
    });
  }

  async function addressesOf({ peers }: Tunnel) {
    const hosts = new Set(peers.flatMap(({ endpoint }) => endpoint?.host ?? []));
    return new Map(
      await Promise.all([...hosts].map(async (host) => [host, await hubNames.addressOf(host)] as const)),
    );
  }
}

/** @throws Error for one that is not known */
function chosenOf(networks: readonly Network[], ids: readonly string[]): readonly Network[] {
  for (const id of ids) {
    if (!networks.some(({ networkId }) => networkId.startsWith(id))) {
      throw new Error(`this driver has no network ${id}`);
    }
  }
  return ids.length === 0
    ? networks
    : networks.filter(({ networkId }) => ids.some((id) => networkId.startsWith(id)));
}

/** @throws Error if the container, which is the file's peer, has other addresses than the file says now */
function refuseOtherAddresses(
  { endpoint }: EndpointState,
  { isOnePeer }: Network,
  { configuration }: TunnelSecrets,
): void {
  if (isOnePeer && configuration !== undefined) {
    const asked = containerAddresses(configuration);
    if (
      !endpoint.addresses.every(({ address }) => asked.some((other) => sameAddress(other.address, address)))
    ) {
      throw new Error(
        'Address has changed: restart the container, because it gets its addresses when it starts',
      );
    }
  }
}
