import type { Network } from '../networks/network.ts';
import type { TunnelSecrets } from '../networks/tunnel.ts';
import type { Store } from '../state/store.ts';
import { type PrivateKey, type PublicKey, publicKeyOf } from '../wireguard/key.ts';
import { createQueue } from './queue.ts';
import { readConfiguration } from './secrets.ts';

export interface NetworkKeysDependencies {
  readonly store: Pick<Store, 'networks'>;
  /** What the relative paths of files that options name are relative to. */
  readonly secretsFolder: string;
  /** Forgets a network that the engine has lost. @returns whether it did */
  readonly forgetIfLost: (network: Network) => Promise<boolean>;
}

/**
 * Does a task that creates a network whose configuration file has this private key.
 * @throws Error if another network on this host has the same: the hub would flap between the two
 */
export type WithNetworkKey = (
  network: Network,
  privateKey: PrivateKey,
  task: () => Promise<void>,
) => Promise<void>;

/** What own-keys.ts is for links that run, this is for networks that are created, by what their files say. */
export function createNetworkKeys({
  store,
  secretsFolder,
  forgetIfLost,
}: NetworkKeysDependencies): WithNetworkKey {
  const inKey = createQueue();

  return (network, privateKey, task) => {
    const publicKey = publicKeyOf(privateKey);
    // One at a time, so that of two networks with one key the second sees the first.
    return inKey(publicKey, async () => {
      await refuseUsed(network, publicKey);
      await task();
    });
  };

  async function refuseUsed({ networkId, options }: Network, publicKey: PublicKey): Promise<void> {
    for (const other of store.networks().filter((each) => each.networkId !== networkId)) {
      // What cannot be read now is judged by nobody; a container would not start on it.
      const { configuration } = await readConfiguration(other.options, secretsFolder).catch(
        (): Pick<TunnelSecrets, 'configuration'> => ({}),
      );
      if (configuration?.privateKey !== undefined && publicKeyOf(configuration.privateKey) === publicKey) {
        if (await forgetIfLost(other)) {
          continue;
        }
        throw new Error(
          `configuration file ${options.conffile?.file}: network ${other.networkId} on this host has the same PrivateKey, and two links with one key cut each other off; remove that network, or use another file. If \`docker network ls\` does not show it, restart the driver and try again`,
        );
      }
    }
  }
}
