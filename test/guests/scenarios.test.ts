/**
 * The scenarios with the kernel's WireGuard, in guests: those that are for guests with the executable on trixie. In the full
 * run all of them on all engines with the executable, on one with the other drivers, and the smoke scenarios on each
 * suite's own kernel, recorded for the docs.
 */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { guestScenarios, smokeScenarios } from '../../build/host/scenarios.ts';
import { drivers } from '../../build/lab/drivers.ts';
import { openLab, SUITES, type Suite } from '../../build/lab/index.ts';
import {
  failures,
  parseReport,
  projectFiles,
  reportFile,
  scenarioScript,
  sourceFiles,
} from '../../build/lab/project.ts';
import { recordRun } from './results-page.ts';

interface Column {
  readonly suite: Suite;
  readonly driver: keyof typeof drivers;
  /** As of GuestOptions. */
  readonly kernel?: 'debian';
  readonly isSmoke?: true;
}

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
/** The columns to run, as in `trixie/iproute on Node,forky/netlink on Deno/debian`; all unless set. */
const only = process.env.WGDRIVER_TEST_COLUMNS?.split(',');
/** The scenarios to run, in one guest, as in `dns,moby`; all unless set. */
const chosen = process.env.WGDRIVER_TEST_SCENARIOS?.split(',');

const folder = 'test/scenarios';
const all = (await readdir(folder))
  .filter((name) => name.endsWith('.test.ts'))
  // leaks.test.ts beside this records what it saw, which is for the full run.
  .filter((name) => !isFull || name !== 'leaks.test.ts')
  .map((name) => name.replace('.test.ts', ''))
  .filter((name) => isFull || guestScenarios.includes(name))
  // What these do goes beyond it.
  .filter((name) => isFull || name !== 'walkthrough')
  .sort();
// Alphabet is as fair a way to share as any: each share has some that start engines again.
const count = isFull ? 3 : 1;
const shares =
  chosen === undefined
    ? Array.from({ length: count }, (_, share) => all.filter((_, index) => index % count === share))
    : [chosen];

const standard = 'netlink on the executable';
const others = (Object.keys(drivers) as (keyof typeof drivers)[]).filter((driver) => driver !== standard);

const whole: readonly Column[] = isFull
  ? [
      ...SUITES.map((suite) => ({ suite, driver: standard }) as const),
      ...others.map((driver) => ({ suite: 'trixie', driver }) as const),
    ]
  : [{ suite: 'trixie', driver: standard }];

/** Kernels 6.1, 6.12 and 7.2 with their engines, each with another driver. */
const smokes: readonly Column[] = [
  { suite: 'bookworm', driver: 'iproute on Node', kernel: 'debian', isSmoke: true },
  { suite: 'trixie', driver: standard, kernel: 'debian', isSmoke: true },
  { suite: 'forky', driver: 'netlink on Deno', kernel: 'debian', isSmoke: true },
];
const smoked = isFull || only !== undefined ? smokes : [];

// Each waits for a place of its own. The emulated ones take longest, so they are not the last.
describe('scenarios in guests', { concurrency: 32 }, () => {
  for (const column of [...smoked, ...whole].filter((one) => only?.includes(nameOf(one)) ?? true)) {
    for (const files of column.isSmoke ? [smokeScenarios] : shares) {
      test(`${nameOf(column)}: ${files.join(', ')}`, () => run(column, files));
    }
  }
});

function nameOf({ suite, driver, kernel }: Column): string {
  return [suite, driver, ...(kernel ? [kernel] : [])].join('/');
}

async function run(column: Column, names: readonly string[]): Promise<void> {
  const { suite, driver, kernel } = column;
  const { files, env } = drivers[driver];
  const lab = await openLab({
    isLong: true,
    name: `${nameOf(column)}: ${names.join(', ')}`,
    ...(kernel ? { kernel } : {}),
  });
  try {
    const {
      status,
      output,
      kernel: had,
      files: brought,
    } = await lab.run({
      suite,
      kernel,
      cpus: 1,
      files: { ...projectFiles, ...sourceFiles, ...files },
      script: scenarioScript(
        names.map((name) => `${folder}/${name}.test.ts`),
        env,
      ),
      timeoutSeconds: isFull ? 7200 : 1800,
      collect: [reportFile],
    });
    const outcomes = parseReport(brought[reportFile]?.toString() ?? '');
    console.log(`--- ${nameOf(column)}, ${had} kernel\n${output}`);
    if (isFull) {
      const date = new Date().toISOString().slice(0, 10);
      recordRun({ suite, kernel: had, driver, files: names, date, outcomes });
    }
    assert.equal(status, 0, `scenarios failed on ${suite} with ${driver}: ${failures(output)}`);
    assert.ok(outcomes.length > 0 && outcomes.every(({ passed }) => passed));
  } finally {
    await lab.close();
  }
}
