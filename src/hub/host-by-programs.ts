import * as v from 'valibot';
import { decodeIpJson } from '../programs/ip.ts';
import { run, successOf } from '../programs/run.ts';
import { formatPrefix, masked, type Prefix, parsePrefix } from '../wireguard/address.ts';
import type { HubHost } from './host.ts';
import type { HubTable } from './rules.ts';

const linksShown = v.array(
  v.object({
    ifindex: v.number(),
    flags: v.array(v.string()),
    mtu: v.number(),
    ifalias: v.optional(v.string()),
    linkinfo: v.optional(v.object({ info_kind: v.optional(v.string()) })),
  }),
);
const addressesShown = v.array(
  v.object({
    addr_info: v.optional(
      v.array(v.object({ local: v.string(), prefixlen: v.number(), scope: v.optional(v.string()) })),
      [],
    ),
  }),
);
const routesShown = v.array(
  v.object({
    dst: v.string(),
    dev: v.optional(v.string()),
    gateway: v.optional(v.string()),
    metric: v.optional(v.number(), 0),
    protocol: v.optional(v.string()),
    nexthops: v.optional(v.array(v.object({ dev: v.optional(v.string()) }))),
  }),
);

/** By the programs `ip` and `nft`. */
export function hostByPrograms(): HubHost {
  return {
    async link(name) {
      const outcome = await run('ip', ['-details', '-json', 'link', 'show', 'dev', name]);
      if (!outcome.ok && /does not exist|Cannot find device/.test(outcome.cause)) {
        return undefined;
      }
      const [link] = decodeIpJson(linksShown, successOf(outcome, `show link ${name}`), 'ip link show');
      return (
        link && {
          index: link.ifindex,
          kind: link.linkinfo?.info_kind,
          alias: link.ifalias,
          isUp: link.flags.includes('UP'),
          mtu: link.mtu,
        }
      );
    },
    setUp: (name) => ip('set up link', name, ['link', 'set', 'dev', name, 'up']),
    setAlias: (name, alias) => ip('set alias of link', name, ['link', 'set', 'dev', name, 'alias', alias]),

    async addresses(name) {
      const json = await ask('list addresses of link', name, ['-json', 'address', 'show', 'dev', name]);
      return decodeIpJson(addressesShown, json, 'ip address show')
        .flatMap(({ addr_info }) => addr_info)
        .filter(({ scope }) => scope !== 'link')
        .flatMap(({ local, prefixlen }) => parsePrefix(`${local}/${prefixlen}`) ?? []);
    },
    addAddress: (name, address) =>
      ip('add address to link', name, ['address', 'replace', formatPrefix(address), 'dev', name]),
    deleteAddress: (name, address) =>
      ip('delete address of link', name, ['address', 'delete', formatPrefix(address), 'dev', name]),

    async routes(name) {
      return (await listRoutes(`routes of link ${name}`, 'dev', name))
        .filter(({ protocol }) => protocol !== 'kernel')
        .flatMap(({ dst }) => destinationOf(dst));
    },
    async otherRoutes(name) {
      return (await listRoutes('routes'))
        .filter(({ dev }) => dev !== name)
        .flatMap(({ dst, dev: link, gateway, metric }) =>
          destinationOf(dst).map((destination) => ({ destination, metric, gateway, link })),
        );
    },
    addRoute: (name, destination) =>
      ip('add route to link', name, ['route', 'add', formatPrefix(destination), 'dev', name]),
    deleteRoute: (name, destination) =>
      ip('delete route to link', name, ['route', 'delete', formatPrefix(destination), 'dev', name]),

    async uplinks() {
      const routes = await listRoutes('default routes', 'default');
      return [
        ...new Set(routes.flatMap(({ dev, nexthops = [] }) => [dev, ...nexthops.map((hop) => hop.dev)])),
      ].filter((name) => name !== undefined);
    },

    async replaceTable(table) {
      await nft(table, `${deletionOf(table)}${creationOf(table)}`);
    },
    async deleteTable(table) {
      await nft(table, deletionOf(table));
    },
  };
}

async function ask(operation: string, subject: string, args: readonly string[]): Promise<string> {
  return successOf(await run('ip', args), `${operation} ${subject}`);
}

async function ip(operation: string, subject: string, args: readonly string[]): Promise<void> {
  await ask(operation, subject, args);
}

async function nft({ name }: Pick<HubTable, 'name'>, script: string): Promise<void> {
  successOf(await run('nft', ['--file', '-'], { stdin: script }), `change table ${name}`);
}

/** Those of the main table, of both families. */
async function listRoutes(subject: string, ...selector: readonly string[]) {
  const lists = await Promise.all(
    ['-4', '-6'].map((family) => ask('list', subject, ['-json', family, 'route', 'show', ...selector])),
  );
  return lists.flatMap((json) => decodeIpJson(routesShown, json, 'ip route show'));
}

/** None for a default route, which is written without a family. */
function destinationOf(dst: string): Prefix[] {
  const text = dst.includes('/') ? dst : `${dst}/${dst.includes(':') ? 128 : 32}`;
  const prefix = parsePrefix(text);
  return prefix === undefined ? [] : [masked(prefix)];
}

/** Made first, so that there is one to delete: that it is missing would be an error. */
function deletionOf({ family, name }: Pick<HubTable, 'family' | 'name'>): string {
  return `table ${family} ${name}\ndelete table ${family} ${name}\n`;
}

function creationOf({ family, name, chains }: HubTable): string {
  const lines = chains.flatMap(({ rules, ...chain }) => [
    `chain ${chain.name} {`,
    `type ${chain.type} hook ${chain.hook} priority ${chain.priority}; policy ${chain.policy};`,
    ...rules.map((rule) => rule.map(({ text }) => text).join(' ')),
    '}',
  ]);
  return [`table ${family} ${name} {`, ...lines, '}', ''].join('\n');
}
