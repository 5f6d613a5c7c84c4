import { covers, parsePrefix } from '../wireguard/address.ts';

/** What a packet must be for a rule, by the option that says so. */
type Conditions = ReadonlyMap<string, string>;

const notConditions = new Set(['-A', '-j', '-m', '--comment']);

/**
 * Does a list of `iptables -S` let pass what a rule would? Some rule of the chains does that asks for no more than it.
 * What another rule before it may drop is not looked at.
 * @param wanted the rule's words, as in the list
 */
export function isAccepted(list: string, chains: RegExp, wanted: readonly string[]): boolean {
  const conditions = conditionsOf(wanted);
  const named = { has: (chain: string) => chains.test(chain) };
  return acceptingRules(list, named).some((rule) =>
    [...rule].every(([option, value]) => isMet(option, value, conditions.get(option))),
  );
}

/** Does a list of `iptables -S` let somebody reach a UDP port? Whom a rule names beside it is its maker's affair. */
export function opensUdpPort(list: string, port: number): boolean {
  const isForPort = (rule: Conditions) => {
    const protocol = rule.get('-p') ?? 'all';
    const ports = rule.get('--dport') ?? rule.get('--dports');
    return (protocol === 'udp' || protocol === 'all') && (ports === undefined || holds(ports, port));
  };
  const hasPorts = (rule: Conditions) => rule.has('--dport') || rule.has('--dports');
  return acceptingRules(list, inputChains(list, isForPort)).some(
    (rule) => isForPort(rule) && (hasPorts(rule) || [...rule.keys()].every((option) => option === '-p')),
  );
}

/** INPUT, and the chains that it leads all those packets to. Those of other hooks accept what never comes here. */
function inputChains(list: string, isMet: (rule: Conditions) => boolean): ReadonlySet<string> {
  const chains = new Set(['INPUT']);
  const jumps = list.split('\n').flatMap((line) => {
    const [, from = '', to] = /^-A (\S+) .*-[jg] (\S+)/.exec(line) ?? [];
    const rule = conditionsOf(wordsOf(line));
    const state = rule.get('--ctstate') ?? 'NEW';
    const isAll = [...rule.keys()].every((option) => newPacketsOptions.has(option));
    return to !== undefined && isAll && state.split(',').includes('NEW') && isMet(rule) ? [{ from, to }] : [];
  });
  // A set that grows while it is gone through.
  for (const chain of chains) {
    for (const { from, to } of jumps) {
      if (from === chain) {
        chains.add(to);
      }
    }
  }
  return chains;
}

const newPacketsOptions = new Set(['-p', '--dport', '--dports', '--ctstate', '-g']);

/** Is a port in a list such as `53,4000:5000`? */
function holds(ports: string, port: number): boolean {
  return ports.split(',').some((range) => {
    const [first, last = first] = range.split(':');
    return Number(first) <= port && port <= Number(last || 65535);
  });
}

function acceptingRules(list: string, chains: { has(chain: string): boolean }): Conditions[] {
  return list.split('\n').flatMap((line) => {
    const [, chain = ''] = /^-A (\S+) .*-j (?:ACCEPT|ufw6?-user-limit-accept)\b/.exec(line) ?? [];
    return chain !== '' && chains.has(chain) ? [conditionsOf(wordsOf(line))] : [];
  });
}

function wordsOf(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
}

function conditionsOf(words: readonly string[]): Conditions {
  const conditions = new Map<string, string>();
  let isNot = '';
  words.forEach((word, index) => {
    if (word === '!') {
      isNot = '! ';
    } else if (word.startsWith('-')) {
      const next = words[index + 1] ?? '';
      if (!notConditions.has(word)) {
        conditions.set(isNot + (word === '--state' ? '--ctstate' : word), next.startsWith('-') ? '' : next);
      }
      isNot = '';
    }
  });
  return conditions;
}

/** Does what a rule asks for hold of all that another would let pass? */
function isMet(option: string, value: string, wanted: string | undefined): boolean {
  if (wanted === undefined) {
    return false;
  }
  switch (option) {
    case '-s':
    case '-d': {
      const [own, other] = [value, wanted].map(parsePrefix);
      return own !== undefined && other !== undefined && covers(own, other);
    }
    case '--ctstate':
      return wanted.split(',').every((state) => value.split(',').includes(state));
    default:
      return value === wanted;
  }
}
