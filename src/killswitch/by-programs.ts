import { spawn } from 'node:child_process';
import * as v from 'valibot';
import { decode } from '../decode.ts';
import { kernelWords } from '../links/iproute/ip.ts';
import { run } from '../links/iproute/run.ts';
import type { Family } from '../links/netlink/family.ts';
import type { NetworkNamespace } from '../links/netlink/namespace.ts';
import type { Rule } from '../links/netlink/route/rule.ts';
import type { Log } from '../log.ts';
import { formatPrefix, hostPrefix, parseAddress, parsePrefix } from '../wireguard/address.ts';
import { type Namespaces, warnOfFrames } from './namespaces.ts';
import {
  filterTable,
  frameFilterTable,
  isOutdated,
  type ProtectionRoute,
  type ProtectionTable,
  rulePriorities,
  type Seen,
  tunnelTable,
} from './protection.ts';

const families = { ipv4: '-4', ipv6: '-6' } as const satisfies Record<Family, string>;

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
export function programNamespaces(log: Log): Namespaces {
  return {
    async look(netns) {
      const links = decode(shownLinks, await shown(netns, 'link', 'show'), 'ip -json link show').map(
        ({ ifindex, ifname, ifalias }) => ({ index: ifindex, name: ifname, alias: ifalias }),
      );
      const routes: Seen['routes'][number][] = [];
      for (const family of ['ipv4', 'ipv6'] as const) {
        const list = await shown(netns, families[family], 'route', 'show', 'table', 'main');
        for (const { type, dst, dev, gateway } of decode(shownRoutes, list, 'ip -json route show')) {
          const oif = links.find(({ name }) => name === dev)?.index;
          const destination = destinationOf(dst, family);
          if (type === 'unicast' && oif !== undefined && destination !== undefined) {
            routes.push({ oif, destination, gateway: parseAddress(gateway ?? '') });
          }
        }
      }
      return { links, routes };
    },

    async enforce(netns, { filter, frameFilter, routes, replyRoutes, rules }) {
      await inNamespace(netns, 'nft', ['-f', '-'], tableText(filter));
      await inNamespace(netns, 'nft', ['-f', '-'], tableText(frameFilter)).catch((error: Error) => {
        warnOfFrames(log, error.message);
      });
      for (const family of ['ipv4', 'ipv6'] as const) {
        const isOfFamily = ({ destination }: ProtectionRoute) => destination.address.kind() === family;
        const lines = [
          ...routes.filter(isOfFamily).map(routeText),
          ...rules.filter((rule) => rule.family === family).map(ruleText),
        ];
        await batch(netns, family, lines, /File exists/);
        const present = await shown(netns, families[family], 'route', 'show', 'table', String(tunnelTable));
        const outdated = decode(shownRoutes, present, 'ip -json route show')
          .flatMap(({ dst }) => destinationOf(dst, family) ?? [])
          .filter((destination) => isOutdated(destination, routes))
          .map((destination) => `route flush exact ${formatPrefix(destination)} table ${tunnelTable}`);
        await batch(netns, family, outdated, /^$/);
        // The gateways are a guess.
        await batch(netns, family, replyRoutes.filter(isOfFamily).map(routeText), /./);
      }
    },

    async lift(netns) {
      for (const family of ['ipv4', 'ipv6'] as const) {
        for (const priority of rulePriorities) {
          const words = [families[family], 'rule', 'delete', 'priority', String(priority)];
          while ((await run(...command(netns, 'ip', words))).ok);
        }
      }
      for (const table of [filterTable, frameFilterTable]) {
        await inNamespace(netns, 'nft', ['-f', '-'], deletionText(table));
      }
    },

    watch(onChange) {
      // One for all namespaces that this one knows of, by a number that the move of a link has given them.
      const monitor = spawn('ip', ['-oneline', 'monitor', 'link', 'route', 'all-nsid'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      monitor.on('error', (error) => {
        log.error('changes in containers’ networks cannot be watched', { cause: error.message });
      });
      monitor.stdout.on('data', onChange);
      monitor.unref();
      (monitor.stdout as unknown as { unref(): void }).unref();
      return { close: () => monitor.kill() };
    },
  };
}

/** @throws Error with what the program said */
async function inNamespace(
  netns: NetworkNamespace,
  program: string,
  args: readonly string[],
  stdin = '',
): Promise<string> {
  const outcome = await run(...command(netns, program, args), stdin);
  if (!outcome.ok) {
    throw new Error(`${program} in network namespace ${netns}: ${kernelWords(outcome.cause)}`);
  }
  return outcome.stdout;
}

function command(
  netns: NetworkNamespace,
  program: string,
  args: readonly string[],
): [file: string, args: readonly string[]] {
  return netns === 'new'
    ? ['unshare', ['--net', program, ...args]]
    : ['nsenter', [`--net=${netns}`, program, ...args]];
}

async function shown(netns: NetworkNamespace, ...args: readonly string[]): Promise<unknown> {
  const json = await inNamespace(netns, 'ip', ['-json', ...args]).catch((error: Error) => {
    // A table is there as long as it has a route.
    if (error.message.includes('FIB table does not exist')) {
      return '';
    }
    throw error;
  });
  return json.trim() === '' ? [] : JSON.parse(json);
}

/** Runs commands of ip(8), all of them whatever comes of one. @throws Error if one failed otherwise than expected */
async function batch(
  netns: NetworkNamespace,
  family: Family,
  lines: readonly string[],
  expected: RegExp,
): Promise<void> {
  if (lines.length === 0) {
    return;
  }
  const args = [families[family], '-force', '-batch', '-'];
  const outcome = await run(...command(netns, 'ip', args), `${lines.join('\n')}\n`);
  const causes = outcome.ok ? [] : kernelWords(outcome.cause).split('; ');
  const cause = causes.find((line) => !expected.test(line));
  if (cause !== undefined) {
    throw new Error(`ip in network namespace ${netns}: ${cause}`);
  }
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
