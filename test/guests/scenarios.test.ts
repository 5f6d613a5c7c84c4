/**
 * The scenarios with the kernel's WireGuard, in guests: all of them on trixie and the smoke scenarios on the
 * other suites; in the full run all on all, with a dated table for the docs.
 */
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { after, describe, test } from 'node:test';
import { openLab, SUITES, type Suite } from '../lab/index.ts';
import { parseReport, projectFiles, reportFile, type ScenarioOutcome, scenarioScript } from './project.ts';
import { resultsPage } from './results-page.ts';

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
const folder = 'test/scenarios';
const all = (await readdir(folder)).filter((name) => name.endsWith('.test.ts')).sort();
// Alphabet is as fair a way to share as any: each share has some that start engines again.
const shares = [0, 1, 2].map((share) => all.filter((_, index) => index % 3 === share));
const smoke = [['sockets.test.ts', 'walkthrough.test.ts']];

const outcomes = new Map<Suite, ScenarioOutcome[]>(SUITES.map((suite) => [suite, []]));
if (isFull) {
  after(() => writeFile('docs/scenarios.md', resultsPage(outcomes, new Date())));
}

// Each waits for a place of its own: two machines of one processor get more done than one of two.
describe('scenarios in guests', { concurrency: 16 }, () => {
  for (const suite of ['trixie', 'bookworm', 'forky'] as const) {
    for (const files of isFull || suite === 'trixie' ? shares : smoke) {
      test(`${suite}: ${files.map((name) => name.replace('.test.ts', '')).join(', ')}`, async () => {
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
            script: scenarioScript(files.map((name) => `${folder}/${name}`)),
            timeoutSeconds: isFull ? 7200 : 1800,
            collect: [reportFile],
          });
          const report = parseReport(brought[reportFile]?.toString() ?? '');
          outcomes.get(suite)?.push(...report);
          console.log(`--- ${suite}\n${output}`);
          assert.equal(status, 0, `scenarios failed on ${suite}`);
          assert.ok(report.length > 0 && report.every(({ passed }) => passed));
        } finally {
          await lab.close();
        }
      });
    }
  }
});
