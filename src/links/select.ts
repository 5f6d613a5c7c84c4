import type { Log } from '../log.ts';
import { iprouteLinks } from './iproute/links.ts';
import type { Links } from './links.ts';
import { markOf } from './mark.ts';
import { probeKernelWireGuard, probeProgram } from './probe.ts';
import { userspaceLinks, userspaceProgram } from './userspace/links.ts';

export const backends = ['auto', 'iproute', 'userspace'] as const;
export type Backend = (typeof backends)[number];

/**
 * The implementation of Links that was asked for, or with `auto` the kernel's where it can, else
 * userspace. Says in the log what it took and why.
 * @throws Error if with `auto` neither works
 */
export async function selectLinks(backend: Backend, owner: string, log: Log): Promise<Links> {
  const mark = markOf(owner);
  const program = userspaceProgram(process.env);
  if (backend !== 'auto') {
    log.info(`backend ${backend}`, { reason: 'asked for' });
    return backend === 'iproute' ? iprouteLinks(mark) : userspaceLinks(mark, program);
  }
  const kernel = await probeKernelWireGuard();
  const wg = await probeProgram('wg');
  if (kernel.ok && wg.ok) {
    log.info('backend iproute', { reason: 'the kernel makes WireGuard links' });
    return iprouteLinks(mark);
  }
  const reason = kernel.ok ? 'the program wg is missing' : `no WireGuard from the kernel: ${kernel.cause}`;
  if (!(await probeProgram(program)).ok) {
    throw new Error(
      `${reason}; and the userspace program ${program} is missing. \`wgdriver doctor\` says more`,
    );
  }
  log.warn(`backend userspace, by ${program}`, { reason });
  return userspaceLinks(mark, program);
}
