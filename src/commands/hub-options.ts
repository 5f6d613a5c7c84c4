import { join, resolve } from 'node:path';
import type { HubConfig } from '../hub/config.ts';
import { defaultHubFile } from '../hub/files.ts';
import type { HubHost } from '../hub/host.ts';
import { hostByNetlink } from '../hub/host-by-netlink.ts';
import { hostByPrograms } from '../hub/host-by-programs.ts';
import { hubOwner } from '../hub/hub.ts';
import type { Links } from '../links/links.ts';
import { netlinkObstacle } from '../links/netlink/probe.ts';
import { backends, selectLinks } from '../links/select.ts';
import { createLog } from '../log.ts';
import { oneOf, UsageError } from './command.ts';

/** The options that all commands of `hub` have. */
export const hubOptions = {
  config: {
    type: 'string',
    default: defaultHubFile,
    valueHint: 'FILE',
    description: 'The file that describes the hub',
  },
} as const;

/**
 * The absolute path of the hub's file.
 * @throws UsageError for stdin, which has no folder that the paths in the file are relative to
 */
export function hubFileOf({ config }: { readonly config: string }): string {
  if (config === '-') {
    throw new UsageError(
      'option --config: expected a file; stdin has no folder that the paths in it could be relative to',
    );
  }
  return resolve(config);
}

/** The options of those that look at the link. */
export const hubLinkOptions = {
  ...hubOptions,
  'state-dir': {
    type: 'string',
    default: '/var/lib/wgdriver-hub',
    valueHint: 'FOLDER',
    description: 'Where the hub keeps its peers’ endpoints and the progress of a rotation',
  },
  backend: {
    type: 'string',
    default: 'auto',
    valueHint: backends.join('|'),
    description: 'How to make the link; auto uses the kernel’s WireGuard where possible',
  },
} as const;

/** The links of a command that ends at once: what it chooses is nobody's news. */
export function hubLinksOf(args: { readonly backend: string }): Promise<Links> {
  const log = createLog({ level: 'error', format: 'text' });
  return selectLinks(oneOf('backend', backends, args.backend), hubOwner, log);
}

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
