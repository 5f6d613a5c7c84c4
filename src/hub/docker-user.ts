import type { Family } from '../netlink/family.ts';
import { run, successOf } from '../programs/run.ts';
import { formatPrefix } from '../wireguard/address.ts';
import type { HubConfig } from './config.ts';

/** A rule for a firewall of iptables: the words behind `iptables -I CHAIN`, as `iptables -S` has them. */
export interface IptablesRule {
  readonly family: Family;
  readonly words: readonly string[];
}

/** What else than our own table has to let pass: Docker drops what it does not know. */
export interface Firewall {
  /** Adds the rules that are asked for and removes ours that are not. @throws Error */
  bring(config: HubConfig): Promise<void>;
}

const families: readonly Family[] = ['ipv4', 'ipv6'];
const chain = 'DOCKER-USER';

/** The mark on our rules. */
export function ruleTag(linkName: string): string {
  return `wgdriver-hub-${linkName}`;
}

/** What must pass: from peers to wherever our own table lets them, and answers to them. */
export function passRules({ interface: link, allow }: HubConfig): IptablesRule[] {
  const tagged = ['-m', 'comment', '--comment', ruleTag(link), '-j', 'ACCEPT'];
  return families.flatMap((family) => [
    { family, words: ['-i', link, ...tagged] },
    { family, words: ['-o', link, '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED', ...tagged] },
    ...allow.outside
      .filter(({ address }) => address.kind() === family)
      .map((prefix) => ({
        family,
        // `iptables -S` leaves out a prefix that everybody is in.
        words: [...(prefix.length === 0 ? [] : ['-s', formatPrefix(prefix)]), '-o', link, ...tagged],
      })),
  ]);
}

export function iptablesOf(family: Family): string {
  return family === 'ipv4' ? 'iptables' : 'ip6tables';
}

/** The rules in Docker's own chain for its users' rules, which it asks before its own. */
export function dockerUserFirewall(): Firewall {
  /** That nothing of ours is there, nobody needs to find out again and again. */
  let isClean = false;
  return {
    async bring(config) {
      const wanted = config.firewall === 'docker-user' ? passRules(config) : [];
      if (wanted.length === 0 && isClean) {
        return;
      }
      for (const family of families) {
        await bringFamily(
          family,
          config.interface,
          wanted.filter((rule) => rule.family === family),
        );
      }
      isClean = wanted.length === 0;
    },
  };
}

async function bringFamily(family: Family, link: string, wanted: readonly IptablesRule[]): Promise<void> {
  const program = iptablesOf(family);
  const listed = await run(program, ['--wait', '-S', chain]);
  if (!listed.ok) {
    // Without Docker there is nothing in the way; it makes its chain when it starts, and the next look finds it.
    return;
  }
  const present = taggedRules(listed.stdout, ruleTag(link));
  const isThere = (words: readonly string[]) => present.some((other) => other.join(' ') === words.join(' '));
  for (const words of present.filter(
    (other) => !wanted.some((rule) => rule.words.join(' ') === other.join(' ')),
  )) {
    successOf(await run(program, ['--wait', '-D', chain, ...words]), `delete rule of chain ${chain}`);
  }
  for (const { words } of wanted) {
    if (!isThere(words)) {
      successOf(await run(program, ['--wait', '-I', chain, ...words]), `add rule to chain ${chain}`);
    }
  }
}

/** Those rules of a list of `iptables -S` that carry a tag, as words. */
export function taggedRules(list: string, tag: string): string[][] {
  return list
    .split('\n')
    .map((line) => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? ''))
    .filter((words) => words[0] === '-A' && words[words.indexOf('--comment') + 1] === tag)
    .map((words) => words.slice(2));
}
