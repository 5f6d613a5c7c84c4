// `node build/arrows.mjs`, a part of `npm run check`: imports between the rooms of src/ run one way.
// The linter looks for circles; this looks at who may know whom.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What stands beside the rooms: any room may use it, and it uses none. */
const shared = [
  ...['concurrency.ts', 'decode.ts', 'file-fault.ts', 'knock.ts', 'log.ts', 'nearest.ts', 'rights.ts'],
  'version-number.ts',
];

/**
 * Each room, and whom it may know: a whole room, or one file of it. Every arrow is in use: one that no import needs is
 * told as well. The reasons for those that are not obvious:
 * - `wireguard` is the domain's types. The messages of netlink are made from them, so `netlink` knows it and nobody else.
 * - A doctor examines, and so uses what it examines.
 * - `driver` takes from `programs` who holds the namespace of a shared tunnel, which its records name.
 * - `networks` decodes what the engine says of a network, and so takes the messages and Docker's own labels from `plugin`.
 * - A record of `state` is a network, so `state` knows `networks`.
 * - A hub makes the keys and the addresses that the drivers' networks make: `networks` and `keys`; it reads and changes
 *   its link as they do: `links`. What it has begun it marks over a kill as they do: `state/marker.ts`.
 * - `service` runs systemctl.
 * - `engine` shows of our options what is no secret, by their names.
 */
const arrows = {
  'cli.ts': ['commands'],
  commands: ['*'],
  plugin: [],
  driver: [
    'plugin',
    'networks',
    'state',
    'keys',
    'links',
    'killswitch',
    'gateway',
    'programs/keeper.ts',
    'wireguard',
  ],
  networks: ['plugin/api.ts', 'plugin/netlabel.ts', 'keys', 'wireguard'],
  state: ['networks', 'wireguard'],
  gateway: ['programs', 'wireguard'],
  hub: ['networks', 'keys', 'links', 'netlink', 'programs', 'state/marker.ts', 'wireguard'],
  keys: ['wireguard'],
  wireguard: [],
  links: ['netlink', 'programs', 'wireguard'],
  killswitch: ['netlink', 'programs', 'wireguard'],
  netlink: ['wireguard'],
  programs: ['wireguard/address.ts'],
  metrics: ['wireguard'],
  engine: ['networks/option-names.ts'],
  doctor: ['engine', 'killswitch', 'links', 'networks', 'programs', 'wireguard'],
  service: ['programs'],
};

/** Rooms and files that do no I/O, and know nobody who does. */
const pure = [
  'wireguard',
  'networks',
  'metrics',
  'gateway/setup.ts',
  'hub/config.ts',
  'hub/peers.ts',
  'hub/public-keys.ts',
  'hub/rules.ts',
  'keys/additional.ts',
  'keys/derivation.ts',
  'links/iproute/wg.ts',
  'links/userspace/uapi.ts',
  'netlink/attribute.ts',
  'netlink/message.ts',
  'netlink/nftables/expression.ts',
  'netlink/nftables/table.ts',
  'netlink/route/link.ts',
  'netlink/route/nsid.ts',
  'netlink/route/route.ts',
  'netlink/route/rule.ts',
  'netlink/wireguard/configure.ts',
  'netlink/wireguard/parse.ts',
];
/** What these may import from elsewhere. Of `node:os` it is the numbers of errors. */
const pureModules = [
  ...['node:buffer', 'node:crypto', 'node:os', 'node:path', 'node:util'],
  ...['@noble/curves', '@noble/hashes', 'ipaddr.js', 'uqr', 'valibot', 'yaml'],
];

/** What is still against the arrows, as breachesOf says it. Who mends one strikes it off. */
const debts = [];

/** @returns what is against a table, in words, and the table's debts that are none any more */
export function breachesOf(src, { shared, arrows, pure, debts }) {
  const files = filesOf(src);
  const isIn = (name, places) =>
    places.includes(name) || places.includes(roomOf(name)) || places.includes('*');

  const breaches = [];
  for (const [name, { own }] of files) {
    const allowed = shared.includes(name) ? [] : arrows[roomOf(name)] && [...arrows[roomOf(name)], ...shared];
    if (allowed === undefined) {
      breaches.push(`${name} is in no room of the table`);
      continue;
    }
    for (const { name: other } of own) {
      if (roomOf(other) !== roomOf(name) && !isIn(other, allowed)) {
        breaches.push(`${name} imports ${other}`);
      }
    }
    const way = isIn(name, pure) ? wayToInputOutput(files, name) : undefined;
    if (way !== undefined) {
      breaches.push(`${way.join(' imports ')}: ${name} may do no I/O`);
    }
  }
  return [
    ...breaches.filter((breach) => !debts.includes(breach)),
    ...debts.filter((debt) => !breaches.includes(debt)).map((debt) => `mended, so no debt any more: ${debt}`),
  ];
}

/** @returns the arrows of a table that no import needs, in words */
export function unusedArrows(src, { arrows }) {
  const used = new Set(
    [...filesOf(src)].flatMap(([name, { own }]) =>
      own.flatMap(({ name: other }) => [other, roomOf(other)].map((place) => `${roomOf(name)} → ${place}`)),
    ),
  );
  return Object.entries(arrows)
    .flatMap(([room, others]) => others.filter((other) => other !== '*').map((other) => `${room} → ${other}`))
    .filter((arrow) => !used.has(arrow))
    .map((arrow) => `no import needs the arrow ${arrow}`);
}

/** @returns what each file of src/ imports, by its name */
function filesOf(src) {
  const names = readdirSync(src, { recursive: true }).filter((name) => /(?<!\.d)\.ts$/.test(name));
  return new Map(names.sort().map((name) => [name, importsOf(src, name)]));
}

const roomOf = (name) => name.split('/')[0];

/** @returns the files that lead from one to a module that does I/O, and this module */
function wayToInputOutput(files, name, seen = new Set()) {
  seen.add(name);
  const { own, modules } = files.get(name) ?? { own: [], modules: [] };
  const module = modules.find((module) => !pureModules.some((one) => `${module}/`.startsWith(`${one}/`)));
  if (module !== undefined) {
    return [name, module];
  }
  for (const { name: other, isType } of own) {
    const way = isType || seen.has(other) ? undefined : wayToInputOutput(files, other, seen);
    if (way !== undefined) {
      return [name, ...way];
    }
  }
  return undefined;
}

/** @returns what a file imports: files of src/, by name; and modules of Node and of libraries that are no types */
function importsOf(src, name) {
  const text = readFileSync(join(src, name), 'utf8');
  const statements = [
    ...text.matchAll(/^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm),
    ...text.matchAll(/\bimport\(()'([^']+)'/g),
  ].map(([, type, path]) => ({ path, isType: Boolean(type) }));
  return {
    // Texts and package.json are no room's.
    own: statements
      .filter(({ path }) => path.startsWith('.') && path.endsWith('.ts'))
      .map(({ path, isType }) => ({ name: join(dirname(name), path), isType })),
    modules: statements
      .filter(({ path, isType }) => !path.startsWith('.') && !isType)
      .map(({ path }) => path),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const src = fileURLToPath(new URL('../src', import.meta.url));
  const breaches = breachesOf(src, { shared, arrows, pure, debts });
  for (const breach of breaches) {
    console.error(`src/${breach}`);
  }
  if (breaches.length > 0) {
    console.error('These imports run against the arrows of build/arrows.mjs, which says who may know whom.');
  }
  const unused = unusedArrows(src, { arrows });
  for (const arrow of unused) {
    console.error(`build/arrows.mjs: ${arrow}`);
  }
  if (breaches.length + unused.length > 0) {
    process.exitCode = 1;
  }
}
