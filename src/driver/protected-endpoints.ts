import type { Guard, Protected } from '../killswitch/killswitch.ts';
import type { TunnelScope } from '../killswitch/rules.ts';
import type { Log } from '../log.ts';
import type { Network } from '../networks/network.ts';
import { optionPrefix } from '../networks/options.ts';
import { scopeOf } from '../networks/scope.ts';
import type { TunnelSecrets } from '../networks/tunnel.ts';
import type { Joined, Store } from '../state/store.ts';
import type { Configurations } from './configurations.ts';
import type { EndpointStates } from './endpoint-states.ts';
import { oncePerKey } from './once.ts';
import type { Queue } from './queue.ts';

export interface ProtectionsDependencies {
  readonly store: Store;
  readonly guard: Guard;
  readonly configurations: Configurations;
  readonly states: Pick<EndpointStates, 'isBrokenJoin'>;
  readonly inEndpoint: Queue;
  readonly log: Log;
}

/** The kill switch of containers, as their networks ask for it, from their Joins until after they are gone. */
export interface Protections {
  /** @throws Error if this host cannot protect the containers of a network, with what to do */
  expect(network: Network): Promise<void>;
  /**
   * @param linkIndex of the link, where the container’s default route is by it
   * @returns undefined where the kill switch is off
   * @throws Error
   */
  protect(
    network: Network,
    secrets: TunnelSecrets,
    endpointId: string,
    sandbox: string,
    linkIndex: number | undefined,
  ): Promise<Protected | undefined>;
  /** As Guard’s `protect`, of the containers that run in a network whose scope has changed. */
  renew(network: Network, secrets: TunnelSecrets, running: readonly Joined[]): Promise<void>;
  /**
   * Protects the containers that run already, whose networks may have changed meanwhile, and will. A later call does so for those
   * that could not be protected before, as when a network’s file could not be read. Does not reject.
   */
  protectAll(): Promise<void>;
  /** The engine takes the link away from the container next. */
  leave(endpointId: string): void;
  /** Is an endpoint’s container protected, as far as its network says? */
  isGuarded(endpointId: string): boolean;
  /** The protection goes later, and the record of the Join with it; what fails is tried again by reconcile. */
  release(endpointId: string): void;
  /** The endpoint is no more. */
  forget(endpointId: string): void;
  /** From now on records outlive protections that go. Resolves when those that are going have gone. */
  close(): Promise<void>;
}

export function createProtections({
  store,
  guard,
  configurations,
  states,
  inEndpoint,
  log,
}: ProtectionsDependencies): Protections {
  /** Why running containers could not be protected when that was tried last. */
  const unprotectable = new Map<string, string>();
  /** Endpoints whose protection is about to go. */
  const releasing = new Set<string>();
  let isClosed = false;

  return {
    async expect({ options }) {
      if (options.killswitch !== 'off') {
        await guard.probe().catch((error: Error) => {
          throw new Error(
            `${error.message}. If traffic may leave unencrypted, create the network with -o ` +
              `${optionPrefix}killswitch=off`,
          );
        });
      }
    },

    async protect(network, secrets, endpointId, sandbox, linkIndex) {
      if (network.options.killswitch === 'off') {
        return undefined;
      }
      const protection = await guard.protect(sandbox, endpointId, scopeOf(network, secrets), linkIndex);
      refuseUnseen(protection, sandbox);
      return protection;
    },

    async renew(network, secrets, running) {
      const scope = scopeOf(network, secrets);
      await Promise.all(running.map(({ endpointId, sandbox }) => guard.protect(sandbox, endpointId, scope)));
    },

    async protectAll() {
      const scopeIn = oncePerKey(async (network: Network) =>
        scopeOf(network, await configurations.readConfiguration(network)),
      );
      // Of networks without a kill switch as well, whose hubs are followed. What cannot be read is told below.
      const unread = store
        .networks()
        .filter(
          ({ networkId, options }) =>
            options.conffile !== undefined && configurations.lastRead(networkId).configuration === undefined,
        );
      await Promise.allSettled(unread.map(scopeIn));
      // All at once: a container is protected for all its networks or not at all.
      await Promise.all(
        store
          .allJoined()
          .filter(isUnguarded)
          .map(async (joined) => {
            const { endpointId } = joined;
            try {
              await protectRunning(joined, scopeIn);
              unprotectable.delete(endpointId);
            } catch (error) {
              const cause = String(error);
              if (unprotectable.get(endpointId) !== cause) {
                log.error('a container could not be protected; trying again', {
                  endpoint: endpointId,
                  cause,
                });
              }
              unprotectable.set(endpointId, cause);
            }
          }),
      );
    },

    leave(endpointId) {
      guard.leave(store.joined(endpointId)?.sandbox ?? '', endpointId);
    },

    isGuarded: (endpointId) => guardedNetworkOf(endpointId) !== undefined,

    release(endpointId) {
      if (releasing.has(endpointId)) {
        return;
      }
      releasing.add(endpointId);
      guard
        .release(store.joined(endpointId)?.sandbox ?? '', endpointId)
        .then(() => inEndpoint(endpointId, () => forgetReleased(endpointId)))
        .catch((cause) => {
          log.warn('a container’s protection could not be taken away', {
            endpoint: endpointId,
            cause: String(cause),
          });
        })
        .finally(() => releasing.delete(endpointId));
    },

    forget(endpointId) {
      unprotectable.delete(endpointId);
    },

    async close() {
      isClosed = true;
      await Promise.all([...releasing].map((endpointId) => inEndpoint(endpointId, async () => {})));
    },
  };

  /** Of a running container, that the guard should know of and does not. */
  function isUnguarded({ endpointId, sandbox, stage }: Joined): boolean {
    return (
      stage === 'marked' &&
      guardedNetworkOf(endpointId) !== undefined &&
      guard.stateOf(sandbox, endpointId) === undefined
    );
  }

  async function protectRunning(
    joined: Joined,
    scopeIn: (network: Network) => Promise<TunnelScope>,
  ): Promise<void> {
    const { endpointId, sandbox } = joined;
    const network = guardedNetworkOf(endpointId);
    if (network === undefined) {
      return;
    }
    const scope = await scopeIn(network);
    // Begun in its turn, as a call for it may be under way. Others need not wait until it is done.
    const { protection } = await inEndpoint(endpointId, async () => ({
      protection:
        store.joined(endpointId) === joined && isUnguarded(joined)
          ? guard.protect(sandbox, endpointId, scope)
          : undefined,
    }));
    refuseUnseen(await protection, sandbox);
  }

  async function forgetReleased(endpointId: string): Promise<void> {
    // The folder may be another driver’s by now, which makes up for it.
    if (isClosed) {
      return;
    }
    const stage = store.joined(endpointId)?.stage;
    // It may have joined anew.
    if (stage === 'leaving' || (stage === 'marked' && states.isBrokenJoin(endpointId))) {
      await store.removeJoined(endpointId);
    }
  }

  function guardedNetworkOf(endpointId: string): Network | undefined {
    const network = store.network(store.endpoint(endpointId)?.networkId ?? '');
    return network?.options.killswitch === 'off' ? undefined : network;
  }
}

/** @throws Error */
function refuseUnseen(protection: Protected | undefined, sandbox: string): void {
  if (protection === 'unseen') {
    throw new Error(
      `this driver does not see a network namespace at ${sandbox}, so it cannot keep the container’s traffic in ` +
        'the tunnel; if the driver has mounts of its own, mount that folder with propagation (rslave)',
    );
  }
}
