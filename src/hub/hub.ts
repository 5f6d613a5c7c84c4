import { createLimit, forEachAtOnce } from '../concurrency.ts';
import type { Links } from '../links/links.ts';
import { type Log, msSince } from '../log.ts';
import type { Marker } from '../state/marker.ts';
import { formatPrefix, type Prefix } from '../wireguard/address.ts';
import type { PeerChange } from '../wireguard/change.ts';
import type { PeerEndpoint } from '../wireguard/device.ts';
import { type PrivateKey, type PublicKey, publicKeyOf } from '../wireguard/key.ts';
import type { Mark } from '../wireguard/link-alias.ts';
import {
  byPublicKey,
  type DeviceStatus,
  type LinkStatus,
  type PeerStatus,
  rejectAfterMs,
} from '../wireguard/status.ts';
import type { HubConfig } from './config.ts';
import type { Firewall } from './docker-user.ts';
import { missingKey } from './files.ts';
import { switchOnForwarding } from './forwarding.ts';
import type { HubHost } from './host.ts';
import {
  type MovedKeys,
  moveChanges,
  movesOf,
  type PresentPeers,
  peerChanges,
  type Rotation,
  rotationsOf,
  touchedChanges,
} from './peers.ts';
import { hubAddresses, hubFamilies, hubRoutes, hubTable } from './rules.ts';
import {
  allPeers,
  peerAt,
  readSources,
  refuseSharedKeys,
  type Sources,
  touchedAddresses,
} from './sources.ts';
import type { HubState } from './state.ts';
import { takenRoutes } from './taken-routes.ts';
import { limitThreads } from './threads.ts';

/** Peers that are changed in one go: what is made for them does not grow with the hub. */
const chunkSize = 2048;
/** One is encoded while the link takes the other. */
const chunksAtOnce = 2;
/** Handshakes that are opened at once, each of which costs a hub some tenths of a millisecond. */
const wokenAtOnce = 256;
/** Of a peer that is woken: any but 0 sends a keepalive at once. */
const wakingKeepalive = 25;

/** The owner that a hub's link is marked with; no driver can have this name, since a socket's file has it. */
export const hubOwner = '/hub';

export interface HubDependencies {
  readonly links: Links;
  readonly mark: Mark;
  readonly host: HubHost;
  readonly firewall: Firewall;
  readonly state: HubState;
  /** So that a link that a kill has left without its mark is known as this hub's. */
  readonly making: Marker;
  readonly log: Log;
  /** Reads the private key; undefined if there is no such file. */
  readonly readPrivateKey: (file: string) => Promise<PrivateKey | undefined>;
  readonly makePrivateKey: (file: string) => Promise<PrivateKey>;
}

/** Keeps the link of a hub. Its calls run one after the other. */
export interface Hub {
  /** Makes everything as a configuration says. @throws Error that says why; then what can be left as it was is */
  load(config: HubConfig): Promise<void>;
  /**
   * Sets right what has gone wrong since, of the link and its peers alone or of all that it needs, and remembers where the
   * peers are. @throws Error
   */
  repair(what: 'peers' | 'everything'): Promise<void>;
  /** Gives addresses to newer keys that have shaken hands. @returns how many, and how many are left to watch */
  advanceRotation(): Promise<{ readonly moved: number; readonly left: number }>;
}

interface Applied {
  readonly config: HubConfig;
  readonly sources: Sources;
  readonly privateKey: PrivateKey;
  /** Of the link that it was done to: another one of its name has another. */
  readonly index: number;
}

export function createHub(dependencies: HubDependencies): Hub {
  const { links, mark, host, firewall, state, making, log } = dependencies;
  let applied: Applied | undefined;
  let rotations: readonly Rotation[] = [];
  /** That the link is to have, by their addresses. */
  let peerCount = 0;
  let threadsCause: string | undefined;
  const inTurn = createLimit(1);

  async function load(config: HubConfig): Promise<void> {
    const started = performance.now();
    if (applied !== undefined && applied.config.interface !== config.interface) {
      throw new Error(
        `interface cannot change from ${applied.config.interface} to ${config.interface} while the hub runs: stop ` +
          'it, run `wgdriver hub down` with the old file, and start it again',
      );
    }
    // All that can be wrong with it, before anything is touched.
    const privateKey =
      (await dependencies.readPrivateKey(config.privatekeyfile)) ?? (await makePrivateKey(config));
    const sources = await readSources(config, applied?.sources);
    refuseSharedKeys(config, sources, publicKeyOf(privateKey));
    peerCount = [sources.clients, ...sources.networks.values()].reduce(
      (sum, { peers }) => sum + peers.size,
      0,
    );
    refuseTaken(await takenRoutes(host, config));
    const index = await ensureLink(config, privateKey);
    await ensureHost(config);
    const changes =
      applied !== undefined &&
      applied.index === index &&
      isSameLink(applied, { config, privateKey }) &&
      rotations.length === 0 &&
      !isRotating(sources)
        ? await applyTouched(config, applied.sources, sources)
        : await applyAll(config, sources, privateKey, await read(config), true);
    await shareThreads(config);
    applied = { config, sources, privateKey, index };
    log.info('hub loaded', { link: config.interface, changes, ms: msSince(started) });
  }

  /** Makes the key of a link that has none yet: another one would cut off all peers of a link that works. */
  async function makePrivateKey({ interface: name, privatekeyfile: file }: HubConfig): Promise<PrivateKey> {
    const link = await host.link(name);
    if (link !== undefined && mark.read(link.alias) !== name && !(await isUnfinished(name))) {
      refuseForeign(name);
    }
    const status = link && (await links.read({ name }));
    // One that cannot be read may have a key.
    const mayHaveKey = link !== undefined && (status === undefined || status.publicKey !== undefined);
    if (applied !== undefined || mayHaveKey) {
      throw new Error(missingKey(file, name));
    }
    return dependencies.makePrivateKey(file);
  }

  /** Makes the link, or takes over the one that is there and is ours. @returns its index */
  async function ensureLink(config: HubConfig, privateKey: PrivateKey): Promise<number> {
    const { interface: name, mtu, port } = config;
    let found = await host.link(name);
    if (found !== undefined && mark.read(found.alias) !== name && (await isUnfinished(name))) {
      await links.deleteUnfinished(name);
      found = await host.link(name);
    }
    if (found === undefined) {
      await making.begin([name]);
      await links.create({ name, mtu, endpointId: name });
      await links.change(placeOf(config), { privateKey, listenPort: port });
      await making.end();
      log.info('link made', { link: name, port, publicKey: publicKeyOf(privateKey) });
    } else if (mark.read(found.alias) !== name) {
      refuseForeign(name);
    }
    const link = found ?? (await host.link(name));
    if (link === undefined) {
      throw new Error(`link ${name} disappeared right after it was made`);
    }
    return link.index;
  }

  /** Is it a link that a kill has left between its making and its mark? Then it has no key yet. */
  async function isUnfinished(name: string): Promise<boolean> {
    const begun = await making.unfinished();
    return begun?.[0] === name && (await links.read({ name }))?.publicKey === undefined;
  }

  async function ensureHost(config: HubConfig): Promise<void> {
    const { interface: name } = config;
    // The rules first: nothing passes that they would not let pass.
    await host.replaceTable(hubTable(config));
    await bring(hubAddresses(config), await host.addresses(name), {
      add: (address) => host.addAddress(name, address),
      remove: (address) => host.deleteAddress(name, address),
    });
    if (config.forwarding) {
      const uplinks = config.masquerade.length === 0 ? [] : (config.uplinks ?? (await host.uplinks()));
      const wish = { link: name, uplinks, families: hubFamilies(config) };
      for (const change of await switchOnForwarding(wish)) {
        log.info('setting changed', { sysctl: change });
      }
    }
    if (!(await host.link(name))?.isUp) {
      await host.setUp(name);
    }
    await firewall.bring(config);
    const taken = await takenRoutes(host, config);
    const routes = hubRoutes(config).filter((prefix) => !taken.has(formatPrefix(prefix)));
    await bring(routes, await host.routes(name), {
      add: (destination) => host.addRoute(name, destination),
      remove: (destination) => host.deleteRoute(name, destination),
    });
    refuseTaken(taken);
  }

  /** By as many changes as there are differences. @returns how many */
  async function applyTouched(config: HubConfig, before: Sources, after: Sources): Promise<number> {
    const pairs = [...touchedAddresses(before, after)].map(
      (address) => [peerAt(before, address), peerAt(after, address)] as const,
    );
    const changes = touchedChanges(pairs);
    await change(config, changes);
    return changes.length;
  }

  /** By what the link has and should have. @returns how many changes that took */
  async function applyAll(
    config: HubConfig,
    sources: Sources,
    privateKey: PrivateKey,
    status: LinkStatus,
    withPresharedKeys: boolean,
  ): Promise<number> {
    // Somebody has set them up anew, as systemd-networkd does: their sessions are gone, and perhaps all else.
    const isReset = ({ publicKey, endpoint }: PeerStatus) =>
      endpoint === undefined && state.endpoints.has(publicKey);
    const areReset = status.peers.some(isReset);
    const present = byPublicKey(
      status.peers.map((peer) => (isReset(peer) ? { ...peer, allowedIps: [] } : peer)),
    );
    const publicKey = publicKeyOf(privateKey);
    const { port: listenPort, mtu } = config;
    if (status.publicKey !== publicKey || status.listenPort !== listenPort || status.mtu !== mtu) {
      await links.change(placeOf(config), {
        mtu,
        ...(status.publicKey === publicKey ? {} : { privateKey }),
        ...(status.listenPort === listenPort ? {} : { listenPort }),
      });
    }
    const wanted = allPeers(sources);
    const changes = peerChanges(wanted, present, state.moved, withPresharedKeys || areReset);
    let count = 0;
    const woken: PeerChange[] = [];
    function* chunksOfOthers(): Generator<PeerChange[], undefined> {
      // The first alone: only a link that has a peer can be told that they share threads, and the others had better.
      let size = 1;
      let chunk: PeerChange[] = [];
      for (const peer of changes) {
        const isAway = present.get(peer.publicKey)?.endpoint === undefined && !peer.remove;
        const endpoint = isAway ? state.endpoints.get(peer.publicKey) : undefined;
        if (endpoint === undefined) {
          chunk.push(peer);
        } else {
          woken.push({ ...peer, endpoint });
        }
        count += 1;
        if (chunk.length === size) {
          yield chunk;
          chunk = [];
          size = chunkSize;
        }
      }
      yield chunk;
    }
    const chunks = chunksOfOthers();
    await change(config, chunks.next().value ?? []);
    // In whichever order they arrive: what is wanted gives no prefix to two peers.
    await forEachAtOnce(chunksAtOnce, chunks, (chunk) => change(config, chunk));
    await wake(config, woken);
    await watch(sources, present);
    return count;
  }

  /**
   * Opens handshakes with peers whose endpoints the link does not know and this hub does. Peers that only send
   * keepalives would find out after minutes that this end has forgotten their sessions.
   */
  async function wake(config: HubConfig, peers: readonly PeerChange[]): Promise<void> {
    for (let start = 0; start < peers.length; start += wokenAtOnce) {
      const some = peers.slice(start, start + wokenAtOnce);
      await change(
        config,
        some.map((peer) => ({
          ...peer,
          persistentKeepaliveInterval: peer.persistentKeepaliveInterval || wakingKeepalive,
        })),
      );
      const quiet = some.filter(({ persistentKeepaliveInterval: interval = 0 }) => interval === 0);
      await change(
        config,
        quiet.map(({ publicKey }) => ({ publicKey, persistentKeepaliveInterval: 0 })),
      );
    }
    if (peers.length > 0) {
      log.info('opened handshakes with the peers of the last run', { peers: peers.length });
    }
  }

  /** Remembers what has moved, and watches what has yet to move. */
  async function watch(sources: Sources, present: PresentPeers): Promise<void> {
    const rotating = [...allPeers(sources)].filter(({ keys }) => keys.length > 1);
    const moved = holdersOf(rotating, present, state.moved);
    const fresh = [...moved].filter((key) => !state.moved.has(key));
    if (fresh.length > 0) {
      await state.addMoved(fresh);
    }
    await state.keepMoved(moved);
    rotations = rotationsOf(rotating, present, state.moved);
    if (rotations.length > 0) {
      log.info('a key rotation is under way', { peers: rotating.length, onOldKeys: rotations.length });
    }
  }

  async function advanceRotation(): Promise<{ moved: number; left: number }> {
    if (applied === undefined || rotations.length === 0) {
      return { moved: 0, left: 0 };
    }
    const { config } = applied;
    const moves = movesOf(rotations, byPublicKey((await readDevice(config)).peers));
    if (moves.length > 0) {
      await state.addMoved(moves.flatMap(({ rotation: { peer }, to }) => peer.keys[to]?.publicKey ?? []));
      await change(config, moves.flatMap(moveChanges));
      const done = new Map(moves.map(({ rotation, to }) => [rotation, to]));
      rotations = rotations.flatMap((rotation) => {
        const to = done.get(rotation);
        return to === 0 ? [] : [to === undefined ? rotation : { ...rotation, holder: to }];
      });
      log.info('addresses moved to newer keys', { moved: moves.length, onOldKeys: rotations.length });
    }
    return { moved: moves.length, left: rotations.length };
  }

  async function repair(what: 'peers' | 'everything'): Promise<void> {
    if (applied === undefined) {
      return;
    }
    const { config, sources, privateKey } = applied;
    const index = await ensureLink(config, privateKey);
    const isNew = index !== applied.index;
    if (isNew) {
      log.warn('another program made the link anew: it is set up again', { link: config.interface });
      applied = { ...applied, index };
    }
    if (isNew || what === 'everything') {
      await ensureHost(config);
    }
    const status = await read(config);
    const changes = await applyAll(config, sources, privateKey, status, isNew);
    if (changes > 0) {
      log.warn('peers differed from the hub’s file: they are restored', { link: config.interface, changes });
    }
    await rememberEndpoints(status);
  }

  async function rememberEndpoints({ peers }: LinkStatus): Promise<void> {
    const since = Date.now() - rejectAfterMs;
    const endpoints = new Map<PublicKey, PeerEndpoint>();
    for (const { publicKey, endpoint, lastHandshake } of peers) {
      if (endpoint !== undefined && lastHandshake !== undefined && lastHandshake.getTime() >= since) {
        endpoints.set(publicKey, endpoint);
      }
    }
    // With nobody there, the host was cut off: those of before are better than none.
    if (endpoints.size > 0) {
      await state.saveEndpoints(endpoints);
    }
  }

  async function change(config: HubConfig, peers: readonly PeerChange[]): Promise<void> {
    if (peers.length > 0) {
      await links.change(placeOf(config), { peers });
      // Before more of them come; and not before the first, when the kernel refuses.
      await shareThreads(config);
    }
  }

  async function shareThreads({ interface: link }: HubConfig): Promise<void> {
    try {
      if (await limitThreads(link, peerCount)) {
        log.info('the link’s peers share kernel threads', { link, peers: peerCount });
      }
    } catch (error) {
      const { message: cause } = error as Error;
      if (cause !== threadsCause) {
        log.warn('the link’s peers cannot share kernel threads: each takes one', {
          link,
          peers: peerCount,
          cause,
        });
      }
      threadsCause = cause;
    }
  }

  async function read(config: HubConfig): Promise<LinkStatus> {
    return (await links.read(placeOf(config))) ?? refuseGone(config);
  }

  async function readDevice(config: HubConfig): Promise<DeviceStatus> {
    return (await links.readDevice(placeOf(config))) ?? refuseGone(config);
  }

  function refuseGone({ interface: name }: HubConfig): never {
    throw new Error(`link ${name} is gone`);
  }

  return {
    load: (config) => inTurn(() => load(config)),
    repair: (what) => inTurn(() => repair(what)),
    advanceRotation: () => inTurn(advanceRotation),
  };
}

function refuseForeign(name: string): never {
  throw new Error(
    `link ${name} exists and is not this hub’s: \`wgdriver hub adopt ${name}\` takes it over and keeps its sessions`,
  );
}

function refuseTaken(routes: ReadonlyMap<string, string>): void {
  if (routes.size > 0) {
    throw new Error([...routes.values()].join('; '));
  }
}

/** Where a hub's link is. */
export function placeOf({ interface: name }: HubConfig) {
  return { name, endpointId: name };
}

/** Is what a link is given beside its peers the same? */
function isSameLink(
  { config, privateKey }: Pick<Applied, 'config' | 'privateKey'>,
  other: Pick<Applied, 'config' | 'privateKey'>,
): boolean {
  return (
    config.port === other.config.port &&
    config.mtu === other.config.mtu &&
    publicKeyOf(privateKey) === publicKeyOf(other.privateKey)
  );
}

function isRotating({ networks, clients }: Sources): boolean {
  return [...networks.values(), clients].some((source) => source.isRotating);
}

/** The keys but the oldest that have got their addresses. */
function holdersOf(
  rotating: readonly Rotation['peer'][],
  present: PresentPeers,
  moved: MovedKeys,
): Set<PublicKey> {
  const onOld = new Map(rotationsOf(rotating, present, moved).map(({ peer, holder }) => [peer, holder]));
  return new Set(
    rotating.flatMap((peer) => {
      const holder = onOld.get(peer) ?? 0;
      return holder === peer.keys.length - 1 ? [] : (peer.keys[holder]?.publicKey ?? []);
    }),
  );
}

interface Bringing {
  readonly add: (prefix: Prefix) => Promise<void>;
  readonly remove: (prefix: Prefix) => Promise<void>;
}

/** Adds what is missing and removes what is too much. */
async function bring(
  wanted: readonly Prefix[],
  present: readonly Prefix[],
  { add, remove }: Bringing,
): Promise<void> {
  const [wantedTexts, presentTexts] = [wanted, present].map((list) => new Set(list.map(formatPrefix)));
  for (const prefix of wanted) {
    if (!presentTexts?.has(formatPrefix(prefix))) {
      await add(prefix);
    }
  }
  for (const prefix of present) {
    if (!wantedTexts?.has(formatPrefix(prefix))) {
      await remove(prefix);
    }
  }
}
