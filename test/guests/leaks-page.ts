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

/** What was observed on one suite. */
export interface Run {
  /** The day of it, as in 2026-11-22. */
  readonly date: string;
  /** As uname(1) says. */
  readonly kernel: string;
  readonly observations: readonly Observation[];
}

const dataFile = 'docs/leaks.json';
const page = 'docs/leaks.md';
/** Between these the page is written by a run. */
const marks = ['<!-- written by test/guests/leaks.test.ts -->', '<!-- end -->'] as const;

const engines: Readonly<Record<Suite, string>> = { bookworm: '20.10', trixie: '26.1', forky: '28.5' };

/** Puts runs in the place of older ones of the same suites, and writes the tables anew. */
export async function recordRuns(observed: ReadonlyMap<Suite, Run>): Promise<void> {
  const known = JSON.parse(await readFile(dataFile, 'utf8')) as Partial<Record<Suite, Run>>;
  const runs = { ...known, ...Object.fromEntries(observed) };
  await writeFile(dataFile, `${JSON.stringify(runs, undefined, 2)}\n`);
  const [before = '', rest = ''] = (await readFile(page, 'utf8')).split(marks[0]);
  const behind = rest.split(marks[1])[1] ?? '';
  await writeFile(page, `${before}${marks[0]}\n\n${tables(runs)}\n\n${marks[1]}${behind}`);
}

/** What a process writes past the kernel's own stack, which is filtered a little later than all else. */
const frames = Object.values(attempts).filter((attempt) => attempt.startsWith('frame of its own'));

/** Runs, attempt by engine, and phase by engine. */
export function tables(runs: Readonly<Partial<Record<Suite, Run>>>): string {
  const columns = SUITES.flatMap((suite) => {
    const run = runs[suite];
    return run === undefined ? [] : [{ engine: engines[suite], ...run }];
  });
  const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
    [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  const isOn = ({ killswitch }: Observation) => killswitch !== 'off';
  const whileOn = (observations: readonly Observation[], attempt: string) => {
    const phases = observations.filter((one) => isOn(one) && one.seen.includes(attempt));
    return [...new Set(phases.map(({ phase }) => phase))].join('; ') || 'not seen';
  };
  const settings = [...new Set(columns.flatMap(({ observations }) => observations.filter(isOn)))].map(
    ({ killswitch }) => killswitch,
  );
  const phases = columns.flatMap(({ observations }) => observations.filter(isOn).map(({ phase }) => phase));
  const seenIn = (observations: readonly Observation[], killswitch: string, phase: string) => {
    const found = observations.filter((one) => one.killswitch === killswitch && one.phase === phase);
    const seen = [...new Set(found.flatMap((one) => one.seen))];
    if (found.length === 0) {
      return 'not tried';
    }
    const others = seen.filter((attempt) => !frames.includes(attempt));
    return [...(others.length < seen.length ? ['frames'] : []), ...others].join('; ') || 'nothing seen';
  };
  const cells = columns.flatMap((column) =>
    [...new Set(settings)].map((killswitch) => ({ ...column, killswitch })),
  );
  return [
    table(
      ['engine', 'Linux', 'date'],
      columns.map(({ engine, kernel, date }) => [engine, kernel, date]),
    ),
    table(
      ['attempt', ...columns.flatMap(({ engine }) => [`${engine}: on`, `${engine}: off`])],
      Object.values(attempts).map((attempt) => [
        attempt,
        ...columns.flatMap(({ observations }) => [
          whileOn(observations, attempt),
          observations.some((one) => !isOn(one) && one.seen.includes(attempt)) ? 'seen' : 'not seen',
        ]),
      ]),
    ),
    table(
      ['meanwhile', ...cells.map(({ engine, killswitch }) => `${engine}: ${killswitch}`)],
      [...new Set(phases)].map((phase) => [
        phase,
        ...cells.map(({ observations, killswitch }) => seenIn(observations, killswitch, phase)),
      ]),
    ),
  ].join('\n\n');
}
