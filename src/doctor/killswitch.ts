import type { Applied } from '../killswitch/namespaces.ts';
import { probeProtection } from '../killswitch/probe.ts';
import { selectNamespaces } from '../killswitch/select.ts';
import { optionPrefix } from '../networks/options.ts';
import { type Finding, fail, pass, skip, warn } from './finding.ts';

const name = 'killswitch';

/** What protecting a new namespace, as containers are protected, came to. */
export type KillswitchFacts = Error | Applied;

export async function probeKillswitch(): Promise<KillswitchFacts> {
  try {
    return await probeProtection(selectNamespaces());
  } catch (error) {
    return error as Error;
  }
}

/** @param facts undefined if the rights for it are missing */
export function judgeKillswitch(facts: KillswitchFacts | undefined): Finding {
  if (facts === undefined) {
    return skip(name, 'testing it needs root');
  }
  if (facts instanceof Error) {
    return fail(
      name,
      facts.message,
      `install what is missing; or create networks with -o ${optionPrefix}killswitch=off, which lets traffic leave unencrypted`,
    );
  }
  return facts.unfilteredFrames === undefined
    ? pass(name, 'this host can keep traffic in the tunnel')
    : warn(
        name,
        `frames that a process with CAP_NET_RAW writes to another network’s link are not stopped: ${facts.unfilteredFrames}`,
        'use Linux 5.16 or newer, or start containers with --cap-drop NET_RAW',
      );
}
