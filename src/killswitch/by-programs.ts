import * as v from 'valibot';
import type { Family } from '../netlink/family.ts';
import type { NetworkNamespace } from '../netlink/namespace.ts';
import type { AddressSet, TableName } from '../netlink/nftables/table.ts';
import type { LinkAddress } from '../netlink/route/address.ts';
import { RT_TABLE_MAIN } from '../netlink/route/route.ts';
import type { Rule } from '../netlink/route/rule.ts';
import { decodeIpJson, kernelWords } from '../programs/ip.ts';
import { type RunningProgram, run, start } from '../programs/run.ts';
import { missingRights, readRights } from '../rights.ts';
import {
  formatPrefix,
  fromNumber,
  hostPrefix,
  masked,
  parseAddress,
  parsePrefix,
} from '../wireguard/address.ts';
import type { RoutingDifference } from './difference.ts';
import { families as allFamilies, kernelFamilies } from './families.ts';
import { candidatesOf, sendBufferOfWireGuard, withInner } from './inner-tunnels.ts';
import { type Namespaces, watchPauseMs } from './namespaces.ts';
import {
  type ContainerLink,
  isProtectionRule,
  isProtectionTable,
  type ProtectionRoute,
  type ProtectionTable,
  usualTable,
} from './rules.ts';

const flags = { ipv4: '-4', ipv6: '-6' } as const satisfies Record<Family, string>;

/** What `ip -json` says, as far as it is used. */
const shownLinks = v.array(
  v.object({
    ifindex: v.number(),
    ifname: v.string(),
    ifalias: v.optional(v.string()),
    flags: v.optional(v.array(v.string()), []),
    linkinfo: v.optional(v.object({ info_kind: v.optional(v.string()) })),
  }),
);
const shownAddresses = v.array(
  v.object({
    ifindex: v.optional(v.number()),
    addr_info: v.optional(
      v.array(
        v.object({
          local: v.optional(v.string(), ''),
          address: v.optional(v.string()),
          prefixlen: v.optional(v.number(), 0),
          scope: v.optional(v.string()),
          dynamic: v.optional(v.boolean()),
          temporary: v.optional(v.boolean()),
          mngtmpaddr: v.optional(v.boolean()),
          'stable-privacy': v.optional(v.boolean()),
          secondary: v.optional(v.boolean()),
          protocol: v.optional(v.string()),
        }),
      ),
      [],
    ),
  }),
);
const shownRoutes = v.array(
  v.object({
    type: v.optional(v.string(), 'unicast'),
    dst: v.string(),
    dev: v.optional(v.string()),
    gateway: v.optional(v.string()),
    table: v.optional(v.string(), 'main'),
    protocol: v.optional(v.string()),
    metric: v.optional(v.number(), 0),
  }),
);
const shownRules = v.array(
  v.object({
    priority: v.number(),
    table: v.optional(v.string()),
    fwmark: v.optional(v.string()),
    suppress_prefixlen: v.optional(v.number()),
  }),
);

/** By the programs `nsenter`, `ip` and `nft`. */
export function programNamespaces(table = usualTable): Namespaces {
  const families = kernelFamilies();
  return {
    families,

    async read(netns) {
      const [links, addresses, ...rest] = await inNamespace(netns, [
        { command: 'ip -details -json link show' },
        { command: 'ip -json address show' },
        ...families.map((family) => ({ command: `ip -json ${flags[family]} route show table all` })),
        ...families.map((family) => ({ command: `ip -json ${flags[family]} rule show` })),
      ]);
      const shown = parsed(shownLinks, links).map(({ ifindex, ifname, ifalias, flags: has, linkinfo }) => ({
        index: ifindex,
        name: ifname,
        alias: ifalias,
        isUp: has.includes('UP'),
        kind: linkinfo?.info_kind,
      }));
      const containerLinks = await withInnerTunnels(netns, shown);
      const indexOf = new Map(containerLinks.map(({ name, index }) => [name, index]));
      const routes = families.flatMap((family, place) =>
        parsed(shownRoutes, rest[place]).flatMap(({ dst, dev, gateway, ...route }) => {
          const destination = destinationOf(dst, family);
          const oif = indexOf.get(dev ?? '');
          return destination === undefined
            ? []
            : [{ ...route, family, destination, oif, gateway: parseAddress(gateway ?? '') }];
        }),
      );
      return {
        links: containerLinks,
        addresses: parsed(shownAddresses, addresses).flatMap(addressesIn),
        defaultRoutes: routes.flatMap(({ family, type, table, protocol, destination, oif, gateway }) =>
          type === 'unicast' && table === 'main' && protocol !== 'ra' && destination.length === 0 && oif
            ? [{ family, oif, gateway }]
            : [],
        ),
        routes: routes
          .map(({ table, type, destination, oif, gateway, metric }) => ({
            table: Number(table),
            destination,
            oif: type === 'unicast' ? oif : undefined,
            isThrow: type === 'throw',
            gateway,
            metric,
          }))
          .filter(({ table }) => isProtectionTable(table)),
        rules: families
          .flatMap((family, place) => parsed(shownRules, rest[families.length + place]).map(ruleOf(family)))
          .filter(isProtectionRule),
      };
    },

    async apply(netns, tables, routing) {
      const outcomes = await inNamespace(netns, [
        ...(tables === undefined ? [] : [tables.filter, tables.frameFilter]).map((made) => ({
          command: 'nft -f -',
          stdin: tableText(made, table),
        })),
        ...routingCommands(routing),
      ]);
      const [filtered, framesFiltered] = tables === undefined ? [] : outcomes.splice(0, 2);
      const isUnsupported = framesFiltered?.output.includes('Operation not supported') ?? false;
      if (tables !== undefined) {
        expectSuccess(filtered);
      }
      if (tables !== undefined && !isUnsupported) {
        expectSuccess(framesFiltered);
      }
      for (const outcome of outcomes) {
        expectSuccess(outcome, /File exists|No such process|No such file/);
      }
      return isUnsupported ? { unfilteredFrames: framesFiltered?.output ?? '' } : {};
    },

    async remove(netns, routing) {
      const outcomes = await inNamespace(netns, [...routingCommands(routing), ...deletionsOf(table)]);
      for (const outcome of outcomes) {
        expectSuccess(outcome, gone);
      }
    },

    async removeOldTables(netns) {
      if (table !== usualTable) {
        for (const outcome of await inNamespace(netns, deletionsOf(usualTable))) {
          expectSuccess(outcome, gone);
        }
      }
    },

    // ip(8) tells the numbers only of namespaces that it has named itself.
    nsidOf: async () => undefined,

    async probeWatch() {
      const lacking = missingRights(await readRights(), ['CAP_NET_BROADCAST']);
      if (lacking.length > 0) {
        throw new Error(`listen to network namespaces: needs ${lacking.join()}`);
      }
    },

    watch({ onChange, onFailure }) {
      let isClosed = false;
      let monitor: RunningProgram | undefined;
      let lastCause: string | undefined;
      const begin = () => {
        if (isClosed) {
          return;
        }
        const tell = () => {
          lastCause = undefined;
          onChange('anywhere');
        };
        // One for all namespaces that this one knows of, by a number that the move of a link has given them.
        monitor = start('ip', ['-oneline', 'monitor', 'link', 'address', 'route', 'all-nsid'], {
          onOutput: tell,
          // It has lost some (ENOBUFS) and goes on.
          onComplaint: tell,
          onEnd(cause) {
            if (cause !== lastCause) {
              onFailure(cause);
            }
            lastCause = cause;
            setTimeout(() => {
              begin();
              if (!isClosed) {
                onChange('anywhere');
              }
            }, watchPauseMs).unref();
          },
        });
      };
      begin();
      return {
        close() {
          isClosed = true;
          monitor?.stop();
        },
      };
    },
  };
}

/** Costs something only where there is a WireGuard link that is not a driver's. Without `wg` and `ss` none is marked. */
async function withInnerTunnels(netns: NetworkNamespace, links: readonly ContainerLink[]) {
  const candidates = candidatesOf(links);
  if (candidates.length === 0) {
    return links;
  }
  const [devices, sockets] = await inNamespace(netns, [
    { command: 'wg show all listen-port' },
    { command: 'ss --no-header --numeric --all --udp --memory' },
  ]);
  if (devices?.status !== 0 || sockets?.status !== 0) {
    return links;
  }
  const portOf = new Map(devices.output.split('\n').map((line) => line.split('\t') as [string, string]));
  return withInner(
    links,
    candidates.map(({ index, name }) => ({ index, listenPort: Number(portOf.get(name)) })),
    portsOfWireGuard(sockets.output),
  );
}

/** Of what ss(8) prints: a socket's addresses, and in a line of its own the memory of it. */
export function portsOfWireGuard(sockets: string): Set<number> {
  const lines = sockets.matchAll(/:(\d+)\s+\S+:\*\s+skmem:\(([^)]*)\)/g);
  return new Set(
    [...lines]
      .filter(([, , memory]) => memory?.split(',').includes(`tb${sendBufferOfWireGuard}`))
      .map(([, port]) => Number(port)),
  );
}

interface Command {
  /** Of sh(1); the project's own words and numbers, nothing else's. */
  readonly command: string;
  readonly stdin?: string;
}

interface Outcome {
  readonly command: string;
  readonly status: number;
  /** What it said on stdout and stderr. */
  readonly output: string;
}

/**
 * Runs commands in a namespace, all of them whatever comes of one. By one shell: to enter a namespace for each
 * would take as long again.
 * @throws Error if the namespace cannot be entered, or a command did not come to its end
 */
async function inNamespace(netns: NetworkNamespace, commands: readonly Command[]): Promise<Outcome[]> {
  const script = commands
    .map(({ command, stdin = '' }) => `output=$(${command} 2>&1 <<'END'\n${stdin}\nEND\n)\n${report}`)
    .join('\n');
  const [program, args] =
    netns === 'new' ? ['unshare', ['--net', 'sh']] : ['nsenter', [`--net=${netns}`, 'sh']];
  const outcome = await run(program, args, { stdin: `${script}\n` });
  if (!outcome.ok) {
    throw new Error(`enter network namespace ${netns}: ${outcome.cause}`);
  }
  // Each command reports two fields with an end.
  const fields = outcome.stdout.split('\0').slice(0, -1);
  return commands.map(({ command }, index) => {
    const [status, output] = fields.slice(2 * index, 2 * index + 2);
    if (status === undefined || output === undefined) {
      throw new Error(
        `run \`${command}\` in network namespace ${netns}: the shell did not report how it ended`,
      );
    }
    return { command, status: Number(status), output: output.trim() };
  });
}

const report = 'printf "%s\\0%s\\0" "$?" "$output"';

/** @throws Error with what a command said and how it ended, unless it said nothing but what is expected */
function expectSuccess(outcome: Outcome | undefined, expected?: RegExp): asserts outcome {
  if (outcome?.status === 0) {
    return;
  }
  const { command, status = couldNotRun, output = '' } = outcome ?? {};
  const lines = kernelWords(output)
    .split('; ')
    .filter((line) => line !== '');
  const unexpected = lines.filter((line) => expected?.test(line) !== true);
  // Some of the words of one that could not be started, or was killed, may be expected ones.
  const hasRun = status < couldNotRun;
  if (!hasRun || lines.length === 0 || unexpected.length > 0) {
    const words = unexpected[0] ?? lines[0];
    const ending = `${command}: exit status ${status}`;
    throw new Error(words === undefined ? ending : `${words} (${ending})`);
  }
}

/** From here on sh(1) tells by a status that a program was not there or was killed. */
const couldNotRun = 126;

function parsed<Schema extends v.GenericSchema>(
  schema: Schema,
  outcome: Outcome | undefined,
): v.InferOutput<Schema> {
  expectSuccess(outcome);
  return decodeIpJson(schema, outcome.output, outcome.command);
}

type ShownAddresses = v.InferOutput<typeof shownAddresses>[number];

function addressesIn({ ifindex, addr_info }: ShownAddresses): LinkAddress[] {
  return addr_info.flatMap((shown) => {
    const address = parseAddress(shown.address ?? shown.local);
    const isMade = shown.dynamic || shown.temporary || shown.mngtmpaddr || shown['stable-privacy'];
    return address === undefined || ifindex === undefined
      ? []
      : [
          {
            index: ifindex,
            network: masked({ address, length: shown.prefixlen }),
            isPermanent: !isMade && !shown.secondary && !shown.protocol?.startsWith('kernel_'),
            isGlobal: shown.scope === 'global',
          },
        ];
  });
}

function ruleOf(family: Family) {
  return ({
    priority,
    table,
    fwmark,
    suppress_prefixlen: length,
  }: v.InferOutput<typeof shownRules>[number]) => ({
    family,
    priority,
    table: table === 'main' ? RT_TABLE_MAIN : Number(table),
    ...(fwmark === undefined ? {} : { mark: Number(fwmark) }),
    ...(length === undefined ? {} : { suppressPrefixLength: length }),
  });
}

/** Commands of ip(8) for each family, all of them whatever comes of one. */
function routingCommands({ newRoutes, oldRules, newRules, oldRoutes }: RoutingDifference): Command[] {
  return allFamilies.flatMap((family) => {
    const ofFamily = ({ destination: { address } }: ProtectionRoute) => address.kind() === family;
    const lines = [
      ...newRoutes.filter(ofFamily).map((route) => `route replace ${routeText(route)}`),
      ...oldRules.filter((rule) => rule.family === family).map((rule) => `rule del ${ruleText(rule)}`),
      ...newRules.filter((rule) => rule.family === family).map((rule) => `rule add ${ruleText(rule)}`),
      ...oldRoutes.filter(ofFamily).map((route) => `route del ${routeText(route)}`),
    ];
    return lines.length === 0
      ? []
      : [{ command: `ip ${flags[family]} -force -batch -`, stdin: lines.join('\n') }];
  });
}

function destinationOf(text: string, family: Family) {
  const everywhere = family === 'ipv4' ? '0.0.0.0/0' : '::/0';
  const address = parseAddress(text);
  return address === undefined ? parsePrefix(text === 'default' ? everywhere : text) : hostPrefix(address);
}

function routeText({ table, destination, oif, isThrow, gateway, isOnLink, metric }: ProtectionRoute): string {
  const type = isThrow ? 'throw ' : 'unreachable ';
  return [
    `${oif === undefined ? type : ''}${formatPrefix(destination)}`,
    ...(gateway === undefined ? [] : [`via ${gateway.toString()}`]),
    ...(oif === undefined ? [] : [`dev if${oif}`]),
    ...(isOnLink ? ['onlink'] : []),
    `table ${table}`,
    ...(metric === 0 ? [] : [`metric ${metric}`]),
  ].join(' ');
}

function ruleText({ priority, table, mark, suppressPrefixLength }: Rule): string {
  return [
    `priority ${priority}`,
    ...(mark === undefined ? [] : [`fwmark ${mark}`]),
    `lookup ${table}`,
    ...(suppressPrefixLength === undefined ? [] : [`suppress_prefixlength ${suppressPrefixLength}`]),
  ].join(' ');
}

const gone = /No such process|No such file/;

function deletionsOf(name: string): Command[] {
  return (['inet', 'netdev'] as const).map((family) => ({
    command: 'nft -f -',
    stdin: deletionText({ family, name }),
  }));
}

/** Made first, so that there is one to delete: that it is missing would be an error. */
function deletionText({ family, name }: TableName): string {
  return `table ${family} ${name} {\n}\ndelete table ${family} ${name}\n`;
}

function tableText(table: ProtectionTable, name: string): string {
  const chains = table.chains.map(({ name, type, hook, device, priority, policy, rules }) => {
    const place = device === undefined ? hook : `${hook} device "${device}"`;
    return [
      `chain ${name} {`,
      `type ${type} hook ${place} priority ${priority}`,
      `policy ${policy}`,
      ...rules.map((statements) => statements.map(({ text }) => text).join(' ')),
      '}',
    ].join('\n');
  });
  const sets = table.sets.map(setText);
  return `${deletionText({ family: table.family, name })}table ${table.family} ${name} {\n${[...sets, ...chains].join('\n')}\n}\n`;
}

function setText({ name, family, ranges }: AddressSet): string {
  const elements = ranges.map((range) =>
    range.map((value) => fromNumber(value, family).toString()).join('-'),
  );
  return `set ${name} {\ntype ${family}_addr\nflags interval\nelements = { ${elements.join(', ')} }\n}`;
}
