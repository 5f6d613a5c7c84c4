import { refuseUnfit } from '../networks/conf-file.ts';
import type { Network } from '../networks/network.ts';
import type { EndpointOptions } from '../networks/options.ts';
import { movedPeers } from '../networks/renewal.ts';
import { peersOf, type TunnelPeer, type TunnelSecrets } from '../networks/tunnel.ts';
import type { Store } from '../state/store.ts';
import { parseAddress } from '../wireguard/address.ts';
import type { WgQuickFile } from '../wireguard/config/wg-quick-reader.ts';
import type { PublicKey } from '../wireguard/key.ts';
import { readConfiguration, readSecrets } from './secrets.ts';

/**
 * The files that networks name: reads them, and remembers what their configuration files said. One that does not go with its
 * network, as when it is half written, is refused like one that cannot be read.
 */
export interface Configurations {
  /** Reads the files again that a network names, and an endpoint. @throws Error */
  readSecrets(network: Network, own?: EndpointOptions): Promise<TunnelSecrets>;
  /** Reads the configuration file of a network again, if it names one. @throws Error */
  readConfiguration(network: Network): Promise<Pick<TunnelSecrets, 'configuration'>>;
  /** What the configuration file of a network said when it was last read; nothing if it was not. */
  lastRead(networkId: string): Pick<TunnelSecrets, 'configuration'>;
  /**
   * Peers of a network’s configuration file whose endpoints links may not have yet: those that changed in the file since
   * all its links were last renewed. Of links that an earlier driver may have left, all whose endpoint is an address; a name
   * may have several, and a link stays with the one that works.
   */
  movedPeers(networkId: string): ReadonlySet<PublicKey>;
  /** All links of a network have the endpoints of what `movedPeers` answered, unless its file was read again since. */
  noteRenewed(networkId: string, moved: ReadonlySet<PublicKey>): void;
  forget(networkId: string): void;
}

/** @param secretsFolder what the relative paths of files that options name are relative to */
export function createConfigurations(store: Pick<Store, 'networks'>, secretsFolder: string): Configurations {
  const configurations = new Map<string, WgQuickFile>();
  /** Peers whose endpoints have changed since the links of their networks were renewed. */
  const moved = new Map<string, ReadonlySet<PublicKey>>();
  /** An earlier driver may have made links of these, and nobody knows by which file. */
  const inherited = new Set(store.networks().map(({ networkId }) => networkId));

  return {
    async readSecrets(network, own = {}) {
      const secrets = await readSecrets(network.options, secretsFolder, own);
      remember(network, secrets);
      return secrets;
    },

    async readConfiguration(network) {
      const read = await readConfiguration(network.options, secretsFolder);
      remember(network, read);
      return read;
    },

    lastRead(networkId) {
      const configuration = configurations.get(networkId);
      return configuration === undefined ? {} : { configuration };
    },

    movedPeers: movedPeersOf,

    noteRenewed(networkId, renewed) {
      if (moved.get(networkId) === renewed) {
        moved.delete(networkId);
      }
    },

    forget(networkId) {
      configurations.delete(networkId);
      moved.delete(networkId);
      inherited.delete(networkId);
    },
  };

  function remember(network: Network, { configuration }: Pick<TunnelSecrets, 'configuration'>): void {
    if (configuration === undefined) {
      return;
    }
    refuseUnfit(network, configuration);
    const { networkId } = network;
    const before = configurations.get(networkId);
    configurations.set(networkId, configuration);
    const now = peersOf(network, { configuration });
    const others =
      before !== undefined
        ? movedPeers(peersOf(network, { configuration: before }), now)
        : inherited.has(networkId)
          ? now.filter(hasLiteralEndpoint).map(({ publicKey }) => publicKey)
          : [];
    if (others.length > 0) {
      moved.set(networkId, new Set([...movedPeersOf(networkId), ...others]));
    }
  }

  function movedPeersOf(networkId: string): ReadonlySet<PublicKey> {
    return moved.get(networkId) ?? new Set();
  }
}

function hasLiteralEndpoint({ endpoint }: TunnelPeer): boolean {
  return endpoint !== undefined && parseAddress(endpoint.host) !== undefined;
}
