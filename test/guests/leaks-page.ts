import { readFile, writeFile } from 'node:fs/promises';
import { SUITES, type Suite } from '../../build/lab/index.ts';
import { attempts } from '../scenarios/attempts.ts';

/** What was seen outside while containers tried everything. */
export interface Observation {
  readonly killswitch: string;
  readonly phase: string;
  /** Attempts. */
  readonly seen: readonly string[];
}

interface Run {
  /** The day of it, as in 2026-11-22. */
  readonly date: string;
  readonly observations: readonly Observation[];
}

const dataFile = 'docs/leaks.json';
const page = 'docs/leaks.md';
/** Between these the page is written by a run. */
const marks = ['<!-- written by test/guests/leaks.test.ts -->', '<!-- end -->'] as const;

const titles: Readonly<Record<Suite, string>> = {
  bookworm: '20.10, kernel 6.1',
  trixie: '26.1, kernel 6.12',
  forky: '28.5, kernel 7.2',
};

/** Puts what was observed in the place of older observations of the same suites, and writes the tables anew. */
export async function recordObservations(
  observed: ReadonlyMap<Suite, readonly Observation[]>,
  date: string,
): Promise<void> {
  const known = await readFile(dataFile, 'utf8').then(
    (text) => JSON.parse(text) as Partial<Record<Suite, Run>>,
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') {
        throw error;
      }
      return {};
    },
  );
  const runs = { ...known };
  for (const [suite, observations] of observed) {
    runs[suite] = { date, observations };
  }
  await writeFile(dataFile, `${JSON.stringify(runs, undefined, 2)}\n`);
  const [before = '', rest = ''] = (await readFile(page, 'utf8')).split(marks[0]);
  const behind = rest.split(marks[1])[1] ?? '';
  await writeFile(page, `${before}${marks[0]}\n\n${tables(runs)}\n\n${marks[1]}${behind}`);
}

/** Attempt by engine and setting, and phase by engine. */
export function tables(runs: Readonly<Partial<Record<Suite, Run>>>): string {
  const columns = SUITES.flatMap((suite) => {
    const run = runs[suite];
    return run === undefined ? [] : [{ title: `${titles[suite]} (${run.date})`, ...run }];
  });
  const all = columns.flatMap(({ observations }) => observations);
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const where = (observations: readonly Observation[], killswitch: string, attempt: string) => {
    const phases = observations
      .filter((observation) => observation.killswitch === killswitch && observation.seen.includes(attempt))
      .map(({ phase }) => phase);
    const isAlways = killswitch === 'off' && phases.length > 0;
    return isAlways ? 'seen' : [...new Set(phases)].join('; ') || 'not seen';
  };
  const settings = columns.flatMap((column) =>
    ['on', 'off'].map((killswitch) => ({ ...column, killswitch })),
  );
  const phases = [...new Set(all.filter(({ killswitch }) => killswitch === 'on').map(({ phase }) => phase))];
  return [
    row(['attempt', ...settings.map(({ title, killswitch }) => `${title}: ${killswitch}`)]),
    row(['---', ...settings.map(() => '---')]),
    ...Object.values(attempts).map((attempt) =>
      row([
        attempt,
        ...settings.map(({ observations, killswitch }) => where(observations, killswitch, attempt)),
      ]),
    ),
    '',
    row(['with killswitch=on, while', ...columns.map(({ title }) => title)]),
    row(['---', ...columns.map(() => '---')]),
    ...phases.map((phase) =>
      row([
        phase,
        ...columns.map(({ observations }) => {
          const seen = observations
            .filter((observation) => observation.killswitch === 'on' && observation.phase === phase)
            .flatMap((observation) => observation.seen);
          return [...new Set(seen)].join('; ') || 'nothing seen';
        }),
      ]),
    ),
  ].join('\n');
}
