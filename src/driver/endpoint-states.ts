import type { Place } from '../links/links.ts';
import type { Endpoint, Joined, Store } from '../state/store.ts';
import { linkName } from '../wireguard/link-name.ts';
import { type SharedTunnels, sharedIdOf } from './shared-tunnels.ts';

/** An endpoint at a moment. */
export interface EndpointState {
  readonly endpoint: Endpoint;
  readonly joined: Joined | undefined;
  /** Its deletion was begun, and failed or was cut short. */
  readonly isUndeleted: boolean;
  /** Another number after each call for it. */
  readonly revision: number;
  /** When the last one came, on `now`’s clock; undefined if it came to an earlier driver. */
  readonly touchedMs: number | undefined;
  /** The same, and of those that an earlier driver has joined that Join, as the clock was set when this driver started. */
  readonly sinceMs: number | undefined;
  /** Where the link of its tunnel is, or has been: its own, or the one that it shares. */
  readonly place: Place;
}

export interface EndpointStatesDependencies {
  readonly store: Store;
  readonly shared: Pick<SharedTunnels, 'place'>;
  /** Milliseconds on a clock that only goes forward. */
  readonly now: () => number;
  /** Milliseconds of UNIX time. */
  readonly unixNow: () => number;
}

/** What the store says of endpoints, and what this driver has seen of them since it started. */
export interface EndpointStates {
  /** What reconcile looks after. */
  endpoints(): readonly EndpointState[];
  /** The links of tunnels: those of endpoints, and for endpoints that share one, this one. */
  tunnels(): readonly EndpointState[];
  /** The endpoints of a network whose containers run, as far as is known. */
  runningIn(networkId: string): readonly Joined[];
  /** Is it of an endpoint that is no more, or was it cut short before its link had a mark? */
  isBrokenJoin(endpointId: string): boolean;
  /** Was its deletion begun, and not ended? */
  isUndeleted(endpointId: string): boolean;
  noteDeletionBegun(endpointId: string): void;
  noteNotDeleted(endpointId: string): void;
  /** A call for it has come. */
  touch(endpointId: string): void;
  /** Another number after each call for an endpoint. */
  revisionOf(endpointId: string): number;
  /** It is no more. */
  forget(endpointId: string): void;
}

export function createEndpointStates({
  store,
  shared,
  now,
  unixNow,
}: EndpointStatesDependencies): EndpointStates {
  const undeleted = new Set(
    store
      .allJoined()
      .filter(({ stage }) => stage === 'leaving')
      .map(({ endpointId }) => endpointId),
  );
  /** When an earlier driver has joined endpoints, on `now`’s clock. */
  const earlierMs = new Map(
    store
      .joinedEarlier()
      .map(({ endpointId, unixMs }) => [endpointId, now() - Math.max(0, unixNow() - unixMs)]),
  );
  const touches = new Map<string, { readonly revision: number; readonly atMs: number }>();
  let lastRevision = 0;

  return {
    endpoints,

    tunnels: () => [
      ...endpoints().filter(({ endpoint }) => !isShared(endpoint)),
      ...store.gateways().flatMap(({ networkId }) => sharedState(networkId) ?? []),
    ],

    runningIn: (networkId) =>
      store
        .endpointsOf(networkId)
        .flatMap(({ endpointId }) => store.joined(endpointId) ?? [])
        .filter(({ endpointId, stage }) => stage === 'marked' && !undeleted.has(endpointId)),

    isBrokenJoin(endpointId) {
      const joined = store.joined(endpointId);
      return joined !== undefined && (joined.stage === 'begun' || store.endpoint(endpointId) === undefined);
    },

    isUndeleted: (endpointId) => undeleted.has(endpointId),

    noteDeletionBegun(endpointId) {
      undeleted.add(endpointId);
    },

    noteNotDeleted(endpointId) {
      undeleted.delete(endpointId);
    },

    touch(endpointId) {
      lastRevision += 1;
      touches.set(endpointId, { revision: lastRevision, atMs: now() });
    },

    revisionOf,

    forget(endpointId) {
      touches.delete(endpointId);
      earlierMs.delete(endpointId);
    },
  };

  function endpoints(): EndpointState[] {
    return store.endpoints().map((endpoint) => {
      const { endpointId, networkId } = endpoint;
      const joined = store.joined(endpointId);
      return {
        endpoint,
        joined,
        isUndeleted: undeleted.has(endpointId),
        revision: revisionOf(endpointId),
        touchedMs: touches.get(endpointId)?.atMs,
        sinceMs: touches.get(endpointId)?.atMs ?? earlierMs.get(endpointId),
        place: (isShared(endpoint) ? shared.place(networkId) : undefined) ?? placeOf(endpointId, joined),
      };
    });
  }

  /** A shared tunnel as the one endpoint that its link has. */
  function sharedState(networkId: string): EndpointState | undefined {
    const place = shared.place(networkId);
    const endpointId = sharedIdOf(networkId);
    return (
      place && {
        endpoint: { endpointId, networkId, addresses: [] },
        joined: { endpointId, sandbox: place.sandbox ?? '', stage: 'marked' },
        isUndeleted: false,
        revision: revisionOf(endpointId),
        touchedMs: touches.get(endpointId)?.atMs,
        sinceMs: touches.get(endpointId)?.atMs,
        place,
      }
    );
  }

  function revisionOf(endpointId: string): number {
    return touches.get(endpointId)?.revision ?? 0;
  }

  function isShared({ networkId }: Endpoint): boolean {
    return store.network(networkId)?.isShared ?? false;
  }
}

/** Where an endpoint's link is, or has been. */
export function placeOf(endpointId: string, joined: Joined | undefined): Place {
  return { name: linkName(endpointId), endpointId, sandbox: joined?.sandbox };
}

/** What tells an endpoint in the log. */
export function fieldsOf({ networkId, endpointId, addresses }: Endpoint) {
  const address = addresses.map((own) => own.address.toString()).join(',');
  return { network: networkId, endpoint: endpointId, address };
}
