import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Disk, keptDisk } from './disk.ts';
import { LabError } from './errors.ts';
import { bootGuest, type ExecOptions, type ExecResult, type Guest, type GuestOptions } from './guest.ts';
import { installLab } from './host.ts';
import { cacheFolder, guestImage, type Image } from './image.ts';
import { locked } from './lock.ts';
import type { Suite } from './packages.ts';
import { takePlaces } from './places.ts';
import { Segment } from './segment.ts';

export interface RunOptions extends GuestOptions, ExecOptions {
  /** Run with bash as root. */
  readonly script: string;
  /** Files to bring back; those that are not there are left out. */
  readonly collect?: readonly string[] | undefined;
}

export interface RunResult extends ExecResult {
  readonly files: Readonly<Record<string, Buffer>>;
}

/** Debian guests with a real kernel and a real engine. Everything it started ends with `close`. */
export interface Lab {
  /** Builds the images that are not in the cache, one after the other (about a minute each). */
  prepare(...suites: readonly Suite[]): Promise<void>;
  /** Boots a guest; tries a second time if QEMU or the guest fails before it is up. */
  boot(options: GuestOptions): Promise<Guest>;
  /** Boots, runs one script, powers off. A second try if the guest dies, none if the script fails. */
  run(options: RunOptions): Promise<RunResult>;
  /** A disk that outlives its guest. */
  disk(suite: Suite): Promise<Disk>;
  segment(): Segment;
  /** Pulls the plug of every guest, gives the disks back, and the lab's places to whoever waits for them. */
  close(): Promise<void>;
}

export interface LabOptions {
  /**
   * How many guests work hard at once (1 unless told). The lab takes a place of the machine for each, a
   * processor, so that labs of other processes wait rather than slow this one down.
   */
  readonly places?: number;
}

/** Opens a lab on this machine, once there is room: installs what QEMU needs, if anything is missing. */
export async function openLab({ places = 1 }: LabOptions = {}): Promise<Lab> {
  await mkdir(cacheFolder(), { recursive: true });
  await locked(join(cacheFolder(), 'install.lock'), installLab);
  const releasePlaces = await takePlaces(places);
  const images = new Map<Suite, Promise<Image>>();
  const guests = new Set<Guest>();
  const disks = new Set<Disk>();
  let closed = false;

  function image(suite: Suite): Promise<Image> {
    const known = images.get(suite) ?? guestImage(suite);
    images.set(suite, known);
    // A failed build may be tried again.
    known.catch(() => images.delete(suite));
    return known;
  }

  async function prepare(...suites: readonly Suite[]) {
    for (const suite of suites) await image(suite);
  }

  async function bootOnce(options: GuestOptions) {
    const { disk, suite } = options;
    if (disk && disk.image.suite !== suite)
      throw new TypeError(`a disk of ${disk.image.suite}, not ${suite}`);
    const from = disk?.image ?? (await image(suite));
    if (closed) throw new LabError('the lab is closed');
    return bootGuest(from, options, (guest) => {
      guests.add(guest);
      void guest.gone.then(() => guests.delete(guest));
      if (closed) void guest.powerOff({ hard: true });
    });
  }

  async function runOnce(options: RunOptions): Promise<RunResult> {
    const guest = await bootOnce(options);
    try {
      const result = await guest.exec(options.script, options);
      return { ...result, files: await guest.get(...(options.collect ?? [])) };
    } finally {
      await guest.powerOff({ hard: !options.disk });
    }
  }

  async function disk(suite: Suite) {
    const kept = await keptDisk(await image(suite));
    disks.add(kept);
    return kept;
  }

  async function close() {
    closed = true;
    await Promise.all([...guests].map((guest) => guest.powerOff({ hard: true })));
    await Promise.all([...disks].map((kept) => kept.close()));
    await releasePlaces();
  }

  return {
    prepare,
    boot: (options) => twice(() => bootOnce(options)),
    run: (options) => twice(() => runOnce(options)),
    disk,
    segment: () => new Segment(),
    close,
  };
}

async function twice<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    return attempt();
  }
}
