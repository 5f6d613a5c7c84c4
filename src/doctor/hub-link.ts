import { networkInterfaces } from 'node:os';
import { isAccepted } from '../programs/iptables-rules.ts';
import { run } from '../programs/run.ts';
import type { Survey } from './engine-survey.ts';
import { type Finding, fail, pass, warn } from './finding.ts';

const name = 'hublink';

/** What `iptables -S` and `ip6tables -S` print; undefined where there is no such program, or no right to ask. */
export interface ForwardRules {
  readonly iptables: string | undefined;
  readonly ip6tables: string | undefined;
}

/** Node lists what is up, and has an address. */
export function isLinkUp(link: string): boolean {
  return networkInterfaces()[link] !== undefined;
}

export async function probeForwardRules(): Promise<ForwardRules> {
  const list = async (program: string) => {
    const outcome = await run(program, ['--wait', '-S']);
    return outcome.ok ? outcome.stdout : undefined;
  };
  return { iptables: await list('iptables'), ip6tables: await list('ip6tables') };
}

/**
 * Is a hub on this host up, and does Docker's drop policy, or another's, keep containers from what is behind it?
 * @param isUp of a link: is it there and up, with an address?
 */
export function judgeHubLinks(
  { networks }: Pick<Survey, 'networks'>,
  rules: ForwardRules,
  isUp: (link: string) => boolean,
): Finding {
  const links = new Set(networks.flatMap(({ hublink }) => hublink ?? []));
  if (links.size === 0) {
    return pass(name, 'no network has its hub on this host');
  }
  const down = [...links].filter((link) => !isUp(link));
  if (down.length > 0) {
    return fail(
      name,
      `the hub ${down.join(', ')} is missing, down or without an address, so containers do not reach it and none can start`,
      'bring the link up, as wg-quick or whatever else made it does',
    );
  }
  const missing = [...links].flatMap((link) =>
    (['iptables', 'ip6tables'] as const).flatMap((program) => {
      const list = rules[program] ?? '';
      const chain = /^-N DOCKER-USER$/m.test(list) ? 'DOCKER-USER' : 'FORWARD';
      return /^-P FORWARD DROP$/m.test(list)
        ? [
            ['-i', link],
            ['-o', link, '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED'],
          ]
            .filter((words) => !isAccepted(list, /^(?:DOCKER-USER|FORWARD)$/, words))
            .map((words) => `${program} -I ${chain} ${words.join(' ')} -j ACCEPT`)
        : [];
    }),
  );
  return missing.length === 0
    ? pass(name, `containers reach what is behind ${[...links].join(', ')}`)
    : warn(
        name,
        `the policy of the chain FORWARD is drop, so containers reach the hub ${[...links].join(', ')} and nothing behind it`,
        `let it pass: ${missing.join('; ')}`,
      );
}
