import type { Survey } from './engine-survey.ts';
import { type Finding, listed, pass, warn } from './finding.ts';

const name = 'ip-range';

/**
 * Prints what this host assigns of each network's subnet, to be compared with other hosts: two that assign
 * the same address give the same key, and the hub flaps between them. Not a warning on a host by
 * itself: it knows of no others, one that is alone needs no range, and a warning that most users cannot clear
 * teaches them to pass over all. On a Swarm's node there are others, and each assigns what its config-only
 * network says.
 */
export function judgeIpRange({
  networks,
  configs,
  isSwarmNode,
}: Pick<Survey, 'networks' | 'configs' | 'isSwarmNode'>): Finding {
  const shared = isSwarmNode ? sharesOf(configs) : [];
  // A network from a config has the config's subnet, and a Swarm's managers assign that of a global driver.
  const own = sharesOf(networks.filter(({ scope, configFrom }) => scope !== 'swarm' && configFrom === ''));
  const local = isSwarmNode
    ? own
    : [...own, ...sharesOf(networks.filter(({ configFrom }) => configFrom !== ''))];
  const texts = listed([...shared, ...local].map(({ text }) => text));
  if (shared.some(({ isWhole }) => isWhole)) {
    return warn(
      name,
      `${texts}; other nodes of the Swarm assign the same addresses, which have the same keys`,
      'create the --config-only network again, on each node with an --ip-range of its own',
    );
  }
  const advice = local.some(({ isWhole }) => isWhole)
    ? '; if another host has that subnet and seed, each needs an --ip-range of its own'
    : '';
  return pass(name, texts === '' ? 'the Swarm’s managers assign all addresses' : texts + advice);
}

function sharesOf(networks: Survey['networks']) {
  return networks.flatMap(({ name: network, subnets }) =>
    subnets.map(({ subnet, ipRange }) => ({
      isWhole: ipRange === '',
      text: `${network} assigns ${ipRange === '' ? 'all' : ipRange} of ${subnet}`,
    })),
  );
}
