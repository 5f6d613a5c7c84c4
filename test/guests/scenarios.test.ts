/**
 * The scenarios with the kernel's WireGuard, in guests: all of them on trixie and the smoke scenarios on the
 * other suites; in the full run all on all, with a dated table for the docs.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, describe, test } from 'node:test';
import { openLab, SUITES, type Suite } from '../lab/index.ts';
import { parseReport, projectFiles, reportFile, type ScenarioOutcome, scenarioScript } from './project.ts';
import { resultsPage } from './results-page.ts';

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
const smoke = ['test/scenarios/walkthrough.test.ts'];
const all = ['test/scenarios/*.test.ts'];

const lab = await openLab();
// Here and not in the tests: two builds at once would only slow each other.
await lab.prepare(...SUITES);
const outcomes = new Map<Suite, ScenarioOutcome[]>();
after(async () => {
  await lab.close();
  if (isFull) {
    await writeFile('docs/scenarios.md', resultsPage(outcomes, new Date()));
  }
});

// Two machines of one processor each get more done than one of two.
describe('scenarios', { concurrency: 2 }, () => {
  for (const suite of ['trixie', 'bookworm', 'forky'] as const) {
    test(`on ${suite}`, async () => {
      const { status, output, files } = await lab.run({
        suite,
        cpus: 1,
        files: projectFiles,
        script: scenarioScript(isFull || suite === 'trixie' ? all : smoke),
        timeoutSeconds: isFull ? 3600 : 1200,
        collect: [reportFile],
      });
      const report = parseReport(files[reportFile]?.toString() ?? '');
      outcomes.set(suite, report);
      console.log(`--- ${suite}\n${output}`);
      assert.equal(status, 0, `scenarios failed on ${suite}`);
      assert.ok(report.length > 0 && report.every(({ passed }) => passed));
    });
  }
});
