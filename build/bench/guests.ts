/**
 * `npm run bench [-- --vm [drivers|speed|calls|reading|steady|hub|rotation|shared [SUITE…] [ROUNDS…]]]`: build/bench/
 * drivers.ts and so on, with the kernel's WireGuard, in guests. Of what `drivers` measures, it makes docs/performance.md. WGDRIVER_BENCH_OLD=1
 * has `steady` measure 0.1.0.
 */

import { readFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { bundleOfFirstRelease } from '../first-release.ts';
import { openLab, SUITES } from '../lab/index.ts';
import { projectFiles, projectFolder, sourceFiles } from '../lab/project.ts';
import { writePerformancePage } from './performance-page.ts';
import type { Measured } from './targets.ts';

const benches = {
  drivers: { suites: ['trixie'], otherwise: 'it failed' },
  speed: { suites: SUITES, otherwise: 'under 0.9 of plain WireGuard, or failed' },
  // Under emulation it is a matter of minutes, and the suite is the one that the targets were set on.
  calls: { suites: ['trixie'], otherwise: 'a target was missed, or it failed' },
  reading: { suites: ['trixie'], otherwise: 'it failed' },
  steady: { suites: ['trixie'], otherwise: 'it failed' },
  hub: {
    suites: ['trixie'],
    otherwise: 'over 1.2 of `wg setconf`, one more not in constant time, or failed',
  },
  rotation: { suites: ['trixie'], otherwise: 'over a second lost, most lost something, or failed' },
  shared: { suites: ['trixie'], otherwise: 'links were left, or it failed' },
} as const;

const name = process.argv[2] ?? 'drivers';
if (!Object.hasOwn(benches, name)) {
  console.error(`usage: npm run bench -- --vm [${Object.keys(benches).join('|')} [SUITE…]]`);
  process.exit(2);
}
const { otherwise, ...bench } = benches[name as keyof typeof benches];
const asked = SUITES.filter((suite) => process.argv.slice(3).includes(suite));
/** Of rounds and the like, as the bench takes them. */
const counts = process.argv.slice(3).filter((word) => /^\d+$/.test(word));
const suites = asked.length > 0 ? asked : bench.suites;

const takesOld = name === 'drivers' || (name === 'steady' && process.env.WGDRIVER_BENCH_OLD !== undefined);
const old = takesOld ? bundleOfFirstRelease() : undefined;
const oldFile = '/root/wgdriver-0.1.0.mjs';
const bundle = name === 'steady' && old !== undefined ? `WGDRIVER_BENCH_BUNDLE=${oldFile}` : '';
// All there are: nothing else may run beside a measurement.
const lab = await openLab({ places: availableParallelism() });
try {
  for (const suite of suites) {
    const { status, output } = await lab.run({
      suite,
      ...(['drivers', 'hub', 'steady', 'shared'].includes(name) && { memoryMegabytes: 8192 }),
      files: { ...projectFiles, ...sourceFiles, ...(old && { [oldFile]: old }) },
      // By netlink, as the executable does it.
      script: `cd ${projectFolder} && WGDRIVER_TEST_BACKEND=netlink ${bundle} node build/bench/${name}.ts ${counts.join(' ')}`,
      timeoutSeconds: 3600,
    });
    const json = output.trimEnd().split('\n').at(-1) ?? '';
    console.log(`\n${suite}: ${status === 0 ? 'as it should be' : otherwise}\n${output}`);
    process.exitCode ||= status;
    if (name === 'drivers' && json.startsWith('{')) {
      const { about, measured } = JSON.parse(json) as { about: string; measured: Measured };
      const date = new Date().toISOString().slice(0, 10);
      const load = `on ${date}, load of the machine around it ${loadavg()[2]?.toFixed(0)}`;
      const notes = readFileSync('build/bench/performance-notes.md', 'utf8');
      writePerformancePage(`${about}, ${load}`, measured, notes);
    }
  }
} finally {
  await lab.close();
}
