import { readFile } from 'node:fs/promises';
import { type Finding, fail, pass } from './finding.ts';

/** linux/capability.h */
const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n;
const needed = { CAP_NET_ADMIN, CAP_SYS_ADMIN };

export interface Rights {
  readonly uid: number;
  /** The effective capabilities, a bit for each. */
  readonly capabilities: bigint;
}

/** The rights of this process, as proc_pid_status(5) has them. */
export async function readRights(): Promise<Rights> {
  return parseRights(await readFile('/proc/self/status', 'utf8'));
}

/** Parses /proc/PID/status; what is not there counts as no right. */
export function parseRights(status: string): Rights {
  const uid = /^Uid:\t\d+\t(\d+)/m.exec(status)?.[1] ?? 'NaN';
  const capabilities = /^CapEff:\t([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  return { uid: Number(uid), capabilities: BigInt(`0x${capabilities}`) };
}

/** May this process make namespaces, and links in them? */
export function mayMakeLinks(rights: Rights): boolean {
  return missing(rights).length === 0;
}

export function judgeRights(rights: Rights): Finding {
  if (rights.uid !== 0) {
    return fail(
      'rights',
      `runs as user ${rights.uid}, not as root`,
      'run it as root: `sudo wgdriver doctor`',
    );
  }
  const lacking = missing(rights);
  return lacking.length === 0
    ? pass('rights', `root, with ${Object.keys(needed).join(' and ')}`)
    : fail(
        'rights',
        `root, but without ${lacking.join(' and ')}`,
        'run it on the host itself, or give its container these capabilities',
      );
}

function missing({ capabilities }: Rights): string[] {
  return Object.entries(needed).flatMap(([name, bit]) => ((capabilities >> bit) & 1n ? [] : [name]));
}
