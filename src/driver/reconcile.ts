import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Links, OwnedLink } from '../links/links.ts';
import type { Log } from '../log.ts';
import type { Endpoint, Joined, Store } from '../state/store.ts';
import { linkName } from './names.ts';
import type { Queue } from './queue.ts';

export interface ReconcileDependencies {
  readonly store: Store;
  readonly links: Links;
  readonly log: Log;
  /** The queues that the calls for a network and for an endpoint are in. */
  readonly inNetwork: Queue;
  readonly inEndpoint: Queue;
  /** Endpoints and networks that should be gone: their removal was begun, and failed or was cut short. */
  readonly undeleted: ReadonlySet<string>;
  readonly undeletedNetworks: ReadonlySet<string>;
  /** Deletes an endpoint and its link; to be called in its queue. */
  readonly removeEndpoint: (endpointId: string) => Promise<void>;
  /** Deletes a network and its endpoints; to be called in its queue. */
  readonly removeNetwork: (networkId: string) => Promise<void>;
  /** Milliseconds on a clock that only goes forward. */
  readonly now: () => number;
}

/**
 * The engine moves a link at once, and has made the sandbox before that: what is neither on its way nor in
 * a container so long after it was first seen so is of no use to anybody.
 */
const settleMs = 10_000;

/** Between CreateEndpoint and Join the engine does little, but it may be retrying another call. */
const unjoinedMs = 300_000;

/** What may be wrong with an endpoint, and how long it must have been so to be believed. */
const patienceMs = {
  'its deletion was begun before': 0,
  'the machine was booted since': 0,
  'its link stayed on the host': settleMs,
  'its link and its sandbox are gone': settleMs,
  'it was never joined': unjoinedMs,
} as const;
type Reason = keyof typeof patienceMs;

interface Suspicion {
  readonly reason: Reason;
  /** As they were then: whatever has called for the endpoint meanwhile has made it another one. */
  readonly endpoint: Endpoint;
  readonly joined: Joined | undefined;
  readonly sinceMs: number;
}

/**
 * Makes a function that brings links and endpoints in line: links with our mark that belong to no endpoint
 * are deleted, and so is what a Join that a kill cut short had not marked yet; endpoints whose links and
 * containers are gone are forgotten. It never rejects: what fails is a warning, and tried again the next time.
 *
 * Links of somebody else's are not even looked at. An endpoint is only forgotten on evidence, and at worst
 * that costs nothing: DeleteEndpoint of one that is not known deletes its link all the same.
 */
export function createReconcile({
  store,
  links,
  log,
  inNetwork,
  inEndpoint,
  undeleted,
  undeletedNetworks,
  removeEndpoint,
  removeNetwork,
  now,
}: ReconcileDependencies): () => Promise<void> {
  let suspicions = new Map<string, Suspicion>();
  /** When the unfinished links were first seen. */
  let unfinished = new Map<string, number>();

  return async () => {
    let onHost: OwnedLink[] | undefined;
    await attempt('links could not be looked for', {}, async () => {
      onHost = await links.list();
    });
    await deleteOrphans(onHost ?? []);
    await deleteUnfinished();
    await forgetEndpoints(onHost);
    await deleteNetworks();
  };

  async function deleteNetworks(): Promise<void> {
    for (const network of undeletedNetworks) {
      await attempt('a network could not be deleted', { network }, () =>
        inNetwork(network, async () => {
          // A call for it may have been in the queue.
          if (undeletedNetworks.has(network)) {
            await removeNetwork(network);
            log.info('network deleted', { network });
          }
        }),
      );
    }
  }

  async function deleteOrphans(onHost: readonly OwnedLink[]): Promise<void> {
    for (const { name, endpointId } of onHost) {
      if (store.endpoint(endpointId) === undefined) {
        await attempt(
          'an orphaned link could not be deleted',
          { endpoint: endpointId, link: name },
          async () => {
            await inEndpoint(endpointId, () => links.delete(name));
            log.info('orphaned link deleted', { endpoint: endpointId, link: name });
          },
        );
      }
    }
  }

  /** What a predecessor was making when it was killed. A program that it had started may still be at it. */
  async function deleteUnfinished(): Promise<void> {
    const before = unfinished;
    unfinished = new Map();
    for (const { endpointId } of store.allJoined()) {
      await inEndpoint(endpointId, async () => {
        const joined = store.joined(endpointId);
        const isUnfinished = joined?.stage === 'begun';
        if (joined === undefined || (!isUnfinished && store.endpoint(endpointId) !== undefined)) {
          return;
        }
        const sinceMs = before.get(endpointId) ?? now();
        const link = linkName(endpointId);
        await attempt('an unfinished link could not be deleted', { endpoint: endpointId, link }, async () => {
          if (isUnfinished) {
            unfinished.set(endpointId, sinceMs);
            await links.deleteUnfinished(link);
          }
          if (!isUnfinished || now() - sinceMs >= settleMs) {
            await store.removeJoined(endpointId);
            unfinished.delete(endpointId);
          }
        });
      });
    }
  }

  /** @param onHost undefined if it is not known */
  async function forgetEndpoints(onHost: readonly OwnedLink[] | undefined): Promise<void> {
    const before = suspicions;
    suspicions = new Map();
    const linkOf = onHost && new Map(onHost.map((link) => [link.endpointId, link]));
    for (const endpoint of store.endpoints()) {
      const { endpointId } = endpoint;
      const joined = store.joined(endpointId);
      const link = linkOf?.get(endpointId);
      const reason = linkOf ? await suspicionOf(endpoint, joined, link) : suspicionWhateverLinks(endpoint);
      if (reason === undefined) {
        continue;
      }
      const earlier = before.get(endpointId);
      const isSame = earlier?.reason === reason && earlier.endpoint === endpoint && earlier.joined === joined;
      const sinceMs = isSame ? earlier.sinceMs : now();
      suspicions.set(endpointId, { reason, endpoint, joined, sinceMs });
      if (now() - sinceMs < patienceMs[reason]) {
        continue;
      }
      const fields = { network: endpoint.networkId, endpoint: endpointId, link: link?.name };
      await attempt('a stale endpoint could not be deleted', fields, () =>
        inEndpoint(endpointId, async () => {
          // A call for it may have been in the queue.
          if (store.endpoint(endpointId) === endpoint && store.joined(endpointId) === joined) {
            if (link !== undefined && link.name !== linkName(endpointId)) {
              await links.delete(link.name);
            }
            await removeEndpoint(endpointId);
            log.info('stale endpoint deleted', { ...fields, reason });
          }
        }),
      );
    }
  }

  function suspicionWhateverLinks({ endpointId, bootId }: Endpoint): Reason | undefined {
    if (undeleted.has(endpointId)) {
      return 'its deletion was begun before';
    }
    return bootId !== undefined && bootId !== store.bootId ? 'the machine was booted since' : undefined;
  }

  async function suspicionOf(
    endpoint: Endpoint,
    joined: Joined | undefined,
    link: OwnedLink | undefined,
  ): Promise<Reason | undefined> {
    const reason = suspicionWhateverLinks(endpoint);
    if (reason !== undefined) {
      return reason;
    }
    if (link !== undefined) {
      return 'its link stayed on the host';
    }
    if (joined === undefined) {
      return 'it was never joined';
    }
    return (await isSandboxGone(joined)) ? 'its link and its sandbox are gone' : undefined;
  }

  async function attempt(
    complaint: string,
    fields: Readonly<Record<string, string | undefined>>,
    task: () => Promise<void>,
  ): Promise<void> {
    try {
      await task();
    } catch (error) {
      log.warn(complaint, { ...fields, cause: String(error) });
    }
  }
}

/**
 * Is the file of a container's namespace gone? Only where its folder can be seen: a driver that runs in a
 * file system of its own sees neither.
 */
async function isSandboxGone({ sandbox }: Joined): Promise<boolean> {
  return sandbox.startsWith('/') && (await isThere(dirname(sandbox))) && !(await isThere(sandbox));
}

/** Whatever keeps it from being seen, it counts as there, unless it is not. */
async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}
