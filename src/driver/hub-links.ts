import type { Links } from '../links/links.ts';
import type { Log } from '../log.ts';
import type { Network } from '../networks/network.ts';
import { type EndpointOptions, type NetworkOptions, optionPrefix } from '../networks/options.ts';
import { type Tunnel, type TunnelSecrets, tunnelOf } from '../networks/tunnel.ts';
import type { Endpoint, HubPeerRecord, Joined, Store } from '../state/store.ts';
import {
  type Address,
  bits,
  covers,
  formatPrefix,
  hostPrefix,
  type Prefix,
  sameAddress,
  samePrefixes,
} from '../wireguard/address.ts';
import type { PeerChange } from '../wireguard/change.ts';
import { type PublicKey, publicKeyOf } from '../wireguard/key.ts';
import type { LinkStatus, PeerStatus } from '../wireguard/status.ts';
import { hostAddresses } from './host-addresses.ts';
import { oncePerKey } from './once.ts';
import { endpointOptionsOf } from './secrets.ts';

export interface HubLinksDependencies {
  readonly links: Pick<Links, 'read' | 'change'>;
  /** Which key a peer got is not in the files any more once they were replaced. */
  readonly store: Pick<Store, 'joined' | 'putHubPeer'>;
  readonly log: Log;
  /** Of the kernel: without IPv6 containers get IPv4 alone, and the link has no other gateway. */
  readonly hasIpv6: boolean;
  /** The addresses of a link of the host; none while it is down. */
  readonly addressesOf?: (link: string) => readonly Address[];
}

type SecretsOf = (options: NetworkOptions, own?: EndpointOptions) => Promise<TunnelSecrets>;

/** Hubs that are links on this very host (option hublink): the peers of containers on them come and go with these. */
export interface HubLinks {
  /**
   * A network with its hub's endpoint and key as they are now; as it is if its hub is not on this host.
   * @throws Error that says what is wrong with the link
   */
  completed(network: Network): Promise<Network>;
  /**
   * Gives the hub a container's peer, in the place of the one with an older key.
   * @param olderKey as its link has it, which is not known yet after a start
   * @throws Error if another peer has one of its addresses
   */
  add(network: Network, endpointId: string, tunnel: Tunnel, olderKey?: PublicKey): Promise<void>;
  /** Takes it away again. What fails is made up for by `check`. */
  remove(endpointId: string): Promise<void>;
  /**
   * Brings the peers in line with the containers: there are no events for what somebody else does to a link, or for one that
   * was made anew. Does not reject.
   * @returns networks whose hub has another key or port than at the check before, so that their containers do not reach it
   */
  check(users: HubLinkUsers, secretsOf: SecretsOf): Promise<readonly string[]>;
}

/** The networks and containers that a hub's link has peers for. */
export interface HubLinkUsers {
  endpoints(): readonly {
    readonly endpoint: Endpoint;
    readonly joined: Joined | undefined;
    readonly isUndeleted: boolean;
  }[];
  networks(): readonly Network[];
}

type OfNetwork = (network: Network) => Promise<TunnelSecrets>;

interface HubPeer {
  readonly link: string;
  readonly peer: PeerChange & { readonly allowedIps: readonly Prefix[] };
}

export function createHubLinks({
  links,
  store,
  log,
  hasIpv6,
  addressesOf = hostAddresses,
}: HubLinksDependencies): HubLinks {
  /** By their endpoints. Known from the Join on, and after a start from the first check. */
  const known = new Map<string, HubPeer>();
  /** Endpoints that went since the last check began. */
  const removed = new Set<string>();
  /** Key and port of each link, as they were last seen. */
  const seen = new Map<string, string>();
  /** What went wrong in this check and in the one before. */
  let complaints: Map<string, string> = new Map();
  let complaintsBefore: Map<string, string> = new Map();

  return {
    async completed(network) {
      const { hublink } = network.options;
      if (hublink === undefined) {
        return network;
      }
      const { publicKey: peerkey, listenPort: port } = await hubOf(hublink);
      if (peerkey === undefined || port === 0) {
        throw new Error(
          `${option(hublink)}: the link has no private key or no port yet; set both, and bring the link up`,
        );
      }
      const own = addressesOf(hublink);
      const missing = network.subnets.find(
        ({ gateway: { address } }) =>
          (hasIpv6 || address.kind() === 'ipv4') && !own.some((other) => sameAddress(other, address)),
      );
      if (missing !== undefined) {
        const gateway = `the network’s gateway ${missing.gateway.address.toString()}`;
        throw new Error(
          own.length === 0
            ? `${option(hublink)}: the link is down or has no address; give it ${gateway}, and bring it up`
            : `${option(hublink)}: ${gateway} is not an address of the link; create the network with an address of the link as --gateway, or add this address to the link`,
        );
      }
      return { ...network, options: { ...network.options, peer: { host: '127.0.0.1', port }, peerkey } };
    },

    async add({ options: { hublink } }, endpointId, tunnel, olderKey) {
      if (hublink === undefined) {
        return;
      }
      const peer = peerOf(tunnel);
      const before = olderKey ?? presentPeer(endpointId)?.publicKey;
      const { peers } = await hubOf(hublink);
      refuseHeld(
        hublink,
        peer,
        peers.filter(({ publicKey }) => publicKey !== before),
      );
      known.set(endpointId, { link: hublink, peer });
      const isNewKey = before !== undefined && before !== peer.publicKey;
      await links.change(
        { name: hublink },
        { peers: [peer, ...(isNewKey ? [{ publicKey: before, remove: true }] : [])] },
      );
      // What fails here must not undo what is done: it matters only if files are replaced and the driver is started anew.
      await store.putHubPeer(endpointId, { link: hublink, publicKey: peer.publicKey }).catch((cause) => {
        log.warn('a peer on the hub’s link could not be recorded', {
          endpoint: endpointId,
          cause: String(cause),
        });
      });
    },

    async remove(endpointId) {
      removed.add(endpointId);
      const own = presentPeer(endpointId);
      if (own === undefined) {
        return;
      }
      const { link, publicKey } = own;
      known.delete(endpointId);
      try {
        await links.change({ name: link }, { peers: [{ publicKey, remove: true }] });
      } catch (error) {
        log.warn('a peer could not be removed from the hub’s link', { link, cause: String(error) });
      }
    },

    async check(users, secretsOf) {
      const networks = users.networks().filter(({ options }) => options.hublink !== undefined);
      complaintsBefore = complaints;
      complaints = new Map();
      removed.clear();
      if (networks.length === 0) {
        return [];
      }
      // Their files are read once for each network, and only if they are wanted.
      const ofNetwork = oncePerKey(({ options }: Network) => secretsOf(options));
      const byId = new Map(networks.map((network) => [network.networkId, network]));
      for (const { endpoint, joined, isUndeleted } of users.endpoints()) {
        const { endpointId, networkId, addresses, options } = endpoint;
        const network = byId.get(networkId);
        const link = network?.options.hublink;
        const isWithoutPeer = joined?.stage === 'marked' && !isUndeleted && !known.has(endpointId);
        if (network === undefined || link === undefined || !isWithoutPeer) {
          continue;
        }
        await attempt(endpointId, async () => {
          const own = endpointOptionsOf(endpoint);
          const secrets = await (options === undefined
            ? ofNetwork(network)
            : secretsOf(network.options, own));
          const derived = peerOf(tunnelOf(network, addresses, secrets, own));
          const peer = { ...derived, publicKey: joined.hubPeer?.publicKey ?? derived.publicKey };
          // It may have gone meanwhile, or joined anew.
          if (!removed.has(endpointId) && !known.has(endpointId)) {
            known.set(endpointId, { link, peer });
          }
        });
      }
      const changed: string[] = [];
      for (const link of new Set(networks.map(({ options }) => options.hublink ?? ''))) {
        const own = networks.filter(({ options }) => options.hublink === link);
        await attempt(link, async () => {
          const hub = await hubOf(link);
          await checkLink(link, hub, own, ofNetwork);
          if (isOther(link, hub)) {
            log.warn('the hub’s link has another key or port', { link });
            changed.push(...own.map(({ networkId }) => networkId));
          }
        });
      }
      return changed;
    },
  };

  /** What the hub's link has of a container. */
  function presentPeer(endpointId: string): HubPeerRecord | undefined {
    const own = known.get(endpointId);
    return own === undefined
      ? store.joined(endpointId)?.hubPeer
      : { link: own.link, publicKey: own.peer.publicKey };
  }

  async function hubOf(link: string): Promise<LinkStatus> {
    const status = await links.read({ name: link });
    if (status === undefined) {
      throw new Error(`${option(link)}: this host has no WireGuard link of that name; make it first`);
    }
    return status;
  }

  function isOther(link: string, { publicKey, listenPort }: LinkStatus): boolean {
    // One that is being made has neither yet.
    if (publicKey === undefined || listenPort === 0) {
      return false;
    }
    const before = seen.get(link);
    const now = `${publicKey} ${listenPort}`;
    seen.set(link, now);
    return before !== undefined && before !== now;
  }

  async function checkLink(
    link: string,
    { peers }: LinkStatus,
    networks: readonly Network[],
    ofNetwork: OfNetwork,
  ): Promise<void> {
    const wantedNow = () => [...known.values()].filter((own) => own.link === link).map(({ peer }) => peer);
    const keysBefore = new Set(wantedNow().map(({ publicKey }) => publicKey));
    const left: PublicKey[] = [];
    for (const peer of peers.filter(({ publicKey }) => !keysBefore.has(publicKey))) {
      if (await wasOurs(peer, networks, ofNetwork)) {
        left.push(peer.publicKey);
      }
    }
    // From here on nothing is waited for: whoever comes or goes meanwhile would be set wrong again.
    const wanted = wantedNow();
    const keys = new Set(wanted.map(({ publicKey }) => publicKey));
    const surplus = left.filter((publicKey) => !keys.has(publicKey));
    const others = peers.filter(({ publicKey }) => !surplus.includes(publicKey));
    const present = new Map(others.map((peer) => [peer.publicKey, peer]));
    const changes: PeerChange[] = surplus.map((publicKey) => ({ publicKey, remove: true }));
    for (const peer of wanted.filter(
      ({ publicKey, allowedIps }) => !samePrefixes(allowedIps, present.get(publicKey)?.allowedIps ?? []),
    )) {
      try {
        refuseHeld(link, peer, others);
        changes.push(peer);
      } catch (error) {
        complain(`${link} ${peer.publicKey}`, error);
      }
    }
    if (changes.length > 0) {
      await links.change({ name: link }, { peers: changes });
      log.info('corrected peers of the hub’s link', {
        link,
        added: changes.length - surplus.length,
        removed: surplus.length,
      });
    }
  }

  async function attempt(subject: string, task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      complain(subject, error);
    }
  }

  /** A failure is told of once, until it is another or over. */
  function complain(subject: string, error: unknown): void {
    const cause = error instanceof Error ? error.message : String(error);
    complaints.set(subject, cause);
    if (complaintsBefore.get(subject) !== cause) {
      log.warn('the hub’s link could not be checked', { cause });
    }
  }
}

function option(link: string): string {
  return `option ${optionPrefix}hublink=${link}`;
}

/** The hub's side of a container's tunnel. */
function peerOf({ addresses, privateKey, peers: [hub] }: Tunnel): HubPeer['peer'] {
  return {
    publicKey: publicKeyOf(privateKey),
    presharedKey: hub?.presharedKey ?? 'none',
    allowedIps: addresses.map(({ address }) => hostPrefix(address)),
  };
}

/** WireGuard would take the prefix from whoever has it, without a word. @throws Error */
function refuseHeld(link: string, peer: HubPeer['peer'], peers: readonly PeerStatus[]): void {
  for (const prefix of peer.allowedIps.map(formatPrefix)) {
    const holder = peers.find(
      ({ publicKey, allowedIps }) =>
        publicKey !== peer.publicKey && allowedIps.some((other) => formatPrefix(other) === prefix),
    );
    if (holder !== undefined) {
      throw new Error(
        `${option(link)}: peer ${holder.publicKey} of the link already has ${prefix}; remove it there, or choose another address with --ip`,
      );
    }
  }
}

/**
 * Was it the peer of a container of these networks? It has single addresses of theirs, the key that is derived from them,
 * and it was reached at a loopback address, as the containers of this host alone are: one of another host with the same
 * seed has no other endpoint here than that host's, and stays.
 */
async function wasOurs(
  { publicKey, allowedIps, endpoint }: PeerStatus,
  networks: readonly Network[],
  ofNetwork: OfNetwork,
): Promise<boolean> {
  if (endpoint?.address.range() !== 'loopback' || allowedIps.length === 0) {
    return false;
  }
  for (const network of networks) {
    const isWithin = (prefix: Prefix) =>
      prefix.length === bits(prefix.address) && network.subnets.some(({ pool }) => covers(pool, prefix));
    if (allowedIps.every(isWithin)) {
      const tunnel = tunnelOf(network, allowedIps, await ofNetwork(network));
      if (publicKeyOf(tunnel.privateKey) === publicKey) {
        return true;
      }
    }
  }
  return false;
}
