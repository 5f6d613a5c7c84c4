import { type Finding, listed, pass } from './finding.ts';
import type { Survey } from './survey.ts';

/**
 * Prints what this host gives away of each network's subnet, to be compared with other hosts: two that give
 * away the same address give away the same key, and the hub flaps between them. Never a warning: no host
 * knows of the others, one that is alone needs no range, and a warning that most users cannot clear
 * teaches them to pass over all.
 */
export function judgeIpRange({ networks }: Pick<Survey, 'networks'>): Finding {
  const subnets = networks.flatMap(({ name, subnets }) => subnets.map((subnet) => ({ name, ...subnet })));
  const shares = subnets.map(({ name, subnet, ipRange }) =>
    ipRange === '' ? `${name} gives away all of ${subnet}` : `${name} gives away ${ipRange} of ${subnet}`,
  );
  const advice = subnets.some(({ ipRange }) => ipRange === '')
    ? '; if another host has that subnet and seed, each needs an --ip-range of its own'
    : '';
  return pass('ip-range', listed(shares) + advice);
}
