/**
 * The leaks scenario with the kernel's WireGuard, on trixie, where scenarios.test.ts has it in `npm test`; in the full run on
 * all suites with their own kernels, whose hooks for netfilter differ, with the tables of docs/leaks.md.
 * WGDRIVER_TEST_KERNEL=lab takes the lab's own kernel for all of them, which is several times as fast.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { openLab, SUITES, type Suite } from '../../build/lab/index.ts';
import { failures, projectFiles, reportFile, scenarioScript } from '../../build/lab/project.ts';
import { type Observation, type Run, recordRuns } from './leaks-page.ts';

const isFull = process.env.WGDRIVER_TEST_FULL !== undefined;
/** In the full run, the suites to run, as in `trixie,forky`; all unless set. */
const only = process.env.WGDRIVER_TEST_SUITES?.split(',');
const kernel = isFull && process.env.WGDRIVER_TEST_KERNEL !== 'lab' ? ({ kernel: 'debian' } as const) : {};
const suites = isFull ? SUITES.filter((suite) => only?.includes(suite) ?? true) : (['trixie'] as const);

const runs = new Map<Suite, Run>();
if (isFull) {
  after(() => recordRuns(runs));
}
/** Where the guest writes what its kernel is. */
const kernelFile = '/root/kernel';

describe('leaks in guests', { concurrency: 32 }, () => {
  for (const suite of suites) {
    test(suite, () => observe(suite));
  }
});

async function observe(suite: Suite): Promise<void> {
  const lab = await openLab({ isLong: true, name: `leaks on ${suite}`, ...kernel });
  try {
    const { status, output, files } = await lab.run({
      suite,
      ...kernel,
      cpus: 1,
      files: projectFiles,
      script: `uname -r >${kernelFile}; ${scenarioScript(['test/scenarios/leaks.test.ts'])}`,
      timeoutSeconds: isFull ? 7200 : 1800,
      collect: [reportFile, kernelFile],
    });
    console.log(`--- ${suite}\n${output}`);
    assert.equal(status, 0, `leaks on ${suite}: ${failures(output)}`);
    const observations = observationsIn(files[reportFile]?.toString() ?? '');
    assert.ok(observations.length > 0);
    const version = files[kernelFile]?.toString().trim() ?? '';
    runs.set(suite, { date: new Date().toISOString().slice(0, 10), kernel: version, observations });
  } finally {
    await lab.close();
  }
}

/** From the diagnostics of the scenario, `# on; network connected; UDP; TCP`. */
function observationsIn(tap: string): Observation[] {
  return [...tap.matchAll(/^# (on|off|on, [^;]+); ([^;\n]+); (.*)$/gm)].map(
    ([, killswitch = '', phase = '', seen = '']) => ({
      killswitch,
      phase,
      seen: seen === 'nothing' ? [] : seen.split('; '),
    }),
  );
}
