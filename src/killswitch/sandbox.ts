import { setTimeout as sleep } from 'node:timers/promises';
import type { Limit } from '../concurrency.ts';
import { type Log, msSince } from '../log.ts';
import { type Mark, readEndpointId } from '../wireguard/link-alias.ts';
import type { Followed } from './container-changes.ts';
import { hasChanges, removalOf, routingDifference } from './difference.ts';
import { isContainerNamespace, type NamespaceFile } from './namespace-file.ts';
import type { Applied, Namespaces } from './namespaces.ts';
import {
  type ContainerLink,
  concerns,
  haveSameTables,
  loneTunnel,
  type News,
  type ProtectedTunnel,
  type Protection,
  protectionOf,
  type TunnelScope,
  tunnelOf,
} from './rules.ts';
import { createContainerWarnings } from './unprotectable.ts';

/** What all sandboxes of a guard have in common. */
export interface SandboxDependencies {
  readonly namespaces: Namespaces;
  readonly mark: Mark;
  readonly log: Log;
  /** Through which each step goes. */
  readonly limited: Limit;
  readonly onApplied: (applied: Applied) => void;
  /** It could not be brought up to date. */
  readonly onFailure: () => void;
  /** Has the guard been closed? Then nothing is tried again. */
  readonly isClosed: () => boolean;
  /** From a failure to protect to the next try. */
  readonly retryMs: number;
  /** For how long a namespace that is to come is looked for. */
  readonly arrivalMs: number;
}

/**
 * `up`: it was found in place in the namespace, or put there. `coming`: that is under way, or the namespace is to come, for
 * at most five minutes. `down`: it could not be brought up to date; it is tried again and again.
 */
export type ProtectionState = 'up' | 'coming' | 'down';

/** The network namespace of a container, there or still to come, and its protection for all tunnels that it has. */
export interface Sandbox extends Followed {
  /** From now on it is to be protected for this tunnel. */
  want(endpointId: string, scope: TunnelScope, linkIndex: number | undefined): void;
  /** The tunnel’s link goes. What it was for stays closed. */
  leave(endpointId: string): void;
  forget(endpointId: string): void;
  /** Is it protected for this tunnel, or to be, and the tunnel not leaving? */
  isWantedFor(endpointId: string): boolean;
  hasTunnels(): boolean;
  stateOf(endpointId: string): ProtectionState | undefined;
  /** Protects a namespace that is there. @throws Error; then it is tried again as long as a tunnel wants it */
  protect(inode: number): Promise<void>;
  /**
   * Brings the protection up to date with the news, or with whatever is there. Never rejects: what fails is tried again.
   * @returns whether there was something to change
   */
  update(news?: readonly News[]): Promise<boolean>;
  /** Takes away what there is for a tunnel that has gone, unless its link or another needs it. @throws Error */
  end(endpointId: string): Promise<void>;
  /** Resolves when the last step has been taken. */
  settled(): Promise<unknown>;
}

/** A tunnel that a container is protected for, or is to be. */
interface GuardedTunnel extends ProtectedTunnel {
  /** Since when, on `performance`’s clock. */
  readonly wantedMs: number;
  isUp: boolean;
}

/** A link may go between the reading and the deed. */
const tries = 5;
const triesPauseMs = 50;

export function createSandbox(
  key: NamespaceFile,
  { namespaces, mark, log, limited, onApplied, onFailure, isClosed, retryMs, arrivalMs }: SandboxDependencies,
): Sandbox {
  const tunnels = new Map<string, GuardedTunnel>();
  const warnings = createContainerWarnings(key, log);
  let inode: number | undefined;
  /** What was applied last. */
  let applied: Protection | undefined;
  /** Why it is not protected as it should be. */
  let failure: string | undefined;
  let isRetried = false;
  /** Has it been looked at since this driver has started? */
  let isKnown = false;
  /** The last step that was taken or is being taken. */
  let last: Promise<unknown> = Promise.resolve();

  const isOwn = ({ alias }: ContainerLink) => mark.read(alias) !== undefined;
  const isAnothers = (link: ContainerLink) => readEndpointId(link.alias) !== undefined && !isOwn(link);

  const sandbox: Sandbox = {
    key,

    want(endpointId, scope, linkIndex) {
      tunnels.set(endpointId, {
        ...tunnelOf(({ alias }) => mark.read(alias) === endpointId, scope, linkIndex),
        wantedMs: performance.now(),
        isUp: false,
      });
    },

    leave: (endpointId) => setLeaving(endpointId, true),

    forget(endpointId) {
      tunnels.delete(endpointId);
    },

    isWantedFor: (endpointId) => tunnels.get(endpointId)?.isLeaving === false,

    hasTunnels: () => tunnels.size > 0,

    stateOf(endpointId) {
      const tunnel = tunnels.get(endpointId);
      if (tunnel === undefined) {
        return undefined;
      }
      const isComing = failure === undefined && performance.now() - tunnel.wantedMs <= arrivalMs;
      return tunnel.isUp ? 'up' : isComing ? 'coming' : 'down';
    },

    async protect(seen) {
      try {
        await next(() => {
          if (seen !== inode) {
            // Another namespace than before.
            inode = seen;
            sandbox.nsid = undefined;
            applied = undefined;
            expectNothing();
          }
          return bringUpToDate();
        });
      } catch (error) {
        noteFailure(error);
        throw error;
      }
    },

    update,
    end: (endpointId) => nextWithRetries(() => end(endpointId)),
    settled: () => last,
  };
  return sandbox;

  /** One step behind the other. */
  function next<Result>(step: () => Promise<Result>): Promise<Result> {
    const result = last.then(() => limited(step));
    last = result.catch(() => {});
    return result;
  }

  /** @throws what it came to in the end, unless the namespace has gone */
  async function nextWithRetries<Result>(step: () => Promise<Result>): Promise<Result | undefined> {
    for (let left = tries; ; left--) {
      try {
        return await next(step);
      } catch (error) {
        if (!(await isContainerNamespace(key))) {
          // The container has ended; its endpoints will be deleted.
          return undefined;
        }
        if (left === 1) {
          throw error;
        }
        await sleep(triesPauseMs);
      }
    }
  }

  async function update(news?: readonly News[]): Promise<boolean> {
    try {
      return (await nextWithRetries(() => bringUpToDate(news))) ?? false;
    } catch (error) {
      noteFailure(error);
      return false;
    }
  }

  /** @returns whether there was something to change */
  async function bringUpToDate(news?: readonly News[]): Promise<boolean> {
    const wanted = [...tunnels.values()];
    // Of a container that is being stopped nothing is opened, and nothing need be closed: it is.
    if (wanted.every(({ isLeaving }) => isLeaving)) {
      return false;
    }
    const before = applied;
    if (news !== undefined && before !== undefined && !news.some((each) => concerns(each, before))) {
      return false;
    }
    const started = performance.now();
    const network = await namespaces.read(key, (seen) => loneTunnel(seen, wanted) !== undefined);
    const { links } = network;
    const protection = protectionOf(network, wanted);
    warnOf(links);
    const routing = routingDifference(network, protection, namespaces.families);
    const isTableNew = applied === undefined || !haveSameTables(applied, protection);
    const isNew = isTableNew || hasChanges(routing);
    if (isNew) {
      applied = undefined;
      onApplied(await namespaces.apply(key, isTableNew ? protection : undefined, routing));
      applied = protection;
      log.debug('container protected', { sandbox: key, ...sizeOf(protection), ms: msSince(started) });
    }
    // A container of before this driver started.
    if (!isKnown && links.some(isOwn) && !links.some(isAnothers)) {
      await namespaces.removeOldTables(key);
    }
    isKnown = true;
    for (const tunnel of wanted) {
      tunnel.isUp = true;
    }
    if (failure !== undefined) {
      failure = undefined;
      log.info('container protected after earlier failures', { sandbox: key });
    }
    return isNew;
  }

  function warnOf(links: readonly ContainerLink[]): void {
    if ([...tunnels.values()].some(({ closed }) => closed.length > 0)) {
      warnings.refusedTunnel(links);
    }
    const anothers = links.find(isAnothers);
    if (anothers !== undefined) {
      warnings.otherDriver(anothers);
    }
  }

  /** It is tried again as long as there is somebody to protect; meanwhile no other container is promised to be. */
  function noteFailure(error: unknown): void {
    const cause = (error as Error).message;
    if (cause !== failure) {
      log.error('a container’s protection could not be updated; trying again', {
        sandbox: key,
        cause,
      });
    }
    failure = cause;
    expectNothing();
    onFailure();
    if (!isRetried) {
      void retryLater();
    }
  }

  function expectNothing(): void {
    for (const tunnel of tunnels.values()) {
      tunnel.isUp = false;
    }
  }

  async function retryLater(): Promise<void> {
    isRetried = true;
    while (failure !== undefined) {
      await sleep(retryMs, undefined, { ref: false });
      const isNeeded = [...tunnels.values()].some(({ isLeaving }) => !isLeaving);
      if (isClosed() || !isNeeded || !(await isContainerNamespace(key))) {
        failure = undefined;
      } else if (failure !== undefined) {
        await update();
      }
    }
    isRetried = false;
  }

  async function end(endpointId: string): Promise<void> {
    if (sandbox.isWantedFor(endpointId)) {
      return;
    }
    const network = await namespaces.read(key);
    const marks = network.links.flatMap(({ alias }) => readEndpointId(alias) ?? []);
    if (marks.includes(endpointId)) {
      // The engine has forgotten a container that runs, and given its address away.
      setLeaving(endpointId, false);
      return;
    }
    tunnels.delete(endpointId);
    if (tunnels.size > 0) {
      await bringUpToDate();
      return;
    }
    // Another driver has tables of its own; the tables of routes are the same.
    if (!network.links.some(isOwn)) {
      const isLast = marks.length === 0;
      await namespaces.remove(key, removalOf(isLast ? network : { routes: [], rules: [] }));
      if (isLast) {
        await namespaces.removeOldTables(key);
      }
    }
    applied = undefined;
  }

  function setLeaving(endpointId: string, isLeaving: boolean): void {
    const tunnel = tunnels.get(endpointId);
    if (tunnel !== undefined) {
      tunnels.set(endpointId, { ...tunnel, isLeaving });
    }
  }
}

function sizeOf({ frameFilter }: Protection) {
  return { others: frameFilter.chains.length };
}
