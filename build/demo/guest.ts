/** `npm run demo -- --vm [SUITE]`: the demo in a guest, with the kernel's WireGuard and the suite's engine. */
import { resolve } from 'node:path';
import { openLab, SUITES, type Suite } from '../lab/index.ts';
import { projectFiles, projectFolder } from '../lab/project.ts';

const [word = 'trixie'] = process.argv.slice(2);
const suite = SUITES.find((known) => known === word);
if (suite === undefined) {
  console.error(`npm run demo -- --vm: expected one of ${SUITES.join(', ')}, not ${word}`);
  process.exitCode = 2;
} else {
  await demo(suite);
}

async function demo(suite: Suite): Promise<void> {
  console.log(`A guest of ${suite}. The first time its kernel and its image are made, which takes minutes.`);
  const lab = await openLab();
  try {
    const { status } = await lab.run({
      suite,
      files: { ...projectFiles, [`${projectFolder}/dist/demo.mjs`]: resolve('dist/demo.mjs') },
      script: `cd ${projectFolder} && node dist/demo.mjs`,
      onOutput: (chunk) => process.stdout.write(chunk),
      timeoutSeconds: 600,
    });
    process.exitCode = status;
  } finally {
    await lab.close();
  }
}
