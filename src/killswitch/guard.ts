import { setTimeout as sleep } from 'node:timers/promises';
import { createLimit } from '../limit.ts';
import { type Log, msSince } from '../log.ts';
import type { Prefix } from '../wireguard/address.ts';
import { type Mark, readEndpointId } from '../wireguard/link-mark.ts';
import { createArrivals } from './arrival.ts';
import { createFollowing } from './following.ts';
import { exists, isAbsolute, isContainerNamespace, type NamespaceFile } from './namespace-file.ts';
import type { Applied, Namespaces, Watch } from './namespaces.ts';
import { probeProtection } from './probe.ts';
import { type ContainerLink, type Protection, protectionOf, type Tunnel, tunnelOf } from './protection.ts';

/** Keeps the traffic of containers in their tunnels. */
export interface Guard {
  /** @throws Error if this host cannot protect containers, with what to install */
  probe(): Promise<void>;
  /**
   * Protects a container that has the link of an endpoint or is about to get it: what is for the prefixes
   * leaves by that link alone, connected networks excepted. From then on the protection keeps up with the
   * container's networks. Resolves when it is in place; or at once where the container's namespace is still to
   * come, and then it will be as soon as that is there.
   * @throws Error if it cannot be put in place
   */
  protect(sandboxKey: string, endpointId: string, prefixes: readonly Prefix[]): Promise<Protected>;
  /**
   * The endpoint's link is gone, or never came. With the last one goes the protection, an earlier driver's, too;
   * resolves when it has, or the namespace.
   * @throws Error if it cannot be taken away; then this is to be called again
   */
  release(sandboxKey: string, endpointId: string): Promise<void>;
  /** Containers that are about to start are protected yet, if they do so soon. */
  close(): Promise<void>;
}

/** `unseen`: what is there is not a namespace, or not any more, and nothing was done. */
export type Protected = 'protected' | 'coming' | 'unseen';

interface Sandbox {
  readonly key: NamespaceFile;
  readonly tunnels: Map<string, Tunnel>;
  nsid?: number | undefined;
  /** What was applied last. */
  applied?: string | undefined;
  /** Does a tunnel's link have to come yet? */
  isExpecting: boolean;
  /** The last step that was taken or is being taken. */
  last: Promise<unknown>;
}

const closeTimeoutMs = 5000;
/** A driver that starts brings all containers up to date, and other calls wait meanwhile. */
const updatesAtOnce = 4;
/** A link may go between the look and the deed. */
const tries = 5;
const retryMs = 50;

export function createGuard(namespaces: Namespaces, mark: Mark, log: Log): Guard {
  const sandboxes = new Map<string, Sandbox>();
  let watch: Watch | undefined;
  let isProbed = false;
  let hasSaidFrames = false;
  const arrivals = createArrivals();
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
    const sandbox = { key: sandboxKey, tunnels: new Map(), isExpecting: true, last: Promise.resolve() };
    sandboxes.set(sandboxKey, sandbox);
    return sandbox;
  }

  /** One step behind the other. */
  function next(sandbox: Sandbox, step: (sandbox: Sandbox) => Promise<void>): Promise<void> {
    const result = sandbox.last.then(() => limited(() => step(sandbox)));
    sandbox.last = result.catch(() => {});
    return result;
  }

  async function update(sandbox: Sandbox): Promise<void> {
    const tunnels = [...sandbox.tunnels.values()];
    if (tunnels.length === 0) {
      return;
    }
    const started = performance.now();
    const network = await namespaces.read(sandbox.key);
    const protection = protectionOf(network, tunnels);
    const text = JSON.stringify(protection, withoutBytes);
    sandbox.isExpecting = !tunnels.every(({ isLink }) => network.links.some(isLink));
    if (text !== sandbox.applied) {
      sandbox.applied = undefined;
      warnOfFrames(await namespaces.apply(sandbox.key, protection, network));
      sandbox.applied = text;
      log.debug('container protected', { sandbox: sandbox.key, ...sizeOf(protection), ms: msSince(started) });
    }
  }

  /** @throws what it came to in the end, unless the namespace has gone */
  async function nextWithRetries(sandbox: Sandbox, step: (sandbox: Sandbox) => Promise<void>): Promise<void> {
    for (let left = tries; ; left--) {
      try {
        return await next(sandbox, step);
      } catch (error) {
        if (!(await isContainerNamespace(sandbox.key))) {
          // The container has ended; its endpoints will be deleted.
          return;
        }
        if (left === 1) {
          throw error;
        }
        await sleep(retryMs);
      }
    }
  }

  async function updateWithRetries(sandbox: Sandbox): Promise<void> {
    try {
      await nextWithRetries(sandbox, update);
    } catch (error) {
      log.error('a container’s protection could not be brought up to date', {
        sandbox: sandbox.key,
        cause: String(error),
      });
    }
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

  /** Takes the protection away if no tunnel is left, of this driver's or another's. */
  async function removeUnlessUsed(sandbox: Sandbox): Promise<void> {
    if (sandbox.tunnels.size > 0) {
      return;
    }
    try {
      if (await isContainerNamespace(sandbox.key)) {
        const network = await namespaces.read(sandbox.key);
        const isOthers = ({ alias }: ContainerLink) =>
          readEndpointId(alias) !== undefined && mark.read(alias) === undefined;
        if (!network.links.some(isOthers)) {
          await namespaces.remove(sandbox.key, network);
        }
      }
    } finally {
      sandbox.applied = undefined;
      if (sandbox.tunnels.size === 0) {
        sandboxes.delete(sandbox.key);
      }
    }
  }

  return {
    async probe() {
      if (!isProbed) {
        warnOfFrames(await probeProtection(namespaces));
        isProbed = true;
      }
    },

    async protect(sandboxKey, endpointId, prefixes) {
      if (!isAbsolute(sandboxKey)) {
        throw new Error(
          `SandboxKey: expected the path of a network namespace, got ${JSON.stringify(sandboxKey)}`,
        );
      }
      const sandbox = sandboxOf(sandboxKey);
      const isLink = ({ alias }: ContainerLink) => mark.read(alias) === endpointId;
      sandbox.tunnels.set(endpointId, tunnelOf(isLink, prefixes));
      // It may be another namespace than before.
      sandbox.nsid = undefined;
      watch ??= namespaces.watch({
        onChange: (where) => void follow(where),
        onFailure: (cause) =>
          log.error('changes in containers’ networks cannot be watched; trying again', { cause }),
        isUrgent: () => [...sandboxes.values()].some(({ isExpecting }) => isExpecting),
      });
      if (await isContainerNamespace(sandbox.key)) {
        await next(sandbox, update);
        return 'protected';
      }
      if (await exists(sandbox.key)) {
        sandboxes.delete(sandboxKey);
        return 'unseen';
      }
      arrivals.expect({
        key: sandbox.key,
        isWanted: () => sandbox.tunnels.size > 0,
        onArrival: () => void updateWithRetries(sandbox),
        onTimeout() {
          sandbox.isExpecting = false;
          log.warn(
            'a container’s network namespace has not come, and if it ever does it will not be protected',
            { sandbox: sandbox.key },
          );
        },
      });
      return 'coming';
    },

    async release(sandboxKey, endpointId) {
      if (!isAbsolute(sandboxKey)) {
        return;
      }
      const sandbox = sandboxOf(sandboxKey);
      sandbox.tunnels.delete(endpointId);
      if (sandbox.tunnels.size > 0) {
        await updateWithRetries(sandbox);
        return;
      }
      try {
        await nextWithRetries(sandbox, removeUnlessUsed);
      } catch (error) {
        throw new Error(`a container’s protection could not be taken away: ${(error as Error).message}`);
      }
    },

    async close() {
      await arrivals.settled(closeTimeoutMs);
      watch?.close();
      await Promise.all([...sandboxes.values()].map(({ last }) => last));
    },
  };
}

/** Encoded expressions say what the text beside them does. */
function withoutBytes(key: string, value: unknown): unknown {
  return key === 'expressions' ? undefined : value;
}

function sizeOf({ frameFilter }: Protection) {
  return { others: frameFilter.chains.length };
}
