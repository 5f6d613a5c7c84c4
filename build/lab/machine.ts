import type { ChildProcess } from 'node:child_process';
import type { FileHandle } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import type { Disk } from './disk.ts';
import type { Image } from './image.ts';
import type { Port } from './segment.ts';

/** What a program that runs a guest is told of it. */
export interface MachineOptions {
  readonly image: Image;
  readonly initramfs: FileHandle;
  /** The guest's first disk. */
  readonly disk: Disk;
  /** What the guest reads as its second disk. The host may write into it at any time. */
  readonly files: FileHandle;
  /** Words of our own for the kernel's command line. */
  readonly bootOptions: readonly string[];
  /** MAC addresses, one a network card. */
  readonly cards: readonly string[];
  readonly memoryMegabytes: number;
  readonly cpus: number;
  readonly clockOffsetSeconds: number;
}

/** A running guest, as the host sees it. */
export interface Machine {
  readonly child: ChildProcess;
  /** The guest's agent is at the other end. */
  readonly agent: Duplex;
  /** One for each of `cards`. */
  readonly ports: readonly Port[];
  /** The second disk's device in the guest. */
  readonly filesDevice: string;
  /** What the guest calls its cards, before it is told to call them eth0, eth1 …. */
  readonly cardPrefix: string;
  /** The guest's console and the program's own complaints, as far as they have come. */
  console(): string;
  /** Exit status or signal; only after the console is complete. */
  readonly exit: Promise<number | string>;
}
