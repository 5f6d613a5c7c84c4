import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { cacheFolder } from './cache.ts';
import { type Disk, freshDisk } from './disk.ts';
import { LabError } from './errors.ts';
import {
  bootGuest,
  type ExecOptions,
  type ExecResult,
  type Guest,
  type GuestOptions,
  type Kernel,
  type Starter,
} from './guest.ts';
import { installLab } from './host.ts';
import { guestImage, type Image } from './image.ts';
import { umlKernel } from './kernel.ts';
import { locked } from './lock.ts';
import type { Suite } from './packages.ts';
import { takePlaces } from './places.ts';
import { startQemu } from './qemu.ts';
import { Segment } from './segment.ts';
import { recordTime } from './times.ts';
import { startUml } from './uml.ts';

export interface RunOptions extends GuestOptions, ExecOptions {
  /** Run with bash as root. */
  readonly script: string;
  /** Files to bring back; those that are not there are left out. */
  readonly collect?: readonly string[] | undefined;
}

export interface RunResult extends ExecResult {
  readonly kernel: Kernel;
  readonly files: Readonly<Record<string, Buffer>>;
}

/** Debian guests with a real kernel and a real engine. Everything it started ends with `close`. */
export interface Lab {
  /** Builds the images that are not in the cache, one after the other (about a minute each). */
  prepare(...suites: readonly Suite[]): Promise<void>;
  /** Boots a guest; tries a second time if it fails before it is up. */
  boot(options: GuestOptions): Promise<Guest>;
  /** Boots, runs one script, powers off. A second try if the guest dies, none if the script fails. */
  run(options: RunOptions): Promise<RunResult>;
  /** A disk that outlives its guest, for guests of the same suite and kernel. */
  disk(suite: Suite, options?: Pick<GuestOptions, 'kernel'>): Promise<Disk>;
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
  /** Whether it holds them for minutes: then it is let in before those that do not. */
  readonly isLong?: boolean;
  /** What it is for, where times are told; the program's name unless told. */
  readonly name?: string;
  /** What all its guests need, as of GuestOptions; the lab does not wait for another kernel then. */
  readonly kernel?: 'debian';
}

const QEMU: Starter = { kernel: 'debian', start: async (options) => startQemu(options) };

/**
 * Opens a lab on this machine, once there is room: installs what guests need, if anything is missing, and
 * has a User-Mode Linux kernel built, unless that was done.
 */
export async function openLab({ places = 1, isLong, kernel, name }: LabOptions = {}): Promise<Lab> {
  const asked = performance.now();
  await mkdir(cacheFolder(), { recursive: true });
  await locked(join(cacheFolder(), 'install.lock'), installLab);
  let started = 0;
  const processor = () => held.numbers[started++ % held.numbers.length] ?? 0;
  const quickest = kernel === 'debian' ? QEMU : await umlIfAny(processor);
  const held = await takePlaces(places, isLong);
  const opened = performance.now();
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
    if (disk && (disk.image.suite !== suite || disk.format !== formatFor(options))) {
      throw new TypeError(
        `a ${disk.format} disk of ${disk.image.suite}, not a ${formatFor(options)} of ${suite}`,
      );
    }
    const starter = starterFor(options);
    const from = disk?.image ?? (await image(suite));
    const its = disk ?? (await freshDisk(from, formatFor(options)));
    try {
      if (closed) throw new LabError('the lab is closed');
      return await bootGuest(starter, from, its, options, (guest) => {
        guests.add(guest);
        void guest.gone.then(() => guests.delete(guest));
        if (closed) void guest.powerOff({ hard: true });
      });
    } finally {
      // The machine has inherited it.
      if (its !== disk) await its.close();
    }
  }

  function starterFor({ kernel: wanted }: Pick<GuestOptions, 'kernel'>) {
    return wanted === 'debian' ? QEMU : quickest;
  }

  function formatFor(options: Pick<GuestOptions, 'kernel'>): Disk['format'] {
    return starterFor(options) === QEMU ? 'qcow2' : 'cow';
  }

  async function runOnce(options: RunOptions): Promise<RunResult> {
    const guest = await bootOnce(options);
    try {
      const result = await guest.exec(options.script, options);
      return { ...result, kernel: guest.kernel, files: await guest.get(...(options.collect ?? [])) };
    } finally {
      await guest.powerOff({ hard: !options.disk });
    }
  }

  async function disk(suite: Suite, options: Pick<GuestOptions, 'kernel'> = {}) {
    const kept = await freshDisk(await image(suite), formatFor(options));
    disks.add(kept);
    return kept;
  }

  async function close() {
    if (!closed) {
      recordTime({
        name: name ?? basename(process.argv[1] ?? ''),
        waitedSeconds: (opened - asked) / 1000,
        heldSeconds: (performance.now() - opened) / 1000,
      });
    }
    closed = true;
    await Promise.all([...guests].map((guest) => guest.powerOff({ hard: true })));
    await Promise.all([...disks].map((kept) => kept.close()));
    await held.release();
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

/**
 * User-Mode Linux, or QEMU where there can be none.
 * @param processor of which the next guest has one to itself, as it has a place
 */
async function umlIfAny(processor: () => number): Promise<Starter> {
  try {
    const kernel = await umlKernel();
    return { kernel: 'uml', start: (options) => startUml(kernel, options, processor()) };
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    console.error(`lab: guests run under emulation, some fourteen times slower: ${error.message}`);
    return QEMU;
  }
}
