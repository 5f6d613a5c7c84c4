import { readFile } from 'node:fs/promises';

/** linux/capability.h */
const numbers = { CAP_NET_BROADCAST: 11n, CAP_NET_ADMIN: 12n, CAP_SYS_ADMIN: 21n } as const;
export type Capability = keyof typeof numbers;

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

export function missingRights({ capabilities }: Rights, wanted: readonly Capability[]): Capability[] {
  return wanted.filter((name) => ((capabilities >> numbers[name]) & 1n) === 0n);
}
