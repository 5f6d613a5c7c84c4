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
  return acceptingRules(list, chains).some((rule) =>
    [...rule].every(([option, value]) => isMet(option, value, conditions.get(option))),
  );
}

/** Does a list of `iptables -S` let somebody reach a UDP port? Whom a rule names beside it is its maker's affair. */
export function opensUdpPort(list: string, port: number): boolean {
  return acceptingRules(list, /^/).some((rule) => {
    const protocol = rule.get('-p') ?? 'all';
    const ports = rule.get('--dport') ?? rule.get('--dports');
    if (protocol !== 'udp' && protocol !== 'all') {
      return false;
    }
    return ports === undefined ? [...rule.keys()].every((option) => option === '-p') : holds(ports, port);
  });
}

/** Is a port in a list such as `53,4000:5000`? */
function holds(ports: string, port: number): boolean {
  return ports.split(',').some((range) => {
    const [first, last = first] = range.split(':');
    return Number(first) <= port && port <= Number(last || 65535);
  });
}

function acceptingRules(list: string, chains: RegExp): Conditions[] {
  return list.split('\n').flatMap((line) => {
    const [, chain = ''] = /^-A (\S+) .*-j (?:ACCEPT|ufw6?-user-limit-accept)\b/.exec(line) ?? [];
    return chain !== '' && chains.test(chain) ? [conditionsOf(wordsOf(line))] : [];
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
