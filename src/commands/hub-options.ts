import { join, resolve } from 'node:path';
import type { HubConfig } from '../hub/config.ts';
import { defaultHubFile } from '../hub/files.ts';
import type { HubHost } from '../hub/host.ts';
import { hostByNetlink } from '../hub/host-by-netlink.ts';
import { hostByPrograms } from '../hub/host-by-programs.ts';
import { netlinkObstacle } from '../links/netlink/probe.ts';
import { backends } from '../links/select.ts';

/** The options that all commands of `hub` have. */
export const hubOptions = {
  config: {
    type: 'string',
    default: defaultHubFile,
    valueHint: 'FILE',
    description: 'What the hub is to be',
  },
} as const;

/** The options of those that look at the link. */
export const hubLinkOptions = {
  ...hubOptions,
  'state-dir': {
    type: 'string',
    default: '/var/lib/wgdriver-hub',
    valueHint: 'FOLDER',
    description: 'Where endpoints and the course of a rotation are remembered',
  },
  backend: {
    type: 'string',
    default: 'auto',
    valueHint: backends.join('|'),
    description: 'How the link is made: auto takes the kernel where it can',
  },
} as const;

/** Each link has a folder of its own. */
export function hubStateFolder(args: { readonly 'state-dir': string }, config: HubConfig): string {
  return join(resolve(args['state-dir']), config.interface);
}

/** By netlink if this runtime can, and else by the programs `ip` and `nft`. */
export function hubHost(): HubHost {
  return netlinkObstacle() === undefined ? hostByNetlink() : hostByPrograms();
}

export function requireRootFor(action: string): void {
  if (process.getuid?.() !== 0) {
    throw new Error(`hub ${action} changes the network of this host and needs root: run it as root`);
  }
}
