import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { SUITES, type Suite } from '../../build/lab/index.ts';
import type { ScenarioOutcome } from './project.ts';

/** What some scenarios did with one way to make links, on one suite. */
export interface ScenarioRun {
  readonly suite: Suite;
  readonly driver: string;
  /** Names of their files, without `.test.ts`. */
  readonly files: readonly string[];
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

/**
 * Puts a run in the place of older ones of the same suite, driver and files, and writes the page anew. In one
 * step, as runs end beside one another.
 */
export function recordRun(run: ScenarioRun): void {
  const known = existsSync(dataFile) ? (JSON.parse(readFileSync(dataFile, 'utf8')) as ScenarioRun[]) : [];
  const isOutdated = ({ suite, driver, files }: ScenarioRun) =>
    suite === run.suite && driver === run.driver && files.some((file) => run.files.includes(file));
  const all = [...known.filter((old) => !isOutdated(old)), run].sort(byPlace);
  writeFileSync(dataFile, `${JSON.stringify(all, undefined, 2)}\n`);
  writeFileSync('docs/scenarios.md', resultsPage(all));
}

function byPlace(one: ScenarioRun, other: ScenarioRun): number {
  return placeOf(one).localeCompare(placeOf(other));
}

function placeOf({ driver, suite, files }: ScenarioRun): string {
  return [driver, SUITES.indexOf(suite), ...files].join();
}

/** A page for the docs: scenario by suite and driver. */
export function resultsPage(runs: readonly ScenarioRun[]): string {
  const drivers = [...new Set(runs.map(({ driver }) => driver))];
  return [
    '# Scenarios with the kernel’s WireGuard',
    '',
    'Each scenario of test/scenarios/ but leaks.test.ts, of which [docs/leaks.md](leaks.md) tells, in Debian guests under',
    'QEMU’s emulation, as `npm run test:full` ran it: the day on which it passed. What an engine or a suite does not have',
    'is told by the reason.',
    ...drivers.flatMap((driver) => [
      '',
      `## ${driver}`,
      '',
      ...table(runs.filter((run) => run.driver === driver)),
    ]),
    '',
  ].join('\n');
}

function table(runs: readonly ScenarioRun[]): string[] {
  const suites = SUITES.filter((suite) => runs.some((run) => run.suite === suite));
  const names = [...new Set(runs.flatMap(({ outcomes }) => outcomes.map(({ name }) => name)))].sort();
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    row(['scenario', ...suites.map((suite) => titles[suite])]),
    row(['---', ...suites.map(() => '---')]),
    ...names.map((name) =>
      row([
        name,
        ...suites.map((suite) =>
          cell(
            runs.filter((run) => run.suite === suite),
            name,
          ),
        ),
      ]),
    ),
  ];
}

function cell(runs: readonly ScenarioRun[], name: string): string {
  for (const { outcomes, date } of runs) {
    const outcome = outcomes.find((candidate) => candidate.name === name);
    if (outcome !== undefined) {
      const passed = outcome.skipped === undefined ? date : `not there: ${outcome.skipped}`;
      return outcome.passed ? passed : `**failed**, ${date}`;
    }
  }
  return 'not run';
}
