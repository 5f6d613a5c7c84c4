import { LinkError, type Links, type NewLink, nowhere, type OwnedLink } from '../../src/links/links.ts';
import type { PeerChange } from '../../src/wireguard/change.ts';
import type { Device, Peer } from '../../src/wireguard/device.ts';
import { publicKeyOf } from '../../src/wireguard/key.ts';
import type { LinkStatus } from '../../src/wireguard/status.ts';

type Step = 'create' | 'configure' | 'read' | 'change' | 'delete' | 'list';

interface Made {
  readonly link: NewLink;
  readonly device?: Device;
  /** Its mark was taken away. */
  readonly isUnmarked?: boolean;
}

/** Links that are kept in memory, with the contract of src/links/links.ts, for tests of what is above them. */
export interface RecordingLinks extends Links {
  /** The links that there are, by name; `device` once they are configured. */
  readonly present: ReadonlyMap<string, Made>;
  /** Those that were taken into containers, by the names that they were made with. */
  readonly taken: ReadonlyMap<string, Made>;
  /** What was asked, in order, `create wgd1a2b3c`. */
  readonly asked: readonly string[];
  /** Makes every next call of a step fail, or work again. */
  fail(step: Step, error: Error | undefined): void;
  /** Puts somebody else's link there. */
  addForeign(name: string): void;
  /** Puts a link there that was made and not marked yet. */
  addUnmarked(name: string): void;
  /** Gives a link another alias, as the root of its container can. */
  removeMark(name: string): void;
  /** Takes a link away as the engine does, into a container. */
  take(name: string): void;
  /** Gives it back, as the engine does when the container has ended. */
  giveBack(name: string): void;
  /** Holds every next call of a step back, until the function that it resolves with is called. */
  hold(step: Step): Promise<() => void>;
}

export function recordingLinks(): RecordingLinks {
  const present = new Map<string, Made>();
  const taken = new Map<string, Made>();
  const foreign = new Set<string>();
  const unmarked = new Set<string>();
  const asked: string[] = [];
  const failures = new Map<Step, Error>();
  const held = new Map<Step, (release: () => void) => void>();

  async function begin(step: Step, name: string): Promise<void> {
    asked.push(`${step} ${name}`.trim());
    const hold = held.get(step);
    if (hold !== undefined) {
      held.delete(step);
      await new Promise<void>((release) => hold(release));
    }
    const failure = failures.get(step);
    if (failure !== undefined) {
      throw failure;
    }
  }

  async function read({ name }: { readonly name: string }): Promise<LinkStatus | undefined> {
    await begin('read', name);
    const made = taken.get(name) ?? present.get(name);
    return made && statusOf(made);
  }

  return {
    backend: 'netlink',
    present,
    taken,
    asked,
    fail(step, error) {
      if (error === undefined) {
        failures.delete(step);
      } else {
        failures.set(step, error);
      }
    },
    addForeign: (name) => void foreign.add(name),
    addUnmarked: (name) => void unmarked.add(name),
    removeMark(name) {
      const made = present.get(name);
      if (made !== undefined) {
        present.set(name, { ...made, isUnmarked: true });
      }
    },
    take(name) {
      const made = present.get(name);
      if (made !== undefined) {
        taken.set(name, made);
        present.delete(name);
      }
    },
    giveBack(name) {
      const made = taken.get(name);
      if (made !== undefined) {
        present.set(name, made);
        taken.delete(name);
      }
    },
    hold: (step) => new Promise((resolve) => held.set(step, resolve)),

    async create(link) {
      await begin('create', link.name);
      if (link.name.length > 15 || /\s/.test(link.name + link.endpointId)) {
        throw new LinkError('create', link.name, 'Numerical result out of range');
      }
      if ([present, foreign, unmarked].some((links) => links.has(link.name))) {
        throw new LinkError('create', link.name, 'File exists', 'EEXIST');
      }
      present.set(link.name, { link });
    },

    async configure(name, device) {
      await begin('configure', name);
      const entry = present.get(name);
      if (entry === undefined) {
        throw new LinkError('configure', name, 'No such device', 'ENODEV');
      }
      present.set(name, { ...entry, device });
    },

    read,
    readDevice: read,

    async change(place, { mtu, peers = [], ...change }) {
      await begin('change', place.name);
      const links = [taken, present].find((map) => map.has(place.name));
      const made = links?.get(place.name);
      if (links === undefined || made?.device === undefined) {
        throw nowhere(place);
      }
      links.set(place.name, {
        link: mtu === undefined ? made.link : { ...made.link, mtu },
        device: { ...made.device, ...change, peers: changedPeers(made.device.peers, peers) },
      });
    },

    async delete(name) {
      if (![present, foreign, unmarked].some((links) => links.has(name))) {
        return;
      }
      await begin('delete', name);
      if (foreign.has(name) || unmarked.has(name) || present.get(name)?.isUnmarked) {
        throw new LinkError('delete', name, 'it is not this driver’s');
      }
      present.delete(name);
    },

    async deleteRecorded(name) {
      if (![present, foreign, unmarked].some((links) => links.has(name))) {
        return;
      }
      await begin('delete', name);
      if (foreign.has(name)) {
        throw new LinkError('delete', name, 'it is not this driver’s');
      }
      unmarked.delete(name);
      present.delete(name);
    },

    async deleteUnfinished(name) {
      await begin('delete', name);
      unmarked.delete(name);
      present.delete(name);
    },

    async list() {
      await begin('list', '');
      return [...present.values()].filter(({ isUnmarked }) => !isUnmarked).map(({ link }): OwnedLink => link);
    },
  };
}

function statusOf({ link, device }: Made): LinkStatus {
  return {
    name: link.name,
    mtu: link.mtu,
    publicKey: device && publicKeyOf(device.privateKey),
    listenPort: device?.listenPort ?? 0,
    fwmark: device?.fwmark ?? 0,
    peers: (device?.peers ?? []).map(
      ({ presharedKey, endpoint, persistentKeepaliveInterval = 0, publicKey, allowedIps }) => ({
        publicKey,
        hasPresharedKey: presharedKey !== undefined,
        endpoint,
        persistentKeepaliveInterval,
        lastHandshake: undefined,
        receivedBytes: 0,
        sentBytes: 0,
        allowedIps,
      }),
    ),
  };
}

function changedPeers(peers: readonly Peer[], changes: readonly PeerChange[]): Peer[] {
  const byKey = new Map(peers.map((peer) => [peer.publicKey, peer]));
  for (const { publicKey, remove, updateOnly, presharedKey, ...change } of changes) {
    const { presharedKey: before, ...known } = byKey.get(publicKey) ?? { publicKey, allowedIps: [] };
    if (remove) {
      byKey.delete(publicKey);
    } else if (byKey.has(publicKey) || !updateOnly) {
      const after = presharedKey === 'none' ? undefined : (presharedKey ?? before);
      byKey.set(publicKey, { ...known, ...change, ...(after && { presharedKey: after }) });
    }
  }
  return [...byKey.values()];
}
