import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Links, OwnedLink } from '../links/links.ts';
import type { Log } from '../log.ts';
import type { Joined } from '../state/store.ts';
import { linkName } from '../wireguard/link-name.ts';
import type { EndpointState } from './endpoint-states.ts';
import type { Lifecycle } from './lifecycle.ts';

export interface ReconcileDependencies {
  readonly lifecycle: Lifecycle;
  readonly links: Pick<Links, 'list'>;
  readonly log: Log;
  /** Milliseconds on a clock that only goes forward. */
  readonly now: () => number;
  /** An attempt failed. */
  readonly onFailure?: (() => void) | undefined;
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
  'its link stayed on the host': settleMs,
  'its link and its sandbox are gone': settleMs,
  'it was never joined': unjoinedMs,
} as const;
type Reason = keyof typeof patienceMs;

interface Suspicion {
  readonly reason: Reason;
  readonly revision: number;
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
  lifecycle,
  links,
  log,
  now,
  onFailure,
}: ReconcileDependencies): () => Promise<void> {
  let suspicions = new Map<string, Suspicion>();
  /** When each broken Join was first seen. */
  let brokenSince = new Map<string, number>();

  return async () => {
    let onHost: OwnedLink[] | undefined;
    await attempt('links could not be listed', {}, async () => {
      onHost = await links.list();
    });
    await deleteOrphans(onHost ?? []);
    await deleteBrokenJoins();
    await attempt('shared tunnels could not be checked', {}, async () => {
      for (const network of await lifecycle.deleteBrokenTunnels()) {
        log.warn('deleted the remains of a shared tunnel', { network });
      }
    });
    await deleteStaleEndpoints(onHost);
    await deleteNetworks();
  };

  async function deleteNetworks(): Promise<void> {
    for (const network of lifecycle.undeletedNetworks()) {
      await attempt('a network could not be deleted', { network }, async () => {
        if (await lifecycle.deleteNetworkAgain(network)) {
          log.info('network deleted', { network });
        }
      });
    }
  }

  async function deleteOrphans(onHost: readonly OwnedLink[]): Promise<void> {
    const known = new Set(lifecycle.endpoints().map(({ endpoint }) => endpoint.endpointId));
    for (const link of onHost.filter((each) => !known.has(each.endpointId) || !hasItsName(each))) {
      const fields = { endpoint: link.endpointId, link: link.name };
      await attempt('an orphaned link could not be deleted', fields, async () => {
        if (await lifecycle.deleteOrphan(link)) {
          log.info('orphaned link deleted', fields);
        }
      });
    }
  }

  /** What a predecessor was making when it was killed. A program that it had started may still be at it. */
  async function deleteBrokenJoins(): Promise<void> {
    const before = brokenSince;
    brokenSince = new Map();
    for (const endpointId of lifecycle.brokenJoins()) {
      const sinceMs = before.get(endpointId) ?? now();
      const fields = { endpoint: endpointId, link: linkName(endpointId) };
      brokenSince.set(endpointId, sinceMs);
      await attempt('an unfinished link could not be deleted', fields, async () => {
        if (!(await lifecycle.deleteBrokenJoin(endpointId, now() - sinceMs >= settleMs))) {
          brokenSince.delete(endpointId);
        }
      });
    }
  }

  /** @param onHost undefined if it is not known */
  async function deleteStaleEndpoints(onHost: readonly OwnedLink[] | undefined): Promise<void> {
    const before = suspicions;
    suspicions = new Map();
    const linkOf = onHost && new Map(onHost.filter(hasItsName).map((link) => [link.endpointId, link]));
    for (const seen of lifecycle.endpoints()) {
      const { endpointId, networkId } = seen.endpoint;
      const link = linkOf?.get(endpointId);
      const reason = await reasonAgainst(seen, link, linkOf !== undefined);
      if (reason === undefined) {
        continue;
      }
      const earlier = before.get(endpointId);
      // Whatever has called for the endpoint meanwhile has made it another one.
      const isSame = earlier?.reason === reason && earlier.revision === seen.revision;
      const sinceMs = isSame ? earlier.sinceMs : now();
      suspicions.set(endpointId, { reason, revision: seen.revision, sinceMs });
      if (now() - sinceMs < patienceMs[reason]) {
        continue;
      }
      const fields = { network: networkId, endpoint: endpointId, link: link?.name };
      await attempt('a stale endpoint could not be deleted', fields, async () => {
        if (await lifecycle.deleteStaleEndpoint(seen)) {
          log.info('stale endpoint deleted', { ...fields, reason });
        }
      });
    }
  }

  async function attempt(
    complaint: string,
    fields: Readonly<Record<string, string | undefined>>,
    task: () => Promise<void>,
  ): Promise<void> {
    try {
      await task();
    } catch (error) {
      onFailure?.();
      log.warn(complaint, { ...fields, cause: String(error) });
    }
  }
}

/** The root of a container can write another endpoint's mark onto its link, which must not count against that one. */
function hasItsName({ name, endpointId }: OwnedLink): boolean {
  return name === linkName(endpointId);
}

async function reasonAgainst(
  { joined, isUndeleted }: EndpointState,
  link: OwnedLink | undefined,
  areLinksKnown: boolean,
): Promise<Reason | undefined> {
  if (isUndeleted) {
    return 'its deletion was begun before';
  }
  if (!areLinksKnown) {
    return undefined;
  }
  if (link !== undefined) {
    return 'its link stayed on the host';
  }
  if (joined === undefined) {
    return 'it was never joined';
  }
  return (await isSandboxGone(joined)) ? 'its link and its sandbox are gone' : undefined;
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
