import type { Family } from '../netlink/family.ts';
import type { HubConfig } from './config.ts';
import { iptablesOf, passRules } from './docker-user.ts';
import { hubAddresses, hubTableName } from './rules.ts';

/** What the firewalls of a host are, as their programs list it. */
export interface SeenFirewalls {
  /** `iptables -S` and `ip6tables -S`; undefined where there is none. */
  readonly iptables: Readonly<Record<Family, string | undefined>>;
  /** The base chains of nftables. */
  readonly chains: readonly SeenChain[];
  /** The zone of firewalld that the link is in; undefined where firewalld does not run. */
  readonly firewalldZone: string | undefined;
}

export interface SeenChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook: string;
  readonly policy: string;
}

/** A firewall that drops what has to pass. */
export interface Obstacle {
  readonly what: string;
  /** The commands that let it pass, a line each. */
  readonly commands: readonly string[];
  readonly instead?: string;
}

/**
 * What stands in a hub's way. Packets have to pass every table of the kernel, and none can undo what another drops: so
 * each gets a rule of its own.
 */
export function obstaclesOf(
  config: HubConfig,
  { iptables, chains, firewalldZone }: SeenFirewalls,
): Obstacle[] {
  const { interface: link, port } = config;
  const obstacles: Obstacle[] = [];
  const families = [...new Set(hubAddresses(config).map(({ address }) => address.kind()))];
  if (firewalldZone !== undefined && firewalldZone !== 'trusted') {
    obstacles.push({
      what: `firewalld rejects what comes from ${link} or goes to UDP port ${port}`,
      commands: [
        `firewall-cmd --permanent --zone=trusted --add-interface=${link}`,
        `firewall-cmd --permanent --add-port=${port}/udp`,
        'firewall-cmd --reload',
      ],
    });
  }
  for (const family of families) {
    const list = iptables[family] ?? '';
    const program = iptablesOf(family);
    const rules = passRules(config)
      .filter((rule) => rule.family === family)
      .map(({ words }) => words.join(' '));
    if (/^-P FORWARD DROP$/m.test(list) && !letsPass(list, link)) {
      if (/^-N DOCKER-USER$/m.test(list)) {
        obstacles.push({
          what: `Docker has set the policy of ${program}’s chain FORWARD to drop`,
          commands: rules.map((rule) => `${program} -I DOCKER-USER ${rule}`),
          instead: 'or `firewall: docker-user` in the hub’s file, which keeps these rules in place',
        });
      } else if (/^-N ufw6?-user-forward$/m.test(list)) {
        obstacles.push({
          what: `ufw drops what is forwarded (${program})`,
          commands: [
            `ufw route allow in on ${link}`,
            ...config.allow.outside
              .filter(({ address }) => address.kind() === family)
              .map(
                ({ address, length }) =>
                  `ufw route allow out on ${link} from ${address.toString()}/${length}`,
              ),
          ],
        });
      } else {
        obstacles.push({
          what: `the policy of ${program}’s chain FORWARD is drop`,
          commands: rules.map((rule) => `${program} -I FORWARD ${rule}`),
        });
      }
    }
  }
  for (const family of ['ipv4', 'ipv6'] as const) {
    const list = iptables[family] ?? '';
    if (/^-P INPUT DROP$/m.test(list) && !opensPort(list, port)) {
      obstacles.push({
        what: `the policy of ${iptablesOf(family)}’s chain INPUT is drop, so nobody reaches UDP port ${port}`,
        commands: /^-N ufw6?-user-input$/m.test(list)
          ? [`ufw allow ${port}/udp`]
          : [`${iptablesOf(family)} -I INPUT -p udp --dport ${port} -j ACCEPT`],
      });
    }
  }
  // What iptables and firewalld have made is told of above.
  const others = chains.filter(
    ({ family, table, policy }) =>
      policy === 'drop' &&
      table !== 'firewalld' &&
      table !== hubTableName(link).name &&
      !(table === 'filter' && family !== 'inet' && iptables[family === 'ip' ? 'ipv4' : 'ipv6'] !== undefined),
  );
  for (const { family, table, name, hook } of others) {
    const insert = `nft insert rule ${family} ${table} ${name}`;
    if (hook === 'forward') {
      obstacles.push({
        what: `the policy of chain ${name} of nftables’ table ${family} ${table} is drop`,
        commands: [
          `${insert} iifname "${link}" accept`,
          `${insert} oifname "${link}" ct state established,related accept`,
        ],
        instead: 'unless a rule of it says so already; put them into the file that makes the table',
      });
    } else if (hook === 'input') {
      obstacles.push({
        what: `the policy of chain ${name} of nftables’ table ${family} ${table} is drop`,
        commands: [`${insert} udp dport ${port} accept`],
        instead: 'unless a rule of it says so already; put it into the file that makes the table',
      });
    }
  }
  return obstacles;
}

function letsPass(list: string, link: string): boolean {
  return list
    .split('\n')
    .some(
      (line) =>
        /^-A (DOCKER-USER|FORWARD|ufw6?-user-forward) /.test(line) &&
        line.includes(` -i ${link} `) &&
        /-j ACCEPT/.test(line),
    );
}

function opensPort(list: string, port: number): boolean {
  return list
    .split('\n')
    .some((line) => /-j ACCEPT/.test(line) && new RegExp(`--dports? (\\S*,)?${port}\\b`).test(line));
}
