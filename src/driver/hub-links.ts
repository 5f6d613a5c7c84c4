import { networkInterfaces } from 'node:os';
import type { Links } from '../links/links.ts';
import type { Log } from '../log.ts';
import type { Network } from '../networks/network.ts';
import { type EndpointOptions, type NetworkOptions, optionPrefix } from '../networks/options.ts';
import { type Tunnel, type TunnelSecrets, tunnelOf } from '../networks/tunnel.ts';
import type { Endpoint, Joined } from '../state/store.ts';
import {
  type Address,
  bits,
  covers,
  formatPrefix,
  hostPrefix,
  type Prefix,
  parseAddress,
  sameAddress,
} from '../wireguard/address.ts';
import type { PeerChange } from '../wireguard/change.ts';
import { type PublicKey, publicKeyOf } from '../wireguard/key.ts';
import type { LinkStatus, PeerStatus } from '../wireguard/status.ts';
import { endpointOptionsOf } from './secrets.ts';

export interface HubLinksDependencies {
  readonly links: Pick<Links, 'read' | 'change'>;
  readonly log: Log;
  /** The addresses of a link of the host. */
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
   */
  check(users: HubLinkUsers, secretsOf: SecretsOf): Promise<void>;
}

/** The containers that a hub's link has peers for (lifecycle.ts). */
export interface HubLinkUsers {
  endpoints(): readonly {
    readonly endpoint: Endpoint;
    readonly joined: Joined | undefined;
    readonly isUndeleted: boolean;
  }[];
  /** @throws Error for one that cannot be used */
  network(networkId: string): Network;
}

interface HubPeer {
  readonly link: string;
  readonly peer: PeerChange & { readonly allowedIps: readonly Prefix[] };
}

export function createHubLinks({ links, log, addressesOf = hostAddresses }: HubLinksDependencies): HubLinks {
  /** By their endpoints. Known from the Join on, and after a start from the first check. */
  const known = new Map<string, HubPeer>();
  const complaints = new Map<string, string>();

  return {
    async completed(network) {
      const { hublink } = network.options;
      if (hublink === undefined) {
        return network;
      }
      const { publicKey: peerkey, listenPort: port } = await hubOf(hublink);
      if (peerkey === undefined || port === 0) {
        throw new Error(
          `${option(hublink)}: the link has no private key or no port yet; set both, and set it up`,
        );
      }
      const own = addressesOf(hublink);
      const missing = network.subnets.find(
        ({ gateway }) => !own.some((address) => sameAddress(address, gateway.address)),
      );
      if (missing !== undefined) {
        throw new Error(
          `${option(hublink)}: the network’s gateway ${missing.gateway.address.toString()} is not an address of the link; ` +
            'create the network with the --gateway that it has, or give it the address',
        );
      }
      return { ...network, options: { ...network.options, peer: { host: '127.0.0.1', port }, peerkey } };
    },

    async add({ options: { hublink } }, endpointId, tunnel, olderKey) {
      if (hublink === undefined) {
        return;
      }
      const peer = peerOf(tunnel);
      const before = olderKey ?? known.get(endpointId)?.peer.publicKey;
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
    },

    async remove(endpointId) {
      const own = known.get(endpointId);
      if (own === undefined) {
        return;
      }
      known.delete(endpointId);
      try {
        await links.change({ name: own.link }, { peers: [{ publicKey: own.peer.publicKey, remove: true }] });
      } catch (error) {
        log.warn('a peer could not be taken from the hub’s link', { link: own.link, cause: String(error) });
      }
    },

    async check(users, secretsOf) {
      const networks = new Map<string, Network>();
      for (const { endpoint, joined, isUndeleted } of users.endpoints()) {
        const { endpointId, networkId, addresses } = endpoint;
        await attempt(networkId, async () => {
          const network = networks.get(networkId) ?? users.network(networkId);
          const { hublink } = network.options;
          if (hublink === undefined) {
            return;
          }
          networks.set(networkId, network);
          if (joined?.stage !== 'marked' || isUndeleted) {
            return;
          }
          if (!known.has(endpointId)) {
            const ownOptions = endpointOptionsOf(endpoint);
            const secrets = await secretsOf(network.options, ownOptions);
            const tunnel = tunnelOf(network, addresses, secrets, ownOptions);
            known.set(endpointId, { link: hublink, peer: peerOf(tunnel) });
          }
        });
      }
      for (const link of new Set([...networks.values()].map(({ options }) => options.hublink ?? ''))) {
        const own = [...networks.values()].filter(({ options }) => options.hublink === link);
        await attempt(link, () => checkLink(link, own, secretsOf));
      }
    },
  };

  async function hubOf(link: string): Promise<LinkStatus> {
    const status = await links.read({ name: link });
    if (status === undefined) {
      throw new Error(`${option(link)}: there is no such link on this host; make it first`);
    }
    return status;
  }

  async function checkLink(link: string, networks: readonly Network[], secretsOf: SecretsOf): Promise<void> {
    const { peers } = await hubOf(link);
    const wanted = [...known.values()].filter((own) => own.link === link).map(({ peer }) => peer);
    const keys = new Set(wanted.map(({ publicKey }) => publicKey));
    const left: PublicKey[] = [];
    for (const peer of peers) {
      if (!keys.has(peer.publicKey) && (await isOurs(peer, networks, secretsOf))) {
        left.push(peer.publicKey);
      }
    }
    const others = peers.filter(({ publicKey }) => !left.includes(publicKey));
    const missing = wanted.filter(
      (peer) =>
        !samePrefixes(
          peer,
          others.find(({ publicKey }) => publicKey === peer.publicKey),
        ),
    );
    const changes: PeerChange[] = left.map((publicKey) => ({ publicKey, remove: true }));
    for (const peer of missing) {
      await attempt(`${link} ${peer.publicKey}`, async () => {
        refuseHeld(link, peer, others);
        changes.push(peer);
      });
    }
    if (changes.length > 0) {
      await links.change({ name: link }, { peers: changes });
      log.info('peers of the hub’s link set right', {
        link,
        added: changes.length - left.length,
        removed: left.length,
      });
    }
  }

  /** A failure is told of once, until it is another or over. */
  async function attempt(subject: string, task: () => Promise<void>): Promise<void> {
    try {
      await task();
      complaints.delete(subject);
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
      if (complaints.get(subject) !== cause) {
        complaints.set(subject, cause);
        log.warn('the hub’s link could not be checked', { cause });
      }
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
        `${option(link)}: peer ${holder.publicKey} of the link has ${prefix} already; remove it there, or choose another ` +
          'address with --ip',
      );
    }
  }
}

/**
 * Is it the peer of a container that these networks could have? It has single addresses of theirs, and the key that is
 * derived from them: nobody else has that.
 */
async function isOurs(
  { publicKey, allowedIps }: PeerStatus,
  networks: readonly Network[],
  secretsOf: SecretsOf,
): Promise<boolean> {
  for (const network of networks) {
    const isWithin = (prefix: Prefix) =>
      prefix.length === bits(prefix.address) && network.subnets.some(({ pool }) => covers(pool, prefix));
    if (allowedIps.length > 0 && allowedIps.every(isWithin)) {
      const tunnel = tunnelOf(network, allowedIps, await secretsOf(network.options));
      if (publicKeyOf(tunnel.privateKey) === publicKey) {
        return true;
      }
    }
  }
  return false;
}

function samePrefixes({ allowedIps }: HubPeer['peer'], present: PeerStatus | undefined): boolean {
  const texts = new Set(present?.allowedIps.map(formatPrefix));
  return texts.size === allowedIps.length && allowedIps.every((prefix) => texts.has(formatPrefix(prefix)));
}

function hostAddresses(link: string): Address[] {
  return (networkInterfaces()[link] ?? []).flatMap(({ address }) => parseAddress(address) ?? []);
}
