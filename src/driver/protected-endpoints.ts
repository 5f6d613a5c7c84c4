import { createLimit } from '../concurrency.ts';
import type { Guard, Protected } from '../killswitch/killswitch.ts';
import type { TunnelScope } from '../killswitch/rules.ts';
import type { Links } from '../links/links.ts';
import type { Log } from '../log.ts';
import type { Network } from '../networks/network.ts';
import { optionPrefix } from '../networks/options.ts';
import { hasOtherPrefixes } from '../networks/renewal.ts';
import { scopeOf, scopeOfPeers } from '../networks/scope.ts';
import { peersOf, type TunnelPeer, type TunnelSecrets } from '../networks/tunnel.ts';
import type { Joined, Store } from '../state/store.ts';
import type { Configurations } from './configurations.ts';
import { type EndpointStates, placeOf } from './endpoint-states.ts';
import { oncePerKey } from './once.ts';
import type { Queue } from './queue.ts';

export interface ProtectionsDependencies {
  readonly store: Store;
  readonly links: Pick<Links, 'readDevice'>;
  readonly guard: Guard;
  readonly configurations: Configurations;
  readonly states: Pick<EndpointStates, 'isBrokenJoin'>;
  readonly inEndpoint: Queue;
  readonly log: Log;
}

/**
 * The kill switch of containers, as their networks ask for it, from their Joins until after they are gone. A container is
 * protected for all its networks or left as it is: what one of them closes, the others alone would open.
 */
export interface Protections {
  /** @throws Error if this host cannot protect the containers of a network, with what to do */
  expect(network: Network): Promise<void>;
  /**
   * @param linkIndex of the link, where the container’s default route is by it
   * @returns undefined where the kill switch is off
   * @throws Error; also if the container is on another network whose kill switch an earlier driver has put there, and it
   * cannot be known what that one asks for now
   */
  protect(
    network: Network,
    secrets: TunnelSecrets,
    endpointId: string,
    sandbox: string,
    linkIndex: number | undefined,
  ): Promise<Protected | undefined>;
  /** The same of the containers that run in a network whose scope has changed. */
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

/** What a network’s tunnels are for, as its options and its file have it now. */
interface Asked {
  readonly peers: readonly TunnelPeer[];
  readonly scope: TunnelScope;
}
type AskedOf = (network: Network) => Promise<Asked>;

/** Each takes the network namespace of a container, or some programs. */
const linksAtOnce = 4;

export function createProtections({
  store,
  links,
  guard,
  configurations,
  states,
  inEndpoint,
  log,
}: ProtectionsDependencies): Protections {
  /** Why running containers could not be protected when that was tried last. */
  const unprotectable = new Map<string, string>();
  /** Endpoints whose links have other AllowedIPs than the file, as the log was told. */
  const toldOfOthers = new Set<string>();
  const limited = createLimit(linksAtOnce);
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
      const scope = scopeOf(network, secrets);
      const protection = await protectWithOthers({ endpointId, sandbox }, scope, linkIndex);
      refuseUnseen(protection, sandbox);
      return protection;
    },

    async renew(network, secrets, running) {
      const scope = scopeOf(network, secrets);
      await Promise.all(running.map((joined) => protectWithOthers(joined, scope)));
    },

    async protectAll() {
      const askedOf = readOnce();
      // Of networks without a kill switch as well, whose hubs are followed. What cannot be read is told below.
      const unread = store
        .networks()
        .filter(
          ({ networkId, options }) =>
            options.conffile !== undefined && configurations.lastRead(networkId).configuration === undefined,
        );
      await Promise.allSettled(unread.map(askedOf));
      const bySandbox = new Map<string, Joined[]>();
      for (const joined of store.allJoined().filter(isUnguarded)) {
        bySandbox.set(joined.sandbox, [...(bySandbox.get(joined.sandbox) ?? []), joined]);
      }
      await Promise.all([...bySandbox.values()].map((joined) => protectRunning(joined, askedOf)));
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
      toldOfOthers.delete(endpointId);
    },

    async close() {
      isClosed = true;
      await Promise.all([...releasing].map((endpointId) => inEndpoint(endpointId, async () => {})));
    },
  };

  /**
   * Of a running container, that the guard should know of and does not. On a network that cannot be used an earlier driver may
   * have protected it.
   */
  function isUnguarded(joined: Joined): boolean {
    const { endpointId, sandbox, stage } = joined;
    const endpoint = store.endpoint(endpointId);
    return (
      stage === 'marked' &&
      store.joined(endpointId) === joined &&
      endpoint !== undefined &&
      store.network(endpoint.networkId)?.options.killswitch !== 'off' &&
      guard.stateOf(sandbox, endpointId) === undefined
    );
  }

  /** Reads the file of each network once. */
  function readOnce(): AskedOf {
    return oncePerKey(async (network) => {
      const read = await configurations.readConfiguration(network);
      return { peers: peersOf(network, read), scope: scopeOf(network, read) };
    });
  }

  /**
   * What a running container’s tunnel is for. The AllowedIPs of its own link are those of its start, as its routes are,
   * whatever the file says now.
   * @throws Error if it cannot be known
   */
  async function scopeOfRunning(joined: Joined, askedOf: AskedOf): Promise<TunnelScope> {
    const { endpointId } = joined;
    const networkId = networkIdOf(joined);
    const network = store.network(networkId);
    if (network === undefined) {
      const cause = store.unusableNetwork(networkId) ?? 'it is not known';
      throw new Error(`network ${networkId} cannot be used: ${cause}`);
    }
    const { peers, scope } = await askedOf(network);
    if (network.options.conffile === undefined || network.isShared) {
      return scope;
    }
    const status = await limited(() => links.readDevice(placeOf(endpointId, joined)));
    // Without peers it was not configured yet: its Join was cut short.
    if (status === undefined || status.peers.length === 0 || !hasOtherPrefixes(status, { peers })) {
      return scope;
    }
    if (!toldOfOthers.has(endpointId)) {
      toldOfOthers.add(endpointId);
      log.warn('AllowedIPs have changed: restart the container, because its routes are set when it starts', {
        network: networkId,
        endpoint: endpointId,
      });
    }
    return scopeOfPeers(network, status.peers);
  }

  /** Protects a container for a tunnel, and for its others that the guard does not know of. @throws Error */
  async function protectWithOthers(
    { endpointId, sandbox }: Pick<Joined, 'endpointId' | 'sandbox'>,
    scope: TunnelScope,
    linkIndex?: number,
  ): Promise<Protected> {
    const askedOf = readOnce();
    const others = await Promise.all(
      store
        .allJoined()
        .filter((other) => other.sandbox === sandbox && other.endpointId !== endpointId && isUnguarded(other))
        .map(async (other) => {
          try {
            return { other, scope: await scopeOfRunning(other, askedOf) };
          } catch (error) {
            throw new Error(
              `this network alone would open the kill switch of the container’s network ${networkIdOf(other)}, and ` +
                `the driver cannot tell what that one keeps in its tunnel: ${(error as Error).message}`,
            );
          }
        }),
    );
    const [protection] = await Promise.all([
      guard.protect(sandbox, endpointId, scope, linkIndex),
      ...others.map(({ other, scope: own }) => protectUnguarded(other, own)),
    ]);
    return protection;
  }

  /** Protects a container that runs for its tunnels that the guard does not know of. Does not reject. */
  async function protectRunning(all: readonly Joined[], askedOf: AskedOf): Promise<void> {
    // Begun in their turn, as calls for them may be under way. Others need not wait until it is done.
    const { begun } = await inTurnOf(all, async () => {
      const missing = all.filter(isUnguarded);
      const scopes = new Map<Joined, TunnelScope>();
      for (const joined of missing) {
        try {
          scopes.set(joined, await scopeOfRunning(joined, askedOf));
        } catch (error) {
          noteUnprotectable(joined, error);
        }
      }
      const known = scopes.size === missing.length ? [...scopes] : [];
      return {
        begun: known.map(([joined, scope]) =>
          protectUnguarded(joined, scope).catch((error) => noteUnprotectable(joined, error)),
        ),
      };
    });
    await Promise.all(begun);
  }

  async function protectUnguarded(joined: Joined, scope: TunnelScope): Promise<void> {
    const { endpointId, sandbox } = joined;
    const isNeeded = isUnguarded(joined);
    if (isNeeded) {
      refuseUnseen(await guard.protect(sandbox, endpointId, scope), sandbox);
    }
    if (unprotectable.delete(endpointId) && isNeeded) {
      log.info('container protected after earlier failures', { endpoint: endpointId });
    }
  }

  function noteUnprotectable({ endpointId }: Joined, error: unknown): void {
    const cause = String(error);
    if (unprotectable.get(endpointId) !== cause) {
      log.error('a container could not be protected; trying again', {
        endpoint: endpointId,
        cause,
      });
    }
    unprotectable.set(endpointId, cause);
  }

  /** In one order, so that no two wait for one another. */
  function inTurnOf<Result>(all: readonly Joined[], task: () => Promise<Result>): Promise<Result> {
    const ids = all.map(({ endpointId }) => endpointId).toSorted();
    return ids.reduce((next, id) => () => inEndpoint(id, next), task)();
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

  function networkIdOf({ endpointId }: Joined): string {
    return store.endpoint(endpointId)?.networkId ?? '';
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
