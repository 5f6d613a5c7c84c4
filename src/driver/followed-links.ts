import { createLimit, type Limit } from '../concurrency.ts';
import { LinkError } from '../links/links.ts';
import type { Log } from '../log.ts';
import type { TunnelPeer } from '../networks/tunnel.ts';
import type { EndpointState } from './endpoint-states.ts';
import type { Lifecycle } from './lifecycle.ts';

export interface FollowedLinksDependencies {
  readonly lifecycle: Pick<Lifecycle, 'tunnels' | 'network' | 'peers'>;
  readonly log: Log;
  /** A link could not be read or changed. */
  readonly onFailure?: (() => void) | undefined;
}

/** The links that are kept in touch with their hubs. */
export interface FollowedLinks {
  /** The tunnels whose links carry traffic, or should. */
  inUse(): EndpointState[];
  /** The peers whose hubs are followed. */
  peersOf(networkId: string): readonly TunnelPeer[];
  /** Does something with a link. Does not reject: what went wrong is told once for each link. */
  attempt(limit: Limit, state: EndpointState, task: () => Promise<void>): Promise<void>;
  /** Forgets what was told of links that are not among these. */
  forgetOthers(endpointIds: ReadonlySet<string>): void;
}

/** Each takes the network namespace of a container, or a program. */
export const limitLinks = () => createLimit(8);

export function createFollowedLinks({ lifecycle, log, onFailure }: FollowedLinksDependencies): FollowedLinks {
  const complained = new Set<string>();

  return {
    inUse: () =>
      lifecycle.tunnels().filter(({ joined, isUndeleted }) => joined?.stage === 'marked' && !isUndeleted),

    peersOf(networkId) {
      try {
        const network = lifecycle.network(networkId);
        // A hub on this host has no name to follow and does not move.
        return network.options.hublink === undefined ? lifecycle.peers(networkId) : [];
      } catch {
        // Of a newer driver's making: its links stay as they are.
        return [];
      }
    },

    async attempt(limit, state, task) {
      const { endpointId } = state.endpoint;
      try {
        await limit(task);
        complained.delete(endpointId);
      } catch (error) {
        if (error instanceof LinkError && error.code === 'ENODEV') {
          // Its container has ended meanwhile.
          return;
        }
        onFailure?.();
        if (!complained.has(endpointId)) {
          complained.add(endpointId);
          log.warn('a link could not be checked', { ...fieldsOf(state), cause: String(error) });
        }
      }
    },

    forgetOthers: (endpointIds) => keepOnly(complained, endpointIds),
  };
}

/** Takes what is not in `wanted` out of `all`. */
export function keepOnly(
  all: Pick<Set<string> | Map<string, unknown>, 'keys' | 'delete'>,
  wanted: { has(key: string): boolean },
): void {
  for (const key of all.keys()) {
    if (!wanted.has(key)) {
      all.delete(key);
    }
  }
}

/** Of a link in the log. */
export function fieldsOf({ endpoint: { endpointId, networkId } }: EndpointState) {
  return { network: networkId, endpoint: endpointId };
}
