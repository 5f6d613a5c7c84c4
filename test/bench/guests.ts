/** `npm run bench -- --vm`: test/bench/speed.ts with the kernel's WireGuard, in a guest of each suite in turn. */

import { availableParallelism } from 'node:os';
import { projectFiles, projectFolder } from '../guests/project.ts';
import { openLab, SUITES } from '../lab/index.ts';

// All there are: nothing else may run beside a measurement.
const lab = await openLab({ places: availableParallelism() });
try {
  for (const suite of SUITES) {
    const { status, output } = await lab.run({
      suite,
      files: projectFiles,
      script: `cd ${projectFolder} && node test/bench/speed.ts`,
      timeoutSeconds: 900,
    });
    console.log(
      `\n${suite}: ${status === 0 ? 'as it should be' : 'under 0.9 of plain WireGuard, or failed'}\n${output}`,
    );
    process.exitCode ||= status;
  }
} finally {
  await lab.close();
}
