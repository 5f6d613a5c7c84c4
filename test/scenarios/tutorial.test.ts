/** docs/tutorial.md word for word, but for where the link and the image come from. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../../build/host/commands.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { testImage } from '../../build/host/engine.ts';
import { hostForTests } from '../../build/host/host.ts';

const host = await hostForTests();
const image = 'alpine';

test('the tutorial works as it is written', async () => {
  const text = await readFile('docs/tutorial.md', 'utf8');
  const blocks = [...text.matchAll(/^```sh\n(?<commands>[\s\S]*?)^```$/gm)].map(
    ({ groups }) => groups?.commands ?? '',
  );
  const commands = blocks
    .join('\n')
    .replace('ip link add wg0 type wireguard', `(set -- wg0; ${host.tunnel.create})`);
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-tutorial-'));
  // No link: a driver may look for what it runs beside the file that it was called by.
  await writeFile(join(folder, 'wgdriver'), `#!/bin/sh\nexec ${wgdriver} "$@"\n`, { mode: 0o755 });
  await host.engine.docker('tag', testImage, image);
  try {
    await run('sh', ['-euc', `PATH=${folder}:$PATH\n${commands}`]);
  } finally {
    await host.engine.docker('rmi', image);
    await rm(folder, { recursive: true });
  }
});
