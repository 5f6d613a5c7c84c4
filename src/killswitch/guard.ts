import type { Stats } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLimit } from '../limit.ts';
import { type Mark, readEndpointId } from '../links/mark.ts';
import { type Log, msSince } from '../log.ts';
import type { Prefix } from '../wireguard/address.ts';
import type { Changed, Namespaces, Watch } from './namespaces.ts';
import { type Protection, protectionOf, type SeenLink, type Tunnel, trialProtection } from './protection.ts';

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
  readonly key: `/${string}`;
  readonly tunnels: Map<string, Tunnel>;
  /** By which the watch names its namespace, once it has one. */
  number?: number | undefined;
  /** What was enforced last. */
  enforced?: string | undefined;
  /** Does a tunnel's link have to come yet? */
  isExpecting: boolean;
  /** The last step that was taken or is being taken. */
  last: Promise<unknown>;
}

/** A namespace that has not come by then comes no more: its container did not start. */
const namespaceTimeoutMs = 60_000;
const namespacePollMs = 5;
const closeTimeoutMs = 5000;
/** A driver that starts brings all containers up to date, and other calls wait meanwhile. */
const updatesAtOnce = 4;
/** A link may go between the look and the deed. */
const tries = 5;
const retryMs = 50;

/** Protects a new namespace, which nobody uses. @throws Error if this host cannot, with what to install */
export async function probeProtection(namespaces: Namespaces): Promise<void> {
  await namespaces.expectWatch().catch((error: Error) => {
    throw new Error(
      `this driver cannot keep traffic in the tunnel (${error.message}); it must be told of changes in containers’ ` +
        'networks: give it CAP_NET_BROADCAST, as `wgdriver service install` and the managed plugin do',
    );
  });
  try {
    await namespaces.enforce('new', trialProtection());
  } catch (error) {
    throw new Error(
      `this host cannot keep traffic in the tunnel (${(error as Error).message}); it takes nftables in the ` +
        'kernel, and for a runtime that cannot call libc the programs nsenter, ip and nft (Debian’s packages ' +
        'util-linux, iproute2 and nftables)',
    );
  }
}

export function createGuard(namespaces: Namespaces, mark: Mark, log: Log): Guard {
  const sandboxes = new Map<string, Sandbox>();
  let watch: Watch | undefined;
  let isProbed = false;
  let isUpdating = false;
  /** Their namespaces have changed since they were looked at. */
  const stale = new Set<Sandbox>();
  /** Whose namespaces are to come, each until its time is over (performance.now()). */
  const coming = new Map<Sandbox, number>();
  let isAwaiting = false;
  const limited = createLimit(updatesAtOnce);

  function sandboxOf(sandboxKey: `/${string}`): Sandbox {
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
    const seen = await namespaces.look(sandbox.key);
    const protection = protectionOf(seen, tunnels);
    const text = JSON.stringify(protection, withoutBytes);
    sandbox.isExpecting = !tunnels.every(({ isLink }) => seen.links.some(isLink));
    if (text !== sandbox.enforced) {
      sandbox.enforced = undefined;
      await namespaces.enforce(sandbox.key, protection);
      sandbox.enforced = text;
      log.debug('container protected', { sandbox: sandbox.key, ...sizeOf(protection), ms: msSince(started) });
    }
  }

  /** @throws what it came to in the end, unless the namespace has gone */
  async function nextWithRetries(sandbox: Sandbox, step: (sandbox: Sandbox) => Promise<void>): Promise<void> {
    for (let left = tries; ; left--) {
      try {
        return await next(sandbox, step);
      } catch (error) {
        if (!(await isNamespace(sandbox.key))) {
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

  async function followChanges(where: Changed): Promise<void> {
    for (const sandbox of sandboxes.values()) {
      if (where === 'anywhere' || where.has((await numberOf(sandbox)) ?? Number.NaN)) {
        stale.add(sandbox);
      }
    }
    await updateStale();
  }

  /** A namespace keeps its number. It gets one with its first link, of which the watch tells. */
  async function numberOf(sandbox: Sandbox): Promise<number | undefined> {
    try {
      sandbox.number ??= await namespaces.numberOf(sandbox.key);
    } catch {
      // It is not there yet, or not any more.
    }
    return sandbox.number;
  }

  /** Brings them up to date, again and again as long as something changes meanwhile. */
  async function updateStale(): Promise<void> {
    if (isUpdating) {
      return;
    }
    isUpdating = true;
    for (const sandbox of stale) {
      stale.delete(sandbox);
      const started = performance.now();
      await updateWithRetries(sandbox);
      if (sandbox.number === undefined) {
        // Any change may be its, so all are looked at for each: most of this process's time is for others.
        await sleep(2 * (performance.now() - started));
      }
    }
    isUpdating = false;
  }

  async function awaitNamespaces(): Promise<void> {
    if (isAwaiting) {
      return;
    }
    isAwaiting = true;
    while (coming.size > 0) {
      for (const [sandbox, deadline] of coming) {
        if (sandbox.tunnels.size === 0) {
          coming.delete(sandbox);
        } else if (await isNamespace(sandbox.key)) {
          coming.delete(sandbox);
          void updateWithRetries(sandbox);
        } else if (performance.now() >= deadline) {
          coming.delete(sandbox);
          sandbox.isExpecting = false;
          log.warn(
            'a container’s network namespace has not come, and if it ever does it will not be protected',
            { sandbox: sandbox.key },
          );
        }
      }
      // It keeps no process alive that is to end.
      await sleep(namespacePollMs, undefined, { ref: false });
    }
    isAwaiting = false;
  }

  /** Takes the protection away if no tunnel is left, of this driver's or another's. */
  async function liftUnlessUsed(sandbox: Sandbox): Promise<void> {
    if (sandbox.tunnels.size > 0) {
      return;
    }
    try {
      if (await isNamespace(sandbox.key)) {
        const { links } = await namespaces.look(sandbox.key);
        const isOthers = ({ alias }: SeenLink) =>
          readEndpointId(alias) !== undefined && mark.read(alias) === undefined;
        if (!links.some(isOthers)) {
          await namespaces.lift(sandbox.key);
        }
      }
    } finally {
      sandbox.enforced = undefined;
      if (sandbox.tunnels.size === 0) {
        sandboxes.delete(sandbox.key);
      }
    }
  }

  return {
    async probe() {
      if (!isProbed) {
        await probeProtection(namespaces);
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
      const isLink = ({ alias }: SeenLink) => mark.read(alias) === endpointId;
      sandbox.tunnels.set(endpointId, { isLink, prefixes });
      // It may be another namespace than before.
      sandbox.number = undefined;
      watch ??= namespaces.watch(
        (where) => void followChanges(where),
        () => [...sandboxes.values()].some(({ isExpecting }) => isExpecting),
      );
      if (await isNamespace(sandbox.key)) {
        await next(sandbox, update);
        return 'protected';
      }
      if (await isThere(sandbox.key)) {
        sandboxes.delete(sandboxKey);
        return 'unseen';
      }
      coming.set(sandbox, performance.now() + namespaceTimeoutMs);
      void awaitNamespaces();
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
        await nextWithRetries(sandbox, liftUnlessUsed);
      } catch (error) {
        throw new Error(`a container’s protection could not be taken away: ${(error as Error).message}`);
      }
    },

    async close() {
      const deadline = performance.now() + closeTimeoutMs;
      while (coming.size > 0 && performance.now() < deadline) {
        await sleep(namespacePollMs);
      }
      watch?.close();
      await Promise.all([...sandboxes.values()].map(({ last }) => last));
    },
  };
}

function isAbsolute(path: string): path is `/${string}` {
  return path.startsWith('/');
}

let own: Stats | undefined;

/** The engine makes a file first, and then mounts the namespace on it. */
async function isNamespace(path: string): Promise<boolean> {
  try {
    own ??= await stat('/proc/self/ns/net');
    const other = await stat(path);
    // Never the host's own, whatever the engine says.
    return other.dev === own.dev && other.ino !== own.ino;
  } catch {
    return false;
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Encoded expressions say what the text beside them does. */
function withoutBytes(key: string, value: unknown): unknown {
  return key === 'expressions' ? undefined : value;
}

function sizeOf({ frameFilter }: Protection) {
  return { others: frameFilter.chains.length };
}
