import { probeProtection } from '../killswitch/guard.ts';
import { selectNamespaces } from '../killswitch/namespaces.ts';
import { optionPrefix } from '../networks/options.ts';
import { type Finding, fail, pass, skip, warn } from './finding.ts';

const name = 'killswitch';

/** Whether a namespace of its own could be protected as containers are, and what of it could not. */
export type KillswitchFacts = Error | { readonly missing: string | undefined };

export async function probeKillswitch(): Promise<KillswitchFacts> {
  let missing: string | undefined;
  const warnings = {
    error() {},
    warn: (message: string) => {
      missing = message;
    },
    info() {},
    debug() {},
  };
  try {
    await probeProtection(selectNamespaces(warnings));
    return { missing };
  } catch (error) {
    return error as Error;
  }
}

/** @param facts undefined if the rights for it are missing */
export function judgeKillswitch(facts: KillswitchFacts | undefined): Finding {
  if (facts === undefined) {
    return skip(name, 'trying it needs root');
  }
  if (facts instanceof Error) {
    return fail(
      name,
      facts.message,
      `install what is missing; or create networks with -o ${optionPrefix}killswitch=off, and let traffic leave in clear`,
    );
  }
  return facts.missing === undefined
    ? pass(name, 'traffic can be kept in the tunnel')
    : warn(name, facts.missing, 'use Linux 5.16 or newer, or start containers with --cap-drop NET_RAW');
}
