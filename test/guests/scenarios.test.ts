/**
 * The scenarios with the kernel's WireGuard, in guests, by suite and by driver: all of them with the executable
 * on trixie, and the smoke scenarios on the other suites and with the other drivers; in the full run all with
 * all on all, recorded for the docs.
 */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { smokeScenarios } from '../../build/host/scenarios.ts';
import { openLab, SUITES, type Suite } from '../../build/lab/index.ts';
import { drivers } from './drivers.ts';
import { parseReport, projectFiles, reportFile, scenarioScript } from './project.ts';
import { recordRun } from './results-page.ts';

interface Column {
  readonly suite: Suite;
  readonly driver: keyof typeof drivers;
}

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
/** In the full run, the columns to run, as in `trixie/iproute on Node,forky/iproute on Node`; all unless set. */
const only = process.env.WGDRIVER_TEST_COLUMNS?.split(',');
/** In the full run, a scenario to run with those that share its guest, as in `dns`; all unless set. */
const onlyWith = process.env.WGDRIVER_TEST_SCENARIO;

const folder = 'test/scenarios';
const all = (await readdir(folder))
  // leaks.test.ts beside this has its own way to tell what it saw.
  .filter((name) => name.endsWith('.test.ts') && name !== 'leaks.test.ts')
  .map((name) => name.replace('.test.ts', ''))
  .sort();
// Alphabet is as fair a way to share as any: each share has some that start engines again.
const shares = [0, 1, 2].map((share) => all.filter((_, index) => index % 3 === share));

// Each suite and each driver at least once.
const everything = 'trixie/netlink on the executable';
const smoked = ['bookworm/iproute on Node', 'bookworm/netlink on the executable', 'forky/netlink on Deno'];

const columns: readonly Column[] = SUITES.flatMap((suite) =>
  (Object.keys(drivers) as (keyof typeof drivers)[]).map((driver) => ({ suite, driver })),
).filter((column) => {
  const name = nameOf(column);
  return isFull ? (only?.includes(name) ?? true) : [everything, ...smoked].includes(name);
});

// Each waits for a place of its own: two machines of one processor get more done than one of two.
describe('scenarios in guests', { concurrency: 32 }, () => {
  for (const column of columns) {
    for (const files of isFull || nameOf(column) === everything ? shares : [smokeScenarios]) {
      if (!isFull || onlyWith === undefined || files.includes(onlyWith)) {
        test(`${nameOf(column)}: ${files.join(', ')}`, () => run(column, files));
      }
    }
  }
});

function nameOf({ suite, driver }: Column): string {
  return `${suite}/${driver}`;
}

async function run({ suite, driver }: Column, names: readonly string[]): Promise<void> {
  const { files, env } = drivers[driver];
  const lab = await openLab();
  try {
    const {
      status,
      output,
      files: brought,
    } = await lab.run({
      suite,
      cpus: 1,
      files: { ...projectFiles, ...files },
      script: scenarioScript(
        names.map((name) => `${folder}/${name}.test.ts`),
        env,
      ),
      timeoutSeconds: isFull ? 7200 : 1800,
      collect: [reportFile],
    });
    const outcomes = parseReport(brought[reportFile]?.toString() ?? '');
    console.log(`--- ${suite}/${driver}\n${output}`);
    if (isFull) {
      const date = new Date().toISOString().slice(0, 10);
      recordRun({ suite, driver, files: names, date, outcomes });
    }
    assert.equal(status, 0, `scenarios failed on ${suite} with ${driver}`);
    assert.ok(outcomes.length > 0 && outcomes.every(({ passed }) => passed));
  } finally {
    await lab.close();
  }
}
