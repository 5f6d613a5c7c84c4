/**
 * The scenarios with the kernel's WireGuard, in guests: all of them on trixie and the smoke scenarios on the
 * other suites; in the full run all on all, recorded for the docs.
 */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, describe, test } from 'node:test';
import { openLab, SUITES, type Suite } from '../lab/index.ts';
import { parseReport, projectFiles, reportFile, type ScenarioOutcome, scenarioScript } from './project.ts';
import { recordColumns } from './results-page.ts';

interface Column {
  readonly suite: Suite;
  readonly driver: string;
  readonly outcomes: ScenarioOutcome[];
}

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
/** In the full run, the columns to run, as in `trixie/iproute,forky/iproute`; all unless set. */
const only = process.env.WGDRIVER_TEST_COLUMNS?.split(',');

const folder = 'test/scenarios';
const all = (await readdir(folder)).filter((name) => name.endsWith('.test.ts')).sort();
// Alphabet is as fair a way to share as any: each share has some that start engines again.
const shares = [0, 1, 2].map((share) => all.filter((_, index) => index % 3 === share));
const smoke = ['sockets.test.ts', 'walkthrough.test.ts'];

const drivers = ['iproute'];
const columns: readonly Column[] = SUITES.flatMap((suite) =>
  drivers.map((driver) => ({ suite, driver, outcomes: [] })),
).filter(({ suite, driver }) => only?.includes(`${suite}/${driver}`) ?? true);

if (isFull) {
  const date = new Date().toISOString().slice(0, 10);
  after(() => recordColumns(columns.map((column) => ({ ...column, date }))));
}

// Each waits for a place of its own: two machines of one processor get more done than one of two.
describe('scenarios in guests', { concurrency: 32 }, () => {
  for (const column of columns) {
    for (const files of isFull || column.suite === 'trixie' ? shares : [smoke]) {
      const names = files.map((name) => name.replace('.test.ts', ''));
      test(`${column.suite}, ${column.driver}: ${names.join(', ')}`, () => run(column, files));
    }
  }
});

async function run({ suite, outcomes }: Column, names: readonly string[]): Promise<void> {
  const lab = await openLab();
  try {
    const {
      status,
      output,
      files: brought,
    } = await lab.run({
      suite,
      cpus: 1,
      files: projectFiles,
      script: scenarioScript(names.map((name) => `${folder}/${name}`)),
      timeoutSeconds: isFull ? 7200 : 1800,
      collect: [reportFile],
    });
    const report = parseReport(brought[reportFile]?.toString() ?? '');
    outcomes.push(...report);
    console.log(`--- ${suite}\n${output}`);
    assert.equal(status, 0, `scenarios failed on ${suite}`);
    assert.ok(report.length > 0 && report.every(({ passed }) => passed));
  } finally {
    await lab.close();
  }
}
