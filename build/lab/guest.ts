import { type FileHandle, readFile, truncate, writeFile } from 'node:fs/promises';
import { Channel } from './channel.ts';
import { cpioArchive } from './cpio.ts';
import type { Disk } from './disk.ts';
import { JobTimeout, LabError } from './errors.ts';
import type { Image } from './image.ts';
import type { Machine, MachineOptions } from './machine.ts';
import type { Suite } from './packages.ts';
import { namelessFile } from './scratch.ts';
import type { Plug, Segment } from './segment.ts';
import { type GuestFiles, tarball } from './tarball.ts';

/**
 * The kernel of a guest. `debian` is the suite's own, with its modules and its boot parameters, under QEMU's
 * emulation, some fourteen times slower than the machine. `uml` is User-Mode Linux, the newest of all, at the
 * machine's own speed, with one processor.
 */
export type Kernel = 'debian' | 'uml';

/** How a guest is plugged into a segment; its cards are eth0, eth1 … in this order. */
export interface Network {
  readonly segment: Segment;
  /** ADDRESS/PREFIX to give the card, which is set up in any case. */
  readonly address?: string | undefined;
}

export interface GuestOptions {
  readonly suite: Suite;
  /** For what depends on the suite's own kernel. Without it the guest has the quickest that can be had. */
  readonly kernel?: 'debian' | undefined;
  /** Put into the guest before `boot` resolves. */
  readonly files?: GuestFiles | undefined;
  /** From `lab.disk`; without it the guest has a clean disk that is forgotten. */
  readonly disk?: Disk | undefined;
  readonly networks?: readonly Network[] | undefined;
  /** Waits for dockerd. Without systemd, which starts it at boot, it starts (without options) once `files` are there. */
  readonly engine?: boolean | undefined;
  /** `minimal` (the default) has a process 1 of our own, `systemd` the real one. */
  readonly init?: 'minimal' | 'systemd' | undefined;
  readonly hostname?: string | undefined;
  /** Seconds the guest's clock is ahead of the host's; negative is behind. */
  readonly clockOffsetSeconds?: number | undefined;
  readonly memoryMegabytes?: number | undefined;
  /** Of `debian`; the other has one. */
  readonly cpus?: number | undefined;
  /** Beside the lab's own, such as `ipv6.disable=1`. */
  readonly kernelArguments?: readonly string[] | undefined;
}

export interface ExecOptions {
  /** 120 by default. */
  readonly timeoutSeconds?: number | undefined;
  /** Called with each piece of output as it comes. */
  readonly onOutput?: ((chunk: Buffer) => void) | undefined;
}

export interface ExecResult {
  /** Exit status; 128 + N after signal N. */
  readonly status: number;
  /** stdout and stderr as they came. */
  readonly output: string;
}

/** A booted guest. Its methods reject with LabError once it is gone. */
export interface Guest {
  readonly suite: Suite;
  readonly kernel: Kernel;
  readonly hostname: string;
  /** The process on the host that is the guest. */
  readonly pid: number;
  /** Its plugs in the order of `networks`. */
  readonly plugs: readonly Plug[];
  /** Resolves when its process has ended, for whatever reason. */
  readonly gone: Promise<void>;
  /**
   * Runs `script` with bash as root in /root; any number at once. Resolves when the script itself ends,
   * whatever it left running. A status other than 0 is a result; a time-out rejects with JobTimeout. LabError
   * if the guest does not answer any more, or the job failed in one whose disk is full or broken.
   */
  exec(script: string, options?: ExecOptions): Promise<ExecResult>;
  put(files: GuestFiles): Promise<void>;
  /** The content of those of `paths` that are there. */
  get(...paths: string[]): Promise<Record<string, Buffer>>;
  /** Clean by default (disks synced); `hard` is the plug pulled. Resolves when its process has ended. */
  powerOff(options?: { readonly hard?: boolean }): Promise<void>;
  /** The console and what background processes printed, for messages of a failed test. */
  log(): string;
}

/** A machine that many others share takes long, with systemd above all. */
const BOOT_SECONDS = 180;
/** What a guest that is not asked to do anything else takes to answer at the most. */
const ANSWER_SECONDS = 20;
/** Room for an archive of files; none of it is taken until it is written to. */
const FILES_SIZE = 8 * 2 ** 30;
const GUEST_FILES = new URL('guest/', import.meta.url);

let guests = 0;

/** How to start a machine of one kind. */
export interface Starter {
  readonly kernel: Kernel;
  start(options: MachineOptions): Promise<Machine>;
}

/**
 * Boots once. Every failure after the machine's start is a LabError with the end of the console. `onStart`
 * gets the guest before it is up, for whoever must be able to end it at any time.
 */
export async function bootGuest(
  starter: Starter,
  image: Image,
  disk: Disk,
  options: GuestOptions,
  onStart: (guest: Guest) => void,
): Promise<Guest> {
  const hostname = options.hostname ?? `${options.suite}-${++guests}`;
  const networks = options.networks ?? [];
  const initramfs = await guestInitramfs(image);
  const files = await namelessFile(async (path) => {
    await writeFile(path, '');
    await truncate(path, FILES_SIZE);
  });
  let machine: Machine;
  try {
    machine = await starter.start({
      image,
      initramfs,
      files,
      disk,
      bootOptions: bootOptions(options),
      cards: networks.map(() => macAddress()),
      memoryMegabytes: options.memoryMegabytes ?? 2048,
      cpus: options.cpus ?? 2,
      clockOffsetSeconds: options.clockOffsetSeconds ?? 0,
    });
  } catch (error) {
    await files.close();
    throw error;
  } finally {
    // The machine has inherited its own.
    await initramfs.close();
  }
  const plugs = networks.map(({ segment }, card) => {
    const port = machine.ports[card];
    if (!port) throw new LabError(`guest ${hostname}: card ${card} has no socket`);
    return segment.plug(port);
  });
  const facts = { suite: options.suite, kernel: starter.kernel, hostname, plugs };
  const guest = runningGuest(machine, files, facts);
  onStart(guest);
  try {
    await within(BOOT_SECONDS, guest.ready, () => new LabError(`no agent after ${BOOT_SECONDS} s`));
    if (options.files) await guest.put(options.files);
    const setup = setupScript(hostname, machine, options);
    const { status, output } = await guest.exec(setup, { timeoutSeconds: BOOT_SECONDS });
    if (status !== 0) throw new LabError(`set-up ended with ${status}: ${output}`);
    return guest;
  } catch (error) {
    await guest.powerOff({ hard: true });
    const tail = guest.log().slice(-3000);
    throw new LabError(`boot ${hostname}: ${(error as Error).message}\n${tail}`, { cause: error });
  }
}

function runningGuest(
  machine: Machine,
  files: FileHandle,
  facts: Pick<Guest, 'suite' | 'kernel' | 'hostname' | 'plugs'>,
): Guest & { readonly ready: Promise<void> } {
  let late = '';
  let poweredOff = false;
  const channel = new Channel(machine.agent, (chunk) => {
    late += chunk.toString();
  });
  const log = () => `${machine.console()}${late}`;
  const gone = machine.exit
    .catch((error: Error) => error.message)
    .then(async (status) => {
      await files.close();
      for (const plug of facts.plugs) plug.remove();
      const why = poweredOff ? 'was powered off' : `died (${status})\n${log().slice(-3000)}`;
      channel.break(new LabError(`guest ${facts.hostname} ${why}`));
    });
  const kill = () => machine.child.kill('SIGKILL');

  async function exec(script: string, { timeoutSeconds = 120, onOutput }: ExecOptions = {}) {
    const printed: Buffer[] = [];
    const job = channel.start(script, {
      onOutput: (chunk) => {
        printed.push(chunk);
        onOutput?.(chunk);
      },
    });
    try {
      const { status, output } = await within(timeoutSeconds, job.end, () => {
        job.kill();
        return new JobTimeout(timeoutSeconds, Buffer.concat(printed).toString());
      });
      if (status !== 0) await expectDisk(output.toString());
      return { status, output: output.toString() };
    } catch (error) {
      if (error instanceof JobTimeout) await answers(error);
      throw error;
    }
  }

  /** Tells a job that fails from a guest that can write no more, by itself or as the host cannot. */
  async function expectDisk(output: string) {
    const { status } = await channel.start(
      `[ "$(df --output=avail / | tail -n 1)" -gt 1024 ] && ! grep -qE '^\\S+ / ext4 (\\S+,)?ro[, ]' /proc/mounts`,
    ).end;
    if (status !== 0) {
      const tail = `${output.slice(-2000)}\n${log().slice(-1000)}`;
      throw new LabError(`guest ${facts.hostname}: its disk is full or cannot be written to\n${tail}`);
    }
  }

  /** Tells a job that takes too long from a guest that hangs. */
  async function answers(late: JobTimeout) {
    await within(ANSWER_SECONDS, channel.start('true').end, () => {
      const what = `guest ${facts.hostname} hangs: it does not answer ${ANSWER_SECONDS} s after its`;
      return new LabError(`${what} ${late.message}\n${log().slice(-3000)}`, { cause: late });
    });
  }

  let putting: Promise<unknown> = Promise.resolve();
  /** By the second disk, one after the other: a serial line would take minutes. */
  function put(wanted: GuestFiles) {
    const done = putting.then(async () => {
      await tarball(wanted, `/proc/${process.pid}/fd/${files.fd}`);
      // It is as long as the guest was told at its start, whatever tar has made of it.
      await files.truncate(FILES_SIZE);
      // What the guest has read of it before is of another archive.
      const unpack = `blockdev --flushbufs ${machine.filesDevice} && tar -x -C / -f ${machine.filesDevice}`;
      const { status, output } = await exec(unpack);
      if (status !== 0) throw new LabError(`put files into ${facts.hostname}: ${output}`);
    });
    putting = done.catch(() => {});
    return done;
  }

  async function get(...paths: string[]) {
    const found: Record<string, Buffer> = {};
    for (const path of paths) {
      const { status, output } = await channel.start(`exec cat -- ${quoted(path)} 2>/dev/null`).end;
      if (status === 0) found[path] = output;
    }
    return found;
  }

  async function powerOff({ hard = false } = {}) {
    if (!hard) {
      const off =
        'sync; echo s >/proc/sysrq-trigger; echo u >/proc/sysrq-trigger; echo o >/proc/sysrq-trigger';
      poweredOff = true;
      channel.start(`${off}; sleep 30`).end.catch(() => {});
      await within(30, gone, () => new Error('still there')).catch(() => {});
    }
    poweredOff = true;
    kill();
    await gone;
  }

  return { ...facts, pid: machine.child.pid ?? 0, gone, ready: channel.ready, exec, put, get, powerOff, log };
}

/** The image's initramfs with the lab's own files on top. */
async function guestInitramfs(image: Image) {
  const read = async (name: string, path: string, mode = 0o755) => ({
    path,
    mode,
    data: await readFile(new URL(name, GUEST_FILES)),
  });
  const ours = cpioArchive(
    ['dev', 'proc', 'disk', 'lab', 'lab/bin'],
    await Promise.all([
      read('init', 'init'),
      read('boot', 'lab/boot'),
      read('agent.service', 'lab/agent.service', 0o644),
      read('agent', 'lab/bin/agent'),
      read('engine', 'lab/bin/engine'),
    ]),
  );
  const base = await readFile(image.initramfs);
  return namelessFile((path) => writeFile(path, Buffer.concat([base, ours])));
}

function bootOptions({ init, kernelArguments = [] }: GuestOptions): string[] {
  return [...kernelArguments, ...(init === 'systemd' ? ['lab.init=systemd'] : [])];
}

function setupScript(
  hostname: string,
  machine: Machine,
  { networks = [], engine, init }: GuestOptions,
): string {
  const lines = ['set -e', `hostname ${quoted(hostname)}`, `echo "127.0.1.1 ${hostname}" >>/etc/hosts`];
  networks.forEach(({ address }, card) => {
    const given = `${machine.cardPrefix}${card}`;
    if (given !== `eth${card}`) lines.push(`ip link set ${given} name eth${card}`);
    if (address) lines.push(`ip addr add ${quoted(address)} dev eth${card}`);
    lines.push(`ip link set eth${card} up`);
  });
  if (engine) {
    const wait = 'until [ -S /run/docker.sock ] && engine ready; do sleep 0.5; done';
    lines.push(init === 'systemd' ? wait : 'engine start');
  }
  return lines.join('\n');
}

/** Locally administered; unique within this process, which is all that shares a segment. */
let cards = 0;
function macAddress(): string {
  const number = (++cards).toString(16).padStart(6, '0');
  return `52:54:00:${number.replace(/(..)(..)(..)/, '$1:$2:$3')}`;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

async function within<T>(seconds: number, work: Promise<T>, error: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(error()), seconds * 1000);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
