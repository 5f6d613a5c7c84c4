import { readFile, writeFile } from 'node:fs/promises';
import type { Suite } from '../lab/index.ts';
import type { ScenarioOutcome } from './project.ts';

/** What one way to make links did on one suite. */
export interface Column {
  readonly suite: Suite;
  readonly driver: string;
  /** The day it was run, as in 2026-11-22. */
  readonly date: string;
  readonly outcomes: readonly ScenarioOutcome[];
}

/** What each suite brings, as docs/versions.md says. */
const titles: Readonly<Record<Suite, string>> = {
  bookworm: 'bookworm: engine 20.10, kernel 6.1',
  trixie: 'trixie: engine 26.1, kernel 6.12',
  forky: 'forky: engine 28.5, kernel 7.2',
};

const dataFile = 'docs/scenarios.json';

/** Puts columns in the place of older ones of the same suite and driver, and writes the page anew. */
export async function recordColumns(columns: readonly Column[]): Promise<void> {
  const known = await readFile(dataFile, 'utf8').then((text) => JSON.parse(text) as Column[], noColumns);
  const isSame = (one: Column, other: Column) => one.suite === other.suite && one.driver === other.driver;
  const kept = known.filter((old) => !columns.some((column) => isSame(column, old)));
  const all = [...kept, ...columns].sort((one, other) =>
    `${one.driver} ${titles[one.suite].split('engine ')[1]}`.localeCompare(
      `${other.driver} ${titles[other.suite].split('engine ')[1]}`,
    ),
  );
  await writeFile(dataFile, `${JSON.stringify(all, undefined, 2)}\n`);
  await writeFile('docs/scenarios.md', resultsPage(all));
}

function noColumns(error: NodeJS.ErrnoException): Column[] {
  if (error.code !== 'ENOENT') {
    throw error;
  }
  return [];
}

/** A page for the docs: scenario by suite and driver. */
export function resultsPage(columns: readonly Column[]): string {
  const drivers = [...new Set(columns.map(({ driver }) => driver))];
  return [
    '# Scenarios with the kernel’s WireGuard',
    '',
    'Each scenario of test/scenarios/ in Debian guests under QEMU’s emulation, as `npm run test:full` ran it. What an',
    'engine or a suite does not have is told by the reason.',
    ...drivers.flatMap((driver) => [
      '',
      `## ${driver}`,
      '',
      ...table(columns.filter((column) => column.driver === driver)),
    ]),
    '',
  ].join('\n');
}

function table(columns: readonly Column[]): string[] {
  const names = [...new Set(columns.flatMap(({ outcomes }) => outcomes.map(({ name }) => name)))].sort();
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const cell = ({ outcomes }: Column, name: string) => {
    const outcome = outcomes.find((candidate) => candidate.name === name);
    if (outcome === undefined) {
      return 'not run';
    }
    const passed = outcome.skipped === undefined ? 'passed' : `not there: ${outcome.skipped}`;
    return outcome.passed ? passed : '**failed**';
  };
  return [
    row(['scenario', ...columns.map(({ suite, date }) => `${titles[suite]} (${date})`)]),
    row(['---', ...columns.map(() => '---')]),
    ...names.map((name) => row([name, ...columns.map((column) => cell(column, name))])),
  ];
}
