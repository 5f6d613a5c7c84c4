import { createLimit } from '../concurrency.ts';
import type { Log } from '../log.ts';
import { type Address, parseAddress, sameAddress } from '../wireguard/address.ts';

/** Where hubs are, by their names. A name that is an address is its own answer. */
export interface HubNames {
  /**
   * Looks a name up. Whoever asks while a look-up of that name is under way gets its answer.
   * @returns all its addresses; undefined if it does not resolve
   */
  lookUp(host: string): Promise<readonly Address[] | undefined>;
  /**
   * The address to begin with: of those that the name has now, one that worked before. If the look-up does not
   * answer in time, the one that worked last; undefined if there was none.
   */
  addressOf(host: string): Promise<Address | undefined>;
  /** Of the last look-up that had any, the address that worked before, or the first; undefined if there was none. */
  preferred(host: string): Address | undefined;
  /** The addresses of the last look-up that had any. */
  answer(host: string): readonly Address[];
  /**
   * The addresses that this name had alone, one after the other, before it had the one that it has now, since this was
   * last asked: links may still have any of them.
   */
  takeEarlier(host: string): readonly Address[];
  /** Has the last look-up of a name had no answer? */
  isFailing(host: string): boolean;
  /** A hub has answered at this address of its name. */
  worked(host: string, address: Address): void;
  /** The names that `addressOf` was asked for in vain, and that have not resolved since. */
  unresolved(): readonly string[];
}

export interface HubNamesDependencies {
  /** All addresses of a host name. Rejects if it has none; may hang, as a resolver does whose servers are away. */
  readonly resolve: (host: string) => Promise<readonly Address[]>;
  readonly log: Log;
  readonly now?: () => number;
}

/** How often each name is looked up, so that a hub that moves is followed. */
export const lookUpEveryMs = 30_000;

/** A container that starts waits so long for a name. */
const patienceMs = 2000;

/** A look-up that takes longer hangs, and is no longer in the way of those that do not. */
const slowMs = 1000;

/** How many look-ups are under way at once, those of names that hung the last time apart. */
const quickAtOnce = 8;
const slowAtOnce = 4;
export const lookUpsAtOnce = quickAtOnce + slowAtOnce;

/** A name whose address changes at each look-up is no reason to keep them all. */
const maxEarlier = 10;

/** Names come from networks, and few networks have one of their own. */
const maxNames = 10_000;

interface Known {
  /** Of the last look-up that had an answer. */
  readonly addresses: readonly Address[];
  /** Addresses that were the whole answer, the newest last. */
  readonly alone: readonly Address[];
  readonly working?: Address | undefined;
}

interface LookUp {
  readonly sinceMs: number;
  readonly result: Promise<readonly Address[] | undefined>;
}

export function createHubNames({
  resolve,
  log,
  now = () => performance.now(),
}: HubNamesDependencies): HubNames {
  const known = new Map<string, Known>();
  const pending = new Map<string, LookUp>();
  const hanging = new Set<string>();
  const unresolved = new Set<string>();
  const failing = new Set<string>();
  const quick = createLimit(quickAtOnce);
  const slow = createLimit(slowAtOnce);

  return {
    lookUp,

    async addressOf(host) {
      const found = lookUp(host);
      // A call may come for a name twice, and a look-up that has hung for one container hangs for the next.
      const leftMs = patienceMs - (now() - (pending.get(host)?.sinceMs ?? now()));
      if (leftMs > 0) {
        await inTime(found, leftMs);
      }
      const address = preferred(host);
      if (address === undefined) {
        unresolved.add(host);
        dropOldest(unresolved);
      }
      return address;
    },

    preferred,
    answer,

    takeEarlier(host) {
      const before = known.get(host);
      if (before === undefined) {
        return [];
      }
      const { alone, addresses } = before;
      const present = addresses.length === 1 ? addresses : [];
      remember(host, { ...before, alone: present });
      return present.length === 0 ? [] : without(alone, present);
    },

    isFailing: (host) => failing.has(host),

    worked(host, address) {
      const before = known.get(host);
      if (before !== undefined) {
        remember(host, { ...before, working: address });
      }
    },

    unresolved: () => [...unresolved],
  };

  function preferred(host: string): Address | undefined {
    const addresses = answer(host);
    const working = known.get(host)?.working;
    return addresses.find((address) => working && sameAddress(address, working)) ?? addresses[0];
  }

  function answer(host: string): readonly Address[] {
    const literal = parseAddress(host);
    return literal === undefined ? (known.get(host)?.addresses ?? []) : [literal];
  }

  function lookUp(host: string): Promise<readonly Address[] | undefined> {
    const literal = parseAddress(host);
    if (literal !== undefined) {
      return Promise.resolve([literal]);
    }
    const underWay = pending.get(host);
    if (underWay !== undefined) {
      return underWay.result;
    }
    // A resolver that hangs holds a thread for as long as it likes, so names that hung before have threads of their own.
    const limit = hanging.has(host) ? slow : quick;
    const result = limit(() => timed(host)).finally(() => pending.delete(host));
    pending.set(host, { sinceMs: now(), result });
    return result;
  }

  async function timed(host: string): Promise<readonly Address[] | undefined> {
    const started = now();
    let addresses: readonly Address[] | undefined;
    let cause = 'it has no address';
    try {
      addresses = await resolve(host);
    } catch (error) {
      cause = (error as NodeJS.ErrnoException).code ?? String(error);
    }
    if (now() - started > slowMs) {
      hanging.add(host);
      dropOldest(hanging);
    } else {
      hanging.delete(host);
    }
    if (addresses === undefined || addresses.length === 0) {
      log.debug('a hub’s name does not resolve', { host, cause });
      failing.add(host);
      dropOldest(failing);
      return undefined;
    }
    unresolved.delete(host);
    failing.delete(host);
    const before = known.get(host);
    const earlier = before?.alone ?? [];
    const alone = addresses.length === 1 ? [...without(earlier, addresses), ...addresses] : earlier;
    remember(host, { ...before, addresses, alone: alone.slice(-maxEarlier) });
    return addresses;
  }

  function remember(host: string, what: Known): void {
    known.delete(host);
    known.set(host, what);
    dropOldest(known);
  }
}

function without(addresses: readonly Address[], others: readonly Address[]): readonly Address[] {
  return addresses.filter((address) => !others.some((other) => sameAddress(address, other)));
}

/** Waits for a promise, and no longer than a time. */
async function inTime(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((done) => {
    timer = setTimeout(done, ms);
  });
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

function dropOldest(names: Map<string, unknown> | Set<string>): void {
  const [oldest] = names.keys();
  if (names.size > maxNames && oldest !== undefined) {
    names.delete(oldest);
  }
}
