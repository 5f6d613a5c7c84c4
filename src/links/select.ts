import type { Log } from '../log.ts';
import { kernelWords } from './iproute/ip.ts';
import { iprouteLinks } from './iproute/links.ts';
import type { Links } from './links.ts';
import { markOf } from './mark.ts';
import { netlinkLinks } from './netlink/links.ts';
import { netlinkObstacle, netlinkWireGuardObstacle } from './netlink/probe.ts';
import { probeKernelWireGuard, probeProgram } from './probe.ts';
import { userspaceLinks, userspaceProgram } from './userspace/links.ts';

export const backends = ['auto', 'netlink', 'iproute', 'userspace'] as const;
export type Backend = (typeof backends)[number];

/**
 * The implementation of Links that was asked for. With `auto` it is the kernel's WireGuard where there is
 * one, by netlink if this runtime can and else by programs; without one, userspace. Says in the log what it
 * took and why.
 * @throws Error if this runtime cannot do what was asked for, or with `auto` nothing works
 */
export async function selectLinks(backend: Backend, owner: string, log: Log): Promise<Links> {
  const mark = markOf(owner);
  const program = userspaceProgram(process.env);
  const noNetlink = netlinkObstacle();

  if (backend === 'netlink' && noNetlink !== undefined) {
    throw new Error(`backend netlink: ${noNetlink}`);
  }
  if (backend !== 'auto') {
    log.info(`backend ${backend}`, { reason: 'asked for' });
    return backend === 'netlink'
      ? netlinkLinks(mark)
      : backend === 'iproute'
        ? iprouteLinks(mark)
        : userspaceLinks(mark, program);
  }

  const noKernel = noNetlink === undefined ? await netlinkWireGuardObstacle() : await programsObstacle();
  const reason = 'the kernel makes WireGuard links';
  if (noKernel === undefined && noNetlink === undefined) {
    log.info('backend netlink', { reason });
    return netlinkLinks(mark);
  }
  if (noKernel === undefined) {
    log.info('backend iproute', { reason: `${reason}; ${noNetlink}` });
    return iprouteLinks(mark);
  }
  if (!(await probeProgram(program)).ok) {
    throw new Error(
      `${noKernel}; and the userspace program ${program} is missing. \`wgdriver doctor\` says more`,
    );
  }
  log.warn(`backend userspace, by ${program}`, { reason: noKernel });
  return userspaceLinks(mark, program);
}
