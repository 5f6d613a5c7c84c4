import { createLimit } from '../concurrency.ts';
import type { Log } from '../log.ts';
import type { Prefix } from '../wireguard/address.ts';
import type { Mark } from '../wireguard/link-alias.ts';
import { createArrivals } from './arrival.ts';
import { createFollowing } from './container-changes.ts';
import { exists, inodeOf, isAbsolute, isContainerNamespace, type NamespaceFile } from './namespace-file.ts';
import type { Namespaces, Watch } from './namespaces.ts';
import { createProbe } from './probe.ts';
import { defaultReleaseMs, outlives } from './release-delay.ts';
import type { TunnelScope } from './rules.ts';
import { createSandbox, type ProtectionState, type Sandbox, type SandboxDependencies } from './sandbox.ts';
import { createFramesWarning } from './unprotectable.ts';

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

const closeTimeoutMs = 5000;
/** A driver that starts brings all containers up to date, and other calls wait meanwhile. */
const updatesAtOnce = 4;
const defaultTimes: GuardTimes = { releaseMs: defaultReleaseMs, retryMs: 5000, arrivalMs: 300_000 };

export function createGuard(
  namespaces: Namespaces,
  mark: Mark,
  log: Log,
  { releaseMs, retryMs, arrivalMs }: GuardTimes = defaultTimes,
): Guard {
  const sandboxes = new Map<string, Sandbox>();
  let watch: Watch | undefined;
  let isClosed = false;
  const warnOfFrames = createFramesWarning(log);
  const probe = createProbe(namespaces, warnOfFrames);
  const arrivals = createArrivals(arrivalMs);
  const follow = createFollowing({
    sandboxes: () => sandboxes.values(),
    nsidOf: namespaces.nsidOf,
    update: (sandbox, news) => sandbox.update(news),
  });
  const ofAll: SandboxDependencies = {
    namespaces,
    mark,
    log,
    limited: createLimit(updatesAtOnce),
    onApplied: warnOfFrames,
    onFailure: probe.forget,
    isClosed: () => isClosed,
    retryMs,
    arrivalMs,
  };

  function sandboxOf(key: NamespaceFile): Sandbox {
    const sandbox = sandboxes.get(key) ?? createSandbox(key, ofAll);
    sandboxes.set(key, sandbox);
    return sandbox;
  }

  function forgetUnused(sandbox: Sandbox): void {
    if (!sandbox.hasTunnels() && sandboxes.get(sandbox.key) === sandbox) {
      sandboxes.delete(sandbox.key);
    }
  }

  return {
    probe: probe.once,

    async protect(sandboxKey, endpointId, scope, linkIndex) {
      if (!isAbsolute(sandboxKey)) {
        throw new Error(
          `SandboxKey: expected the path of a network namespace, got ${JSON.stringify(sandboxKey)}`,
        );
      }
      const sandbox = sandboxOf(sandboxKey);
      sandbox.want(endpointId, scope, linkIndex);
      watch ??= namespaces.watch({
        onChange: (where) => void (isClosed || follow(where)),
        onFailure: (cause) =>
          log.error('changes in containers’ networks cannot be watched; trying again', { cause }),
      });
      const inode = await inodeOf(sandbox.key);
      if (inode !== undefined) {
        await sandbox.protect(inode);
        return 'protected';
      }
      const forget = () => {
        sandbox.forget(endpointId);
        forgetUnused(sandbox);
      };
      if (await exists(sandbox.key)) {
        forget();
        return 'unseen';
      }
      // Nothing can be tried in it yet, and when it comes nobody can be refused any more.
      await probe.lately().catch((error: Error) => {
        forget();
        throw error;
      });
      arrivals.expect({
        key: sandbox.key,
        isWanted: sandbox.hasTunnels,
        onArrival: () => void sandbox.update(),
        onTimeout() {
          log.warn(
            'a container’s network namespace has not appeared; it will be protected when a link arrives in it',
            {
              sandbox: sandbox.key,
            },
          );
        },
      });
      return 'coming';
    },

    leave(sandboxKey, endpointId) {
      sandboxes.get(sandboxKey)?.leave(endpointId);
    },

    async release(sandboxKey, endpointId) {
      if (!isAbsolute(sandboxKey)) {
        return;
      }
      const sandbox = sandboxOf(sandboxKey);
      sandbox.leave(endpointId);
      if (await outlives(sandboxKey, releaseMs)) {
        if (isClosed) {
          // Whoever comes next makes up for it.
          return new Promise(() => {});
        }
        await sandbox.end(endpointId).catch((error: Error) => {
          throw new Error(`a container’s protection could not be taken away: ${error.message}`);
        });
      }
      if (!sandbox.isWantedFor(endpointId)) {
        sandbox.forget(endpointId);
      }
      forgetUnused(sandbox);
    },

    async networksOf(sandboxKey, endpointId) {
      if (!isAbsolute(sandboxKey) || !(await isContainerNamespace(sandboxKey))) {
        return undefined;
      }
      const { links, addresses } = await namespaces.read(sandboxKey);
      const link = links.find(({ alias }) => mark.read(alias) === endpointId);
      return link && addresses.filter(({ index }) => index === link.index).map(({ network }) => network);
    },

    stateOf: (sandboxKey, endpointId) => sandboxes.get(sandboxKey)?.stateOf(endpointId),

    async close() {
      await arrivals.settled(closeTimeoutMs);
      isClosed = true;
      watch?.close();
      await Promise.all([...sandboxes.values()].map((sandbox) => sandbox.settled()));
    },
  };
}
