import { type ChildProcess, spawn } from 'node:child_process';
import * as v from 'valibot';
import { decode } from '../decode.ts';
import { kernelWords } from '../links/iproute/ip.ts';
import type { Family } from '../netlink/family.ts';
import type { NetworkNamespace } from '../netlink/namespace.ts';
import type { Rule } from '../netlink/route/rule.ts';
import { run } from '../programs/run.ts';
import { missingRights, readRights } from '../rights.ts';
import { formatPrefix, hostPrefix, parseAddress, parsePrefix } from '../wireguard/address.ts';
import { kernelFamilies } from './families.ts';
import { type Namespaces, watchPauseMs } from './namespaces.ts';
import {
  filterTable,
  frameFilterTable,
  isStale,
  type ProtectionRoute,
  type ProtectionTable,
  replyPriority,
  rulePriorities,
  tunnelTable,
} from './protection.ts';

const flags = { ipv4: '-4', ipv6: '-6' } as const satisfies Record<Family, string>;

/** What `ip -json` says, as far as it is used. */
const shownLinks = v.array(
  v.object({ ifindex: v.number(), ifname: v.string(), ifalias: v.optional(v.string()) }),
);
const shownRoutes = v.array(
  v.object({
    type: v.optional(v.string(), 'unicast'),
    dst: v.string(),
    dev: v.optional(v.string()),
    gateway: v.optional(v.string()),
  }),
);

/** By the programs `nsenter`, `ip` and `nft`. */
export function programNamespaces(): Namespaces {
  const families = kernelFamilies();
  return {
    async read(netns) {
      const [linksShown, ...routesShown] = await inNamespace(netns, [
        { command: 'ip -json link show' },
        ...families.map((family) => ({ command: `ip -json ${flags[family]} route show table main` })),
      ]);
      const links = parsed(shownLinks, linksShown).map(({ ifindex, ifname, ifalias }) => ({
        index: ifindex,
        name: ifname,
        alias: ifalias,
      }));
      const routesOf = (family: Family, outcome: Outcome | undefined) =>
        parsed(shownRoutes, outcome).flatMap(({ type, dst, dev, gateway }) => {
          const oif = links.find(({ name }) => name === dev)?.index;
          const destination = destinationOf(dst, family);
          return type === 'unicast' && oif !== undefined && destination !== undefined
            ? { oif, destination, gateway: parseAddress(gateway ?? '') }
            : [];
        });
      return { links, routes: families.flatMap((family, index) => routesOf(family, routesShown[index])) };
    },

    async apply(netns, { filter, frameFilter, routes, rules }) {
      const linesOf = (family: Family) => [
        ...routes.filter(({ destination: { address } }) => address.kind() === family).map(routeText),
        `rule flush priority ${replyPriority}`,
        ...rules.filter((rule) => rule.family === family).map(ruleText),
      ];
      const [filtered, framesFiltered, ...outcomes] = await inNamespace(netns, [
        { command: 'nft -f -', stdin: tableText(filter) },
        { command: 'nft -f -', stdin: tableText(frameFilter) },
        ...families.map((family) => batch(family, linesOf(family))),
        ...families.map((family) => ({
          command: `ip -json ${flags[family]} route show table ${tunnelTable}`,
        })),
      ]);
      expectSuccess(filtered);
      const isUnsupported = framesFiltered?.output.includes('Operation not supported') ?? false;
      if (!isUnsupported) {
        expectSuccess(framesFiltered);
      }
      for (const outcome of outcomes.slice(0, families.length)) {
        expectSuccess(outcome, /File exists/);
      }
      const outdated = families.map((family, index) =>
        batch(
          family,
          parsed(shownRoutes, outcomes[families.length + index])
            .flatMap(({ dst }) => destinationOf(dst, family) ?? [])
            .filter((destination) => isStale(destination, routes))
            .map((destination) => `route flush exact ${formatPrefix(destination)} table ${tunnelTable}`),
        ),
      );
      if (outdated.some(({ stdin }) => stdin !== '')) {
        for (const outcome of await inNamespace(netns, outdated)) {
          expectSuccess(outcome);
        }
      }
      return isUnsupported ? { unfilteredFrames: framesFiltered?.output ?? '' } : {};
    },

    async remove(netns) {
      const outcomes = await inNamespace(netns, [
        ...families.map((family) =>
          batch(
            family,
            rulePriorities.map((priority) => `rule flush priority ${priority}`),
          ),
        ),
        ...[filterTable, frameFilterTable].map((table) => ({
          command: 'nft -f -',
          stdin: deletionText(table),
        })),
      ]);
      for (const outcome of outcomes) {
        expectSuccess(outcome);
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
      let monitor: ChildProcess | undefined;
      let lastCause: string | undefined;
      const start = () => {
        if (isClosed) {
          return;
        }
        // One for all namespaces that this one knows of, by a number that the move of a link has given them.
        const started = spawn('ip', ['-oneline', 'monitor', 'link', 'route', 'all-nsid'], {
          stdio: ['ignore', 'pipe', 'pipe'],
        });
        monitor = started;
        let words = '';
        started.on('error', ({ message }) => {
          words = message;
        });
        started.stderr.on('data', (text: Buffer) => {
          words = text.toString();
        });
        started.stdout.on('data', () => {
          lastCause = undefined;
          onChange('anywhere');
        });
        started.on('close', (status, signal) => {
          const cause = words.trim() || `ip monitor: ${signal ?? `exit status ${status}`}`;
          if (!isClosed && cause !== lastCause) {
            onFailure(cause);
          }
          lastCause = cause;
          setTimeout(() => {
            start();
            onChange('anywhere');
          }, watchPauseMs).unref();
        });
        started.unref();
        for (const pipe of [started.stdout, started.stderr]) {
          (pipe as unknown as { unref(): void }).unref();
        }
      };
      start();
      return {
        close() {
          isClosed = true;
          monitor?.kill();
        },
      };
    },
  };
}

interface Command {
  /** Of sh(1); the project's own words and numbers, nothing else's. */
  readonly command: string;
  readonly stdin?: string;
}

interface Outcome {
  readonly status: number;
  /** What it said on stdout and stderr. */
  readonly output: string;
}

/**
 * Runs commands in a namespace, all of them whatever comes of one. By one shell: to enter a namespace for each
 * would take as long again.
 * @throws Error if the namespace cannot be entered
 */
async function inNamespace(
  netns: NetworkNamespace,
  commands: readonly Command[],
): Promise<readonly Outcome[]> {
  const script = commands
    .map(({ command, stdin = '' }) => `output=$(${command} 2>&1 <<'END'\n${stdin}\nEND\n)\n${report}`)
    .join('\n');
  const [program, args] =
    netns === 'new' ? ['unshare', ['--net', 'sh']] : ['nsenter', [`--net=${netns}`, 'sh']];
  const outcome = await run(program, args, { stdin: `${script}\n` });
  if (!outcome.ok) {
    throw new Error(`enter network namespace ${netns}: ${outcome.cause}`);
  }
  const fields = outcome.stdout.split('\0');
  return commands.map((_, index) => ({
    status: Number(fields[2 * index]),
    output: fields[2 * index + 1]?.trim() ?? '',
  }));
}

const report = 'printf "%s\\0%s\\0" "$?" "$output"';

/** @throws Error with what a command said, unless all of it is expected */
function expectSuccess(outcome: Outcome | undefined, expected?: RegExp): void {
  if (outcome?.status !== 0) {
    const lines = kernelWords(outcome?.output ?? 'nothing').split('; ');
    const cause = lines.find((line) => line !== '' && expected?.test(line) !== true);
    if (cause !== undefined || expected === undefined) {
      throw new Error(cause ?? `exit status ${outcome?.status}`);
    }
  }
}

function parsed<Schema extends v.GenericSchema>(
  schema: Schema,
  outcome: Outcome | undefined,
): v.InferOutput<Schema> {
  // A table is there as long as it has a route.
  const isMissing = outcome?.output.includes('FIB table does not exist') ?? false;
  if (!isMissing) {
    expectSuccess(outcome);
  }
  const json = isMissing ? '' : (outcome?.output ?? '');
  return decode(schema, json === '' ? [] : JSON.parse(json), 'ip -json');
}

/** Commands of ip(8), all of them whatever comes of one. */
function batch(family: Family, lines: readonly string[]) {
  return { command: `ip ${flags[family]} -force -batch -`, stdin: lines.join('\n') };
}

function destinationOf(text: string, family: Family) {
  const everywhere = family === 'ipv4' ? '0.0.0.0/0' : '::/0';
  const address = parseAddress(text);
  return address === undefined ? parsePrefix(text === 'default' ? everywhere : text) : hostPrefix(address);
}

function routeText({ table, destination, link, gateway, metric }: ProtectionRoute): string {
  return [
    `route replace ${link === undefined ? 'unreachable ' : ''}${formatPrefix(destination)}`,
    ...(gateway === undefined ? [] : [`via ${gateway.toString()}`]),
    ...(link === undefined ? [] : [`dev ${link.name}`]),
    `table ${table}`,
    ...(metric === undefined ? [] : [`metric ${metric}`]),
  ].join(' ');
}

function ruleText({ priority, table, mark, suppressPrefixLength }: Rule): string {
  return [
    `rule add priority ${priority}`,
    ...(mark === undefined ? [] : [`fwmark ${mark}`]),
    `lookup ${table}`,
    ...(suppressPrefixLength === undefined ? [] : [`suppress_prefixlength ${suppressPrefixLength}`]),
  ].join(' ');
}

/** Made first, so that there is one to delete: that it is missing would be an error. */
function deletionText({ family, name }: Pick<ProtectionTable, 'family' | 'name'>): string {
  return `table ${family} ${name} {\n}\ndelete table ${family} ${name}\n`;
}

function tableText(table: ProtectionTable): string {
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
  return `${deletionText(table)}table ${table.family} ${table.name} {\n${chains.join('\n')}\n}\n`;
}
