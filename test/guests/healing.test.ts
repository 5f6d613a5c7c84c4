/**
 * A hundred containers, and a hub that moves, with the kernel's WireGuard in a guest: what takes ten minutes of real time, and
 * what docs/reliability.md says of it.
 */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after, test } from 'node:test';
import { openLab } from '../../build/lab/index.ts';
import { projectFiles, projectFolder, sourceFiles } from '../../build/lab/project.ts';

const file = 'test/guests/inside/healing.test.ts';

test('healing in the course of time, with the kernel’s WireGuard', async () => {
  const lab = await openLab();
  after(() => lab.close());
  const { status, output } = await lab.run({
    suite: 'trixie',
    files: { ...projectFiles, ...sourceFiles, [`${projectFolder}/${file}`]: resolve(file) },
    // Not by `node --test`, which enters no namespace of its own. By netlink, as the executable does it.
    script: `cd ${projectFolder} && WGDRIVER_TEST_BACKEND=netlink node ${file}`,
    timeoutSeconds: 2400,
  });
  // How long everything took is in it.
  console.log(output);
  assert.equal(status, 0, output);
  assert.match(output, /pass 1$/m);
});
