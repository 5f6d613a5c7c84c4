/**
 * `npm run bench -- --vm [speed|calls|reading|hub|rotation [SUITE…]]`: build/bench/speed.ts and so on, with the kernel's
 * WireGuard, in guests.
 */

import { availableParallelism } from 'node:os';
import { openLab, SUITES } from '../lab/index.ts';
import { projectFiles, projectFolder, sourceFiles } from '../lab/project.ts';

const benches = {
  speed: { suites: SUITES, otherwise: 'under 0.9 of plain WireGuard, or failed' },
  // Under emulation it is a matter of minutes, and the suite is the one that the targets were set on.
  calls: { suites: ['trixie'], otherwise: 'a target was missed, or it failed' },
  reading: { suites: ['trixie'], otherwise: 'it failed' },
  hub: { suites: ['trixie'], otherwise: 'over 1.2 of `wg setconf`, or failed' },
  rotation: { suites: ['trixie'], otherwise: 'it failed' },
} as const;

const name = process.argv[2] ?? 'speed';
if (!Object.hasOwn(benches, name)) {
  console.error(`usage: npm run bench -- --vm [${Object.keys(benches).join('|')} [SUITE…]]`);
  process.exit(2);
}
const { otherwise, ...bench } = benches[name as keyof typeof benches];
const asked = SUITES.filter((suite) => process.argv.slice(3).includes(suite));
const suites = asked.length > 0 ? asked : bench.suites;

// All there are: nothing else may run beside a measurement.
const lab = await openLab({ places: availableParallelism() });
try {
  for (const suite of suites) {
    const { status, output } = await lab.run({
      suite,
      files: { ...projectFiles, ...sourceFiles },
      script: `cd ${projectFolder} && node build/bench/${name}.ts`,
      timeoutSeconds: 1800,
    });
    console.log(`\n${suite}: ${status === 0 ? 'as it should be' : otherwise}\n${output}`);
    process.exitCode ||= status;
  }
} finally {
  await lab.close();
}
