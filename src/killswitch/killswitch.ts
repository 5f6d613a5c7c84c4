import { setTimeout as sleep } from 'node:timers/promises';
import { createLimit } from '../concurrency.ts';
import { type Log, msSince } from '../log.ts';
import type { Prefix } from '../wireguard/address.ts';
import { type Mark, readEndpointId } from '../wireguard/link-alias.ts';
import { createArrivals } from './arrival.ts';
import { createFollowing } from './container-changes.ts';
import { hasChanges, removalOf, routingDifference } from './difference.ts';
import { refusedTunnels } from './inner-tunnels.ts';
import { exists, inodeOf, isAbsolute, isContainerNamespace, type NamespaceFile } from './namespace-file.ts';
import type { Applied, Namespaces, Watch } from './namespaces.ts';
import { probeProtection } from './probe.ts';
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

/** Keeps the traffic of containers in their tunnels. */
export interface Guard {
  /** @throws Error if this host cannot protect containers, with what to install */
  probe(): Promise<void>;
  /**
   * Protects a container that has the link of an endpoint or is about to get it: what is in the scope
   * leaves by that link alone, connected networks excepted. From then on the protection keeps up with the
   * container's networks. Resolves when it is in place; or at once where the container's namespace is still to
   * come, and then it will be as soon as that is there.
   * @param linkIndex as of ProtectedTunnel: with it the protection is whole before the link comes
   * @throws Error if it cannot be put in place; it is tried again until the endpoint is released
   */
  protect(sandboxKey: string, endpointId: string, scope: TunnelScope, linkIndex?: number): Promise<Protected>;
  /** The engine is about to take the endpoint's link away. What is in place stays in place. */
  leave(sandboxKey: string, endpointId: string): void;
  /**
   * The endpoint's link is gone, or never came. The protection stays for ten seconds yet: while a container is being
   * stopped its other networks are still there, and whoever shares its namespace still runs. Resolves when it
   * has gone, an earlier driver's, too, or the namespace has; or when the link was found to be there yet.
   * @throws Error if it cannot be taken away; then this is to be called again
   */
  release(sandboxKey: string, endpointId: string): Promise<void>;
  /**
   * The networks that an endpoint's link is connected to by its addresses, in its container; undefined while it is not
   * there. @throws Error if the container cannot be read
   */
  networksOf(sandboxKey: string, endpointId: string): Promise<readonly Prefix[] | undefined>;
  /** How far the protection for an endpoint is; undefined if none is wanted that this guard knows of. */
  stateOf(sandboxKey: string, endpointId: string): ProtectionState | undefined;
  /** Containers that are about to start are protected yet, if they do so soon. */
  close(): Promise<void>;
}

/**
 * `up`: it was found in place in the namespace, or put there. `coming`: that is under way, or the namespace is to come, for
 * at most a minute. `down`: it could not be brought up to date; it is tried again and again.
 */
export type ProtectionState = 'up' | 'coming' | 'down';

/** `unseen`: what is there is not a namespace, or not any more, and nothing was done. */
export type Protected = 'protected' | 'coming' | 'unseen';

export interface GuardTimes {
  /** From when an endpoint is released until its protection goes. */
  readonly releaseMs: number;
  /** From a failure to protect to the next try. */
  readonly retryMs: number;
  /** For how long a namespace that is to come is looked for. */
  readonly arrivalMs: number;
}

/** A tunnel that a container is protected for, or is to be. */
interface GuardedTunnel extends ProtectedTunnel {
  /** Since when, on `performance`’s clock. */
  readonly wantedMs: number;
  isUp: boolean;
}

interface Sandbox {
  readonly key: NamespaceFile;
  readonly tunnels: Map<string, GuardedTunnel>;
  inode?: number;
  nsid?: number | undefined;
  /** What was applied last. */
  applied?: Protection | undefined;
  /** Why it is not protected as it should be. */
  failure?: string | undefined;
  isRetried: boolean;
  hasSaidTunnel: boolean;
  hasSaidDriver: boolean;
  /** Has it been looked at since this driver has started? */
  isKnown: boolean;
  /** The last step that was taken or is being taken. */
  last: Promise<unknown>;
}

const closeTimeoutMs = 5000;
/** A driver that starts brings all containers up to date, and other calls wait meanwhile. */
const updatesAtOnce = 4;
/** A link may go between the reading and the deed. */
const tries = 5;
const triesPauseMs = 50;
const defaultTimes: GuardTimes = { releaseMs: 10_000, retryMs: 5000, arrivalMs: 60_000 };
/** In which a container that was stopped has ended. */
const releasePollMs = 1000;
/** How old a probe may be that a container starts by, whose namespace is still to come: a storm of them shares one. */
const probeLastsMs = 1000;

export function createGuard(
  namespaces: Namespaces,
  mark: Mark,
  log: Log,
  { releaseMs, retryMs, arrivalMs }: GuardTimes = defaultTimes,
): Guard {
  const sandboxes = new Map<string, Sandbox>();
  let watch: Watch | undefined;
  let probed: Promise<void> | undefined;
  let probedAtMs = 0;
  let hasSaidFrames = false;
  let isClosed = false;
  const arrivals = createArrivals(arrivalMs);
  const limited = createLimit(updatesAtOnce);
  const follow = createFollowing({
    sandboxes: () => sandboxes.values(),
    nsidOf: namespaces.nsidOf,
    update: updateWithRetries,
  });

  function sandboxOf(sandboxKey: NamespaceFile): Sandbox {
    const known = sandboxes.get(sandboxKey);
    if (known !== undefined) {
      return known;
    }
    const sandbox = {
      key: sandboxKey,
      tunnels: new Map(),
      isRetried: false,
      hasSaidTunnel: false,
      hasSaidDriver: false,
      isKnown: false,
      last: Promise.resolve(),
    };
    sandboxes.set(sandboxKey, sandbox);
    return sandbox;
  }

  function probe(): Promise<void> {
    if (probed === undefined) {
      probedAtMs = performance.now();
      probed = probeProtection(namespaces).then(warnOfFrames, (error) => {
        probed = undefined;
        throw error;
      });
    }
    return probed;
  }

  function probeAnew(): Promise<void> {
    if (performance.now() - probedAtMs >= probeLastsMs) {
      probed = undefined;
    }
    return probe();
  }

  /** One step behind the other. */
  function next<Result>(sandbox: Sandbox, step: (sandbox: Sandbox) => Promise<Result>): Promise<Result> {
    const result = sandbox.last.then(() => limited(() => step(sandbox)));
    sandbox.last = result.catch(() => {});
    return result;
  }

  /** @returns whether there was something to change */
  async function update(sandbox: Sandbox, news?: readonly News[]): Promise<boolean> {
    const tunnels = [...sandbox.tunnels.values()];
    // Of a container that is being stopped nothing is opened, and nothing need be closed: it is.
    if (tunnels.every(({ isLeaving }) => isLeaving)) {
      return false;
    }
    const { applied } = sandbox;
    if (news !== undefined && applied !== undefined && !news.some((each) => concerns(each, applied))) {
      return false;
    }
    const started = performance.now();
    const network = await namespaces.read(sandbox.key, (seen) => loneTunnel(seen, tunnels) !== undefined);
    const protection = protectionOf(network, tunnels);
    warnOfTunnel(sandbox, network.links);
    warnOfDriver(sandbox, network.links);
    const routing = routingDifference(network, protection, namespaces.families);
    const isTableNew = sandbox.applied === undefined || !haveSameTables(sandbox.applied, protection);
    const isNew = isTableNew || hasChanges(routing);
    if (isNew) {
      sandbox.applied = undefined;
      warnOfFrames(await namespaces.apply(sandbox.key, isTableNew ? protection : undefined, routing));
      sandbox.applied = protection;
      log.debug('container protected', { sandbox: sandbox.key, ...sizeOf(protection), ms: msSince(started) });
    }
    // A container of before this driver started.
    if (!sandbox.isKnown && network.links.some(isOwn) && !network.links.some(isAnothers)) {
      await namespaces.removeOldTables(sandbox.key);
    }
    sandbox.isKnown = true;
    for (const tunnel of tunnels) {
      tunnel.isUp = true;
    }
    if (sandbox.failure !== undefined) {
      sandbox.failure = undefined;
      log.info('container protected at last', { sandbox: sandbox.key });
    }
    return isNew;
  }

  /** @throws what it came to in the end, unless the namespace has gone */
  async function nextWithRetries<Result>(
    sandbox: Sandbox,
    step: (sandbox: Sandbox) => Promise<Result>,
  ): Promise<Result | undefined> {
    for (let left = tries; ; left--) {
      try {
        return await next(sandbox, step);
      } catch (error) {
        if (!(await isContainerNamespace(sandbox.key))) {
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

  async function updateWithRetries(sandbox: Sandbox, news?: readonly News[]): Promise<boolean> {
    try {
      return (await nextWithRetries(sandbox, () => update(sandbox, news))) ?? false;
    } catch (error) {
      noteFailure(sandbox, error);
      return false;
    }
  }

  /** It is tried again as long as there is somebody to protect; meanwhile no other container is promised to be. */
  function noteFailure(sandbox: Sandbox, error: unknown): void {
    const cause = (error as Error).message;
    if (cause !== sandbox.failure) {
      log.error('a container’s protection could not be brought up to date; trying again', {
        sandbox: sandbox.key,
        cause,
      });
    }
    sandbox.failure = cause;
    expectNothing(sandbox);
    probed = undefined;
    if (!sandbox.isRetried) {
      void retryLater(sandbox);
    }
  }

  function expectNothing({ tunnels }: Sandbox): void {
    for (const tunnel of tunnels.values()) {
      tunnel.isUp = false;
    }
  }

  async function retryLater(sandbox: Sandbox): Promise<void> {
    sandbox.isRetried = true;
    while (sandbox.failure !== undefined) {
      await sleep(retryMs, undefined, { ref: false });
      const isNeeded = [...sandbox.tunnels.values()].some(({ isLeaving }) => !isLeaving);
      if (isClosed || !isNeeded || !(await isContainerNamespace(sandbox.key))) {
        sandbox.failure = undefined;
      } else if (sandbox.failure !== undefined) {
        await updateWithRetries(sandbox);
      }
    }
    sandbox.isRetried = false;
  }

  /** Said once. */
  function warnOfFrames({ unfilteredFrames: cause }: Applied): void {
    if (cause !== undefined && !hasSaidFrames) {
      hasSaidFrames = true;
      log.warn('frames that a process with CAP_NET_RAW writes to another network’s link are not stopped', {
        cause,
      });
    }
  }

  /** Said once for a container: its root may make as many as it likes. */
  function warnOfTunnel(sandbox: Sandbox, links: readonly ContainerLink[]): void {
    const [refused] = refusedTunnels(links);
    const isClosed = [...sandbox.tunnels.values()].some(({ closed }) => closed.length > 0);
    if (refused !== undefined && isClosed && !sandbox.hasSaidTunnel) {
      sandbox.hasSaidTunnel = true;
      log.warn(
        'a container has a tunnel of its own that carries nothing: the kernel does not say where its packets leave. ' +
          'A link of the kernel’s WireGuard that was made in the container would work',
        { sandbox: sandbox.key, link: refused.name, kind: refused.kind },
      );
    }
  }

  const isOwn = ({ alias }: ContainerLink) => mark.read(alias) !== undefined;
  const isAnothers = (link: ContainerLink) => readEndpointId(link.alias) !== undefined && !isOwn(link);

  /** Said once for a container. Each driver keeps closed what it does not know, the other's tunnels, too. */
  function warnOfDriver(sandbox: Sandbox, links: readonly ContainerLink[]): void {
    const link = links.find(isAnothers);
    if (link !== undefined && !sandbox.hasSaidDriver) {
      sandbox.hasSaidDriver = true;
      log.warn(
        'a container is on networks of two wgdrivers, and each keeps closed what the other’s tunnel is for; ' +
          'connect it to networks of one of them',
        { sandbox: sandbox.key, link: link.name },
      );
    }
  }

  /** Waits until a protection may go, or the namespace has gone. @returns whether it is there yet */
  async function outlives(sandbox: Sandbox): Promise<boolean> {
    const end = performance.now() + releaseMs;
    while (performance.now() < end) {
      if (!(await isContainerNamespace(sandbox.key))) {
        return false;
      }
      await sleep(Math.max(0, Math.min(releasePollMs, end - performance.now())), undefined, { ref: false });
    }
    return isContainerNamespace(sandbox.key);
  }

  /** Takes away what there is for a tunnel that has gone, unless its link or another needs it. */
  async function end(sandbox: Sandbox, endpointId: string): Promise<void> {
    const tunnel = sandbox.tunnels.get(endpointId);
    if (tunnel !== undefined && !tunnel.isLeaving) {
      return;
    }
    const network = await namespaces.read(sandbox.key);
    const marks = network.links.flatMap(({ alias }) => readEndpointId(alias) ?? []);
    if (marks.includes(endpointId)) {
      // The engine has forgotten a container that runs, and given its address away.
      if (tunnel !== undefined) {
        sandbox.tunnels.set(endpointId, { ...tunnel, isLeaving: false });
      }
      return;
    }
    sandbox.tunnels.delete(endpointId);
    if (sandbox.tunnels.size > 0) {
      await update(sandbox);
      return;
    }
    // Another driver has tables of its own; the tables of routes are the same.
    if (!network.links.some(isOwn)) {
      const isLast = marks.length === 0;
      await namespaces.remove(sandbox.key, removalOf(isLast ? network : { routes: [], rules: [] }));
      if (isLast) {
        await namespaces.removeOldTables(sandbox.key);
      }
    }
    sandbox.applied = undefined;
    if (sandbox.tunnels.size === 0) {
      sandboxes.delete(sandbox.key);
    }
  }

  return {
    probe,

    async protect(sandboxKey, endpointId, scope, linkIndex) {
      if (!isAbsolute(sandboxKey)) {
        throw new Error(
          `SandboxKey: expected the path of a network namespace, got ${JSON.stringify(sandboxKey)}`,
        );
      }
      const sandbox = sandboxOf(sandboxKey);
      const isLink = ({ alias }: Pick<ContainerLink, 'alias'>) => mark.read(alias) === endpointId;
      sandbox.tunnels.set(endpointId, {
        ...tunnelOf(isLink, scope, linkIndex),
        wantedMs: performance.now(),
        isUp: false,
      });
      watch ??= namespaces.watch({
        onChange: (where) => void (isClosed || follow(where)),
        onFailure: (cause) =>
          log.error('changes in containers’ networks cannot be watched; trying again', { cause }),
      });
      const inode = await inodeOf(sandbox.key);
      if (inode !== undefined) {
        try {
          await next(sandbox, () => {
            if (inode !== sandbox.inode) {
              // Another namespace than before.
              Object.assign(sandbox, { inode, nsid: undefined, applied: undefined });
              expectNothing(sandbox);
            }
            return update(sandbox);
          });
        } catch (error) {
          noteFailure(sandbox, error);
          throw error;
        }
        return 'protected';
      }
      const forget = () => {
        sandbox.tunnels.delete(endpointId);
        if (sandbox.tunnels.size === 0) {
          sandboxes.delete(sandboxKey);
        }
      };
      if (await exists(sandbox.key)) {
        forget();
        return 'unseen';
      }
      // Nothing can be tried in it yet, and when it comes nobody can be refused any more.
      await probeAnew().catch((error: Error) => {
        forget();
        throw error;
      });
      arrivals.expect({
        key: sandbox.key,
        isWanted: () => sandbox.tunnels.size > 0,
        onArrival: () => void updateWithRetries(sandbox),
        onTimeout() {
          log.warn(
            'a container’s network namespace has not come; it will be protected when a link arrives in it',
            {
              sandbox: sandbox.key,
            },
          );
        },
      });
      return 'coming';
    },

    leave(sandboxKey, endpointId) {
      const sandbox = sandboxes.get(sandboxKey);
      const tunnel = sandbox?.tunnels.get(endpointId);
      if (tunnel !== undefined) {
        sandbox?.tunnels.set(endpointId, { ...tunnel, isLeaving: true });
      }
    },

    async release(sandboxKey, endpointId) {
      if (!isAbsolute(sandboxKey)) {
        return;
      }
      this.leave(sandboxKey, endpointId);
      const sandbox = sandboxOf(sandboxKey);
      if (await outlives(sandbox)) {
        if (isClosed) {
          // Whoever comes next makes up for it.
          return new Promise(() => {});
        }
        await nextWithRetries(sandbox, () => end(sandbox, endpointId)).catch((error: Error) => {
          throw new Error(`a container’s protection could not be taken away: ${error.message}`);
        });
      }
      if (sandbox.tunnels.get(endpointId)?.isLeaving !== false) {
        sandbox.tunnels.delete(endpointId);
      }
      if (sandbox.tunnels.size === 0 && sandboxes.get(sandboxKey) === sandbox) {
        sandboxes.delete(sandboxKey);
      }
    },

    async networksOf(sandboxKey, endpointId) {
      if (!isAbsolute(sandboxKey) || !(await isContainerNamespace(sandboxKey))) {
        return undefined;
      }
      const { links, addresses } = await namespaces.read(sandboxKey);
      const link = links.find(({ alias }) => mark.read(alias) === endpointId);
      return link && addresses.filter(({ index }) => index === link.index).map(({ network }) => network);
    },

    stateOf(sandboxKey, endpointId) {
      const sandbox = sandboxes.get(sandboxKey);
      const tunnel = sandbox?.tunnels.get(endpointId);
      if (tunnel === undefined) {
        return undefined;
      }
      const isComing = sandbox?.failure === undefined && performance.now() - tunnel.wantedMs <= arrivalMs;
      return tunnel.isUp ? 'up' : isComing ? 'coming' : 'down';
    },

    async close() {
      await arrivals.settled(closeTimeoutMs);
      isClosed = true;
      watch?.close();
      await Promise.all([...sandboxes.values()].map(({ last }) => last));
    },
  };
}

function sizeOf({ frameFilter }: Protection) {
  return { others: frameFilter.chains.length };
}
