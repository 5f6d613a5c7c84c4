import { existsSync, globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join, normalize, relative, sep } from 'node:path';
import { guestScenarios, smokeScenarios } from '../build/host/scenarios.ts';
import { labObstacle } from '../build/lab/index.ts';

export const tierNames = ['unit', 'system', 'faults', 'engine', 'runtimes', 'guests'] as const;
export type TierName = (typeof tierNames)[number];

/** What a tier takes to run. */
export interface Tier {
  /** What it is for, in a line of the usage. */
  readonly purpose: string;
  /** Why this machine cannot run it, or undefined. */
  readonly obstacle: () => Promise<string | undefined>;
  /** Tasks of build/run.mjs, with their arguments, that come first. */
  readonly tasks: readonly (readonly string[])[];
  /** The same of the full run, beside them. */
  readonly fullTasks?: readonly (readonly string[])[];
  readonly isSandboxed: boolean;
  /** How many files run at once. */
  readonly concurrency: number;
  /** Whether they run in one process, and so on one engine: each start of one takes ten seconds. */
  readonly isOneProcess?: true;
}

const needsRoot = process.getuid?.() === 0 ? undefined : 'it needs root';
const needsDebian = existsSync('/etc/debian_version') ? undefined : 'it needs Debian’s packages';

/** Engines are heavy, and the machines have two cores. */
const oneByOne = 1;

export const tiers: Readonly<Record<TierName, Tier>> = {
  unit: {
    purpose: 'modules by themselves, within 90 seconds',
    obstacle: async () => undefined,
    // Where they cannot be installed, the tests that need them skip themselves.
    tasks: needsRoot === undefined && needsDebian === undefined ? [['packages']] : [],
    isSandboxed: false,
    // One more than there are processors: some files wait for a program or a clock.
    concurrency: availableParallelism() + 1,
  },
  system: {
    purpose: 'the commands as they are built, and links, rules and programs in namespaces, without an engine',
    obstacle: async () => undefined,
    tasks: needsRoot === undefined && needsDebian === undefined ? [['packages']] : [],
    isSandboxed: false,
    concurrency: availableParallelism() + 1,
  },
  faults: {
    purpose: 'the driver killed, loaded and fed with nonsense, without and with an engine',
    obstacle: async () => needsRoot ?? needsDebian,
    tasks: [['packages']],
    isSandboxed: true,
    concurrency: oneByOne,
  },
  engine: {
    purpose: 'scenarios with the engine of this machine and a userspace WireGuard',
    obstacle: async () => needsRoot ?? needsDebian,
    tasks: [['packages']],
    isSandboxed: true,
    concurrency: oneByOne,
    isOneProcess: true,
  },
  guests: {
    purpose: 'scenarios in Debian guests, with the kernel’s WireGuard',
    obstacle: labObstacle,
    // The lab installs what it needs itself, but a guest borrows this machine's wireguard-go.
    tasks: [['packages'], ['plugin']],
    isSandboxed: false,
    // All at once: each waits for places in the lab.
    concurrency: 16,
  },
  runtimes: {
    purpose: 'Node 20 to 26, Deno, the executable, the managed plugin, Swarm on this machine',
    obstacle: async () =>
      needsRoot ?? needsDebian ?? (process.arch === 'x64' ? undefined : 'its runtimes are for x64'),
    tasks: [['packages', 'docker-registry=docker-registry', 'promtool=prometheus'], ['plugin']],
    // In the sandbox nothing can be installed.
    fullTasks: [['packages', 'lintian=lintian', 'minisign=minisign']],
    isSandboxed: true,
    concurrency: oneByOne,
  },
};

/** The tier of a file or folder below test/. All others are of the unit tier. */
const tierOfPath: Readonly<Record<string, TierName>> = {
  'cli.test.ts': 'system',
  commands: 'system',
  'docs.test.ts': 'system',
  'doctor/host-vpn.test.ts': 'system',
  'doctor/sharers.test.ts': 'system',
  'driver/hub-uplinks.test.ts': 'system',
  'driver/hub-following.test.ts': 'system',
  'driver/uplinks.test.ts': 'system',
  gateway: 'system',
  hub: 'system',
  killswitch: 'system',
  links: 'system',
  'netlink/libc/runtimes.test.ts': 'system',
  'netlink/nftables/statement.test.ts': 'system',
  'netlink/socket.test.ts': 'system',
  programs: 'system',
  release: 'system',
  service: 'system',
  'wireguard/config/read-back.test.ts': 'system',
  faults: 'faults',
  fuzz: 'faults',
  guests: 'guests',
  lab: 'guests',
  runtimes: 'runtimes',
  scenarios: 'engine',
};

/**
 * What takes minutes, and something quicker says as well (docs/versions.md): for the full run, and for whoever names it.
 */
const onlyInFullRun: readonly string[] = [
  'faults/rotation-guide.test.ts',
  'guests/firewalls.test.ts',
  'guests/guides.test.ts',
  'guests/healing.test.ts',
  'guests/hub.test.ts',
  'guests/kills.test.ts',
  'guests/leaks.test.ts',
  'guests/package.test.ts',
  'guests/plugin.test.ts',
  'guests/power-cuts.test.ts',
  'guests/power.test.ts',
  'guests/swarm.test.ts',
  'guests/unready.test.ts',
  'lab',
  'runtimes/swarm-nodes.test.ts',
];

function isOnlyInFullRun(file: string): boolean {
  const [, folder = ''] = file.split(sep);
  return onlyInFullRun.includes(folder) || onlyInFullRun.includes(relative('test', file));
}

function tierOf(file: string): TierName {
  const [, folder = ''] = file.split(sep);
  return tierOfPath[folder] ?? tierOfPath[relative('test', file)] ?? 'unit';
}

/** @returns every test file, as a path from the project's folder; but none that only a guest can run */
export function testFiles(): string[] {
  const inGuests = join('test', 'guests', 'inside') + sep;
  return globSync('test/**/*.test.ts', { exclude: ['**/node_modules'] })
    .filter((file) => !file.startsWith(inGuests))
    .sort();
}

/** A guest alone runs it in `npm test`, but for the smoke scenarios, which run in both. */
function isGuests(file: string): boolean {
  const name = basename(file, '.test.ts');
  return guestScenarios.includes(name) && !smokeScenarios.includes(name);
}

/**
 * The files to run, by tier.
 * @param words tiers, files and folders; none for every tier
 * @param hasGuests whether guests run their scenarios, so that the tier `engine` need not; a file that is
 * named runs
 * @throws Error for a word that is none of them
 */
export function planTiers(
  words: readonly string[],
  {
    files,
    hasGuests,
    isFull,
  }: { readonly files: readonly string[]; readonly hasGuests: boolean; readonly isFull: boolean },
): [name: TierName, files: string[]][] {
  const isWanted = (file: string, word: string) => {
    const tier = tierOf(file);
    if ((tierNames as readonly string[]).includes(word)) {
      return (
        word === tier &&
        (isFull || !isOnlyInFullRun(file)) &&
        (tier !== 'engine' || !hasGuests || !isGuests(file))
      );
    }
    const path = normalize(word);
    return file === path || file.startsWith(path.endsWith(sep) ? path : path + sep);
  };
  const wanted = words.length === 0 ? tierNames : words;
  const unknown = wanted.find((word) => !files.some((file) => isWanted(file, word)));
  if (unknown !== undefined) {
    throw new Error(`\`${unknown}\` is no tier, no test file and no folder with test files`);
  }
  return tierNames
    .map((name): [TierName, string[]] => [
      name,
      files.filter((file) => tierOf(file) === name && wanted.some((word) => isWanted(file, word))),
    ])
    .filter(([, chosen]) => chosen.length > 0);
}
