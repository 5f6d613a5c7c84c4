import type { Guard } from '../killswitch/killswitch.ts';
import type { Log } from '../log.ts';
import { covers, hostPrefix } from '../wireguard/address.ts';
import { type EndpointState, fieldsOf } from './endpoint-states.ts';
import type { Lifecycle } from './lifecycle.ts';

export interface LostIpv6Dependencies {
  readonly lifecycle: Pick<Lifecycle, 'endpoints'>;
  readonly guard: Pick<Guard, 'networksOf'>;
  readonly log: Log;
  /** The networks that the log was told of. */
  readonly told: Set<string>;
  /** Milliseconds on a clock that only goes forward. */
  readonly now: () => number;
}

/** By then the engine has moved the link, and mostly the container's sysctls are set. */
const settledMs = 5000;

/** By then they are set on a busy machine too, where seconds go by between the link's addresses and the sysctls. */
const overMs = 60_000;

/**
 * Makes a function that looks at each container in its first minute, to be called every 15 seconds: engines before 28
 * give a link its IPv6 address and then disable IPv6 in the container, if its sysctls say so, which takes the address
 * away without a word. Containers that an earlier driver started were its to tell of.
 */
export function createLostIpv6Check({ lifecycle, guard, log, told, now }: LostIpv6Dependencies) {
  /** By the ids of endpoints, the revisions that were looked at for the last time. */
  let looked = new Map<string, number>();

  return async function check(): Promise<void> {
    const before = looked;
    looked = new Map();
    for (const state of lifecycle.endpoints().filter(canHaveLost)) {
      const { endpointId, networkId } = state.endpoint;
      const isDone = before.get(endpointId) === state.revision || told.has(networkId);
      if (isDone || ((await isSeen(state)) && isOlder(state, overMs))) {
        looked.set(endpointId, state.revision);
      }
    }
  };

  function canHaveLost({ endpoint, joined, isUndeleted, touchedMs }: EndpointState): boolean {
    const families = new Set(endpoint.addresses.map(({ address }) => address.kind()));
    return (
      families.size === 2 && joined?.stage === 'marked' && !isUndeleted && isOlder({ touchedMs }, settledMs)
    );
  }

  function isOlder({ touchedMs }: Pick<EndpointState, 'touchedMs'>, ms: number): boolean {
    return touchedMs !== undefined && now() - touchedMs >= ms;
  }

  /** @returns whether its link was in the container yet */
  async function isSeen({ endpoint, joined }: EndpointState): Promise<boolean> {
    const { endpointId, networkId, addresses } = endpoint;
    // The next look will do, or the container has gone.
    const networks = await guard.networksOf(joined?.sandbox ?? '', endpointId).catch(() => undefined);
    if (networks === undefined) {
      return false;
    }
    const hasAll = addresses.every(
      ({ address }) =>
        address.kind() === 'ipv4' || networks.some((network) => covers(network, hostPrefix(address))),
    );
    if (!hasAll) {
      told.add(networkId);
      log.warn(lostIpv6Warning, fieldsOf(endpoint));
    }
    return true;
  }
}

export const lostIpv6Warning =
  'IPv6 is disabled in this container, for example by --sysctl net.ipv6.conf.all.disable_ipv6=1, so its tunnel carries only IPv4: start it without that sysctl to have both. The log says so once per network';
