import type { Log } from '../log.ts';
import { markOf } from '../wireguard/link-alias.ts';
import { iprouteLinks } from './iproute/links.ts';
import type { Links } from './links.ts';
import { netlinkLinks } from './netlink/links.ts';
import { netlinkObstacle, probeWireGuardByNetlink } from './netlink/probe.ts';
import { isInstalled, probeWireGuardByPrograms } from './probe.ts';
import { userspaceLinks, userspaceProgram } from './userspace/links.ts';

export const backends = ['auto', 'netlink', 'iproute', 'userspace'] as const;
export type Backend = (typeof backends)[number];

/**
 * The implementation of Links that was asked for. With `auto` the kernel's where it can, by netlink if this
 * runtime can and else by programs; or else userspace. Says in the log what it took and why.
 * @throws Error if this runtime cannot do what was asked for, or with `auto` nothing works
 */
export async function selectLinks(backend: Backend, owner: string, log: Log): Promise<Links> {
  const mark = markOf(owner);
  const program = userspaceProgram(process.env);
  const make = {
    netlink: () => netlinkLinks(mark),
    iproute: () => iprouteLinks(mark),
    userspace: () => userspaceLinks(mark, program),
  };
  if (backend !== 'auto') {
    const links = make[backend]();
    log.info(`backend ${backend}`, { reason: 'asked for' });
    return links;
  }

  const noNetlink = netlinkObstacle();
  const noKernel = noNetlink === undefined ? await probeByNetlink() : await probeByPrograms();
  if (noKernel === undefined) {
    const kernel = 'the kernel makes WireGuard links';
    const choice = noNetlink === undefined ? 'netlink' : 'iproute';
    log.info(`backend ${choice}`, { reason: noNetlink === undefined ? kernel : `${kernel}; ${noNetlink}` });
    return make[choice]();
  }
  if (!(await isInstalled(program))) {
    throw new Error(
      `${noKernel}; and the userspace program ${program} is missing. \`wgdriver doctor\` says more`,
    );
  }
  log.warn(`backend userspace, by ${program}`, { reason: noKernel });
  return make.userspace();
}

/** Reads links whichever backend has made them: containers may have some of several drivers, or of an earlier one. */
export function linkReader(): Links['read'] {
  // Whose they are does not matter for reading.
  const mark = markOf('');
  const userspace = userspaceLinks(mark, userspaceProgram(process.env));
  const kernel = netlinkObstacle() === undefined ? netlinkLinks(mark) : iprouteLinks(mark);
  return async (place) => (await userspace.read(place)) ?? kernel.read(place);
}

/** Why not by netlink, or undefined. */
async function probeByNetlink(): Promise<string | undefined> {
  const cause = await probeWireGuardByNetlink();
  return cause && noWireGuard(cause);
}

/** Why not by `ip` and `wg`, or undefined. */
async function probeByPrograms(): Promise<string | undefined> {
  const cause = await probeWireGuardByPrograms();
  if (cause !== undefined) {
    return noWireGuard(cause);
  }
  return (await isInstalled('wg')) ? undefined : 'the program wg is missing';
}

function noWireGuard(cause: string): string {
  return `no WireGuard from the kernel: ${cause}`;
}
