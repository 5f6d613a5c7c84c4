import type { Log } from '../log.ts';
import type { Lifecycle } from './lifecycle.ts';

export interface SharedHealingDependencies {
  readonly lifecycle: Pick<Lifecycle, 'healSharedTunnels'>;
  readonly log: Log;
  /** An attempt failed. */
  readonly onFailure?: (() => void) | undefined;
}

/**
 * Makes a function that looks whether the namespaces of shared tunnels are there, and makes them anew with the links of
 * the containers that run. It does not reject: what fails is told once, and tried again the next time.
 */
export function createSharedHealing({
  lifecycle,
  log,
  onFailure,
}: SharedHealingDependencies): () => Promise<void> {
  let told = new Set<string>();
  return async () => {
    const before = told;
    told = new Set();
    for (const { networkId: network, containers, failures } of await lifecycle.healSharedTunnels()) {
      if (containers > 0) {
        log.warn('a shared tunnel was lost and has been restored for its containers', {
          network,
          containers,
        });
      }
      for (const { endpointId, cause } of failures) {
        const text = `${network} ${endpointId} ${cause}`;
        told.add(text);
        if (!before.has(text)) {
          onFailure?.();
          log.error('a shared tunnel was lost and could not be restored; trying again', {
            network,
            endpoint: endpointId,
            cause,
          });
        }
      }
    }
  };
}
