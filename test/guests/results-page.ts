import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { type Kernel, SUITES, type Suite } from '../../build/lab/index.ts';
import type { ScenarioOutcome } from '../../build/lab/project.ts';

/** What some scenarios did with one way to make links, on one suite. */
export interface ScenarioRun {
  readonly suite: Suite;
  readonly kernel: Kernel;
  readonly driver: string;
  /** Names of their files, without `.test.ts`. */
  readonly files: readonly string[];
  /** The day it was run, as in 2026-11-22. */
  readonly date: string;
  readonly outcomes: readonly ScenarioOutcome[];
}

/** What each suite brings, as docs/versions.md says. */
const engines: Readonly<Record<Suite, string>> = { bookworm: '20.10', trixie: '26.1', forky: '28.5' };
const kernels: Readonly<Record<Suite, string>> = { bookworm: '6.1', trixie: '6.12', forky: '7.2' };

function title(suite: Suite, kernel: Kernel): string {
  const version = kernel === 'uml' ? '7.3 (User-Mode Linux)' : kernels[suite];
  return `${suite}: engine ${engines[suite]}, kernel ${version}`;
}

const dataFile = 'docs/scenarios.json';

/**
 * Puts a run in the place of what older ones say of the same scenarios on the same suite, kernel and driver, and writes the
 * page anew. In one step, as runs end beside one another.
 */
export function recordRun(run: ScenarioRun): void {
  const known = existsSync(dataFile) ? (JSON.parse(readFileSync(dataFile, 'utf8')) as ScenarioRun[]) : [];
  const all = [...known.flatMap((old) => less(old, run)), run].sort(byPlace);
  writeFileSync(dataFile, `${JSON.stringify(all, undefined, 2)}\n`);
  writeFileSync('docs/scenarios.md', resultsPage(all));
}

/** What a run says that a newer one does not. */
function less(old: ScenarioRun, { suite, kernel, driver, files, outcomes }: ScenarioRun): ScenarioRun[] {
  if (old.suite !== suite || old.kernel !== kernel || old.driver !== driver) {
    return [old];
  }
  const rest = old.files.filter((file) => !files.includes(file));
  const names = new Set(outcomes.map(({ name }) => name));
  return rest.length === 0
    ? []
    : [{ ...old, files: rest, outcomes: old.outcomes.filter(({ name }) => !names.has(name)) }];
}

function byPlace(one: ScenarioRun, other: ScenarioRun): number {
  return placeOf(one).localeCompare(placeOf(other));
}

function placeOf({ driver, suite, kernel, files }: ScenarioRun): string {
  return [driver, SUITES.indexOf(suite), kernel, ...files].join();
}

/** A page for the docs: scenario by suite and driver. */
export function resultsPage(runs: readonly ScenarioRun[]): string {
  const drivers = [...new Set(runs.map(({ driver }) => driver))];
  return [
    '# Scenarios with the kernel’s WireGuard',
    '',
    'The day on which each scenario of test/scenarios/ last passed in a Debian guest (`npm run test:full`). leaks.test.ts has',
    '[a page of its own](leaks.md). Where an engine or a suite lacks something, the table gives the reason instead. 7.3 runs as User-Mode',
    'Linux. A suite’s own kernel runs under QEMU’s emulation, and has the smoke scenarios alone: the others are *not run* on it.',
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
  const columns = SUITES.flatMap((suite) =>
    (['debian', 'uml'] as const).map((kernel) => ({
      heading: title(suite, kernel),
      runs: runs.filter((run) => run.suite === suite && run.kernel === kernel),
    })),
  ).filter((column) => column.runs.length > 0);
  const names = [...new Set(runs.flatMap(({ outcomes }) => outcomes.map(({ name }) => name)))].sort();
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    row(['scenario', ...columns.map(({ heading }) => heading)]),
    row(['---', ...columns.map(() => '---')]),
    ...names.map((name) => row([name, ...columns.map((column) => cell(column.runs, name))])),
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
  return '*not run*';
}
