import { type Capability, missingRights, type Rights } from '../rights.ts';
import { type Finding, fail, listed, pass } from './finding.ts';

const forLinks = ['CAP_NET_ADMIN', 'CAP_SYS_ADMIN'] as const satisfies Capability[];
/** The kill switch wants to be told of changes in containers' networks. */
const needed = [...forLinks, 'CAP_NET_BROADCAST'] as const satisfies Capability[];

/** May this process make namespaces, and links in them? */
export function mayMakeLinks(rights: Rights): boolean {
  return missingRights(rights, forLinks).length === 0;
}

export function judgeRights(rights: Rights): Finding {
  if (rights.uid !== 0) {
    return fail(
      'rights',
      `runs as user ${rights.uid}, not as root`,
      'run it as root: `sudo wgdriver doctor`',
    );
  }
  const lacking = missingRights(rights, needed);
  return lacking.length === 0
    ? pass('rights', `root, with ${listed(needed)}`)
    : fail(
        'rights',
        `root, but without ${listed(lacking)}`,
        'run wgdriver on the host itself, or give its container these capabilities',
      );
}
