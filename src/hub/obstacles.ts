import type { Family } from '../netlink/family.ts';
import { isAccepted, opensUdpPort } from '../programs/iptables-rules.ts';
import { formatPrefix } from '../wireguard/address.ts';
import type { HubConfig } from './config.ts';
import { iptablesOf, passRules } from './docker-user.ts';
import { hubFamilies, hubTableName } from './rules.ts';

/** What the firewalls of a host are, as their programs list it. */
export interface SeenFirewalls {
  /** `iptables -S` and `ip6tables -S`; undefined where there is none. */
  readonly iptables: Readonly<Record<Family, string | undefined>>;
  /** The base chains of nftables. */
  readonly chains: readonly SeenChain[];
  /** Undefined where firewalld does not run; `starting` where it does and does not answer yet. */
  readonly firewalld: SeenFirewalld | 'starting' | undefined;
}

export interface SeenFirewalld {
  /** The zone that the link is in; undefined for none. */
  readonly linkZone: string | undefined;
  /** Where the hub's UDP port must be open: the zones of the links that packets come in by. */
  readonly zones: readonly FirewalldZone[];
  /** The rich rules of our policy for what comes from outside; undefined if there is none. */
  readonly policyRules: string | undefined;
}

export interface FirewalldZone {
  readonly name: string;
  /** As `firewall-cmd --list-ports` has them, such as `53/udp 4000-5000/udp`. */
  readonly ports: string;
  /** As `firewall-cmd --list-services` has them. */
  readonly services: string;
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
export function obstaclesOf(config: HubConfig, { iptables, chains, firewalld }: SeenFirewalls): Obstacle[] {
  const { interface: link, port } = config;
  const obstacles: Obstacle[] = [];
  if (typeof firewalld === 'object') {
    obstacles.push(...firewalldObstacles(config, firewalld));
  }
  for (const family of hubFamilies(config)) {
    const list = iptables[family] ?? '';
    const program = iptablesOf(family);
    const isDropped = /^-P FORWARD DROP$/m.test(list);
    const missing = passRules(config).filter(
      (rule) => isDropped && rule.family === family && !isAccepted(list, forwardChains, rule.words),
    );
    const rules = missing.map(({ words }) => words.join(' '));
    if (missing.length > 0) {
      if (/^-N DOCKER-USER$/m.test(list)) {
        obstacles.push({
          what: `Docker has set the policy of ${program}’s chain FORWARD to drop`,
          commands: rules.map((rule) => `${program} -I DOCKER-USER ${rule}`),
          instead: 'or `firewall: docker-user` in the hub’s file, which keeps these rules in place',
        });
      } else if (/^-N ufw6?-user-forward$/m.test(list)) {
        // Answers it lets pass by itself.
        const commands = missing.flatMap(({ words }) => {
          const source = words.includes('-s') ? words[words.indexOf('-s') + 1] : everybody[family];
          return words.includes('-i')
            ? [`ufw route allow in on ${link}`]
            : words.includes('--ctstate')
              ? []
              : [`ufw route allow out on ${link} from ${source}`];
        });
        if (commands.length > 0) {
          obstacles.push({ what: `ufw drops what is forwarded (${program})`, commands });
        }
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
    if (/^-P INPUT DROP$/m.test(list) && !opensUdpPort(list, port)) {
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
  return eachCommandOnce(obstacles);
}

/** ufw has one command for both families, whose rules are told of apart. */
function eachCommandOnce(obstacles: readonly Obstacle[]): Obstacle[] {
  const known = new Set<string>();
  return obstacles.flatMap((obstacle) => {
    const commands = obstacle.commands.filter((command) => !known.has(command));
    for (const command of commands) {
      known.add(command);
    }
    return commands.length === 0 ? [] : [{ ...obstacle, commands }];
  });
}

/** A rule whose source is this has none in a list. */
const everybody: Readonly<Record<Family, string>> = { ipv4: '0.0.0.0/0', ipv6: '::/0' };

/** Where Docker, ufw and people put their rules for what is forwarded. */
const forwardChains = /^(?:DOCKER-USER|FORWARD|ufw6?-(?:before|user)-forward)$/;

/** Lets in what comes from outside. A name has at most 17 characters, too few for the link's as well. */
export const firewalldPolicy = 'wgdriver-hub';

function firewalldObstacles(config: HubConfig, { linkZone, zones, policyRules }: SeenFirewalld): Obstacle[] {
  const { interface: link, port, allow } = config;
  const permanent = 'firewall-cmd --permanent';
  const closed = zones.filter(({ ports, services }) => !opensPortIn(ports, services, port));
  const outside = allow.outside.filter((prefix) => !policyRules?.includes(`"${formatPrefix(prefix)}"`));
  const obstacles = [
    ...(linkZone === 'trusted'
      ? []
      : [
          {
            what: `firewalld rejects what comes from ${link}`,
            commands: [`${permanent} --zone=trusted --add-interface=${link}`],
          },
        ]),
    ...closed.map(({ name }) => ({
      what: `firewalld rejects what goes to UDP port ${port} (zone ${name})`,
      commands: [`${permanent} --zone=${name} --add-port=${port}/udp`],
    })),
    ...(outside.length === 0
      ? []
      : [
          {
            what: `firewalld rejects what comes from outside to ${link}`,
            commands: [
              ...(policyRules === undefined
                ? [
                    `${permanent} --new-policy=${firewalldPolicy}`,
                    `${permanent} --policy=${firewalldPolicy} --add-ingress-zone=ANY`,
                    `${permanent} --policy=${firewalldPolicy} --add-egress-zone=trusted`,
                  ]
                : []),
              ...outside.map(
                (prefix) =>
                  `${permanent} --policy=${firewalldPolicy} --add-rich-rule='rule family="${prefix.address.kind()}" ` +
                  `source address="${formatPrefix(prefix)}" accept'`,
              ),
            ],
          },
        ]),
  ];
  return obstacles.map(({ what, commands }, index) => ({
    what,
    commands: index === obstacles.length - 1 ? [...commands, 'firewall-cmd --reload'] : commands,
  }));
}

function opensPortIn(ports: string, services: string, port: number): boolean {
  return (
    // Which is this port.
    (port === 51820 && services.split(' ').includes('wireguard')) ||
    ports.split(' ').some((text) => {
      const [, first, last = first] = /^(\d+)(?:-(\d+))?\/udp$/.exec(text) ?? [];
      return first !== undefined && Number(first) <= port && port <= Number(last);
    })
  );
}
