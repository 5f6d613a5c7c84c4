// The set-up scripts of the Compose examples, with programs that work or fail in the place of wgdriver and wg.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const examples = fileURLToPath(new URL('../../compose-examples', import.meta.url));

for (const [example, seeds, args] of [
  ['dual-stack', ['seed'], []],
  ['hub-and-app', ['seed'], []],
  ['remote-hub', ['seed'], ['hub.example:51820', 'KEY']],
  ['split-tunnel', ['seed'], []],
  ['two-networks', ['blue.seed', 'green.seed'], []],
] as const) {
  test(`${example}: a set-up that fails leaves no empty seed, and one that succeeds keeps the seed there is`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'wgdriver-setup-'));
    t.after(() => rm(folder, { recursive: true }));
    const programs = join(folder, 'programs');
    const place = join(folder, example);
    await mkdir(programs);
    await mkdir(place);
    await copyFile(join(examples, example, 'setup.sh'), join(place, 'setup.sh'));
    const setUp = () =>
      spawnSync('sh', [join(place, 'setup.sh'), ...args], {
        env: { ...process.env, PATH: `${programs}:${process.env.PATH}` },
      }).status;
    const program = (name: string, line: string) =>
      writeFile(join(programs, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });

    await program('wg', 'echo KEY');
    await program('wgdriver', 'exit 127');
    assert.notEqual(setUp(), 0);
    for (const seed of seeds) {
      assert(!(await readdir(join(place, 'secrets'))).includes(seed), seed);
    }

    // As a version before this one left it.
    await writeFile(join(place, 'secrets', seeds[0]), '');
    await program('wgdriver', 'echo SEED');
    assert.equal(setUp(), 0);
    await program('wgdriver', 'echo ANOTHER');
    assert.equal(setUp(), 0);
    for (const seed of seeds) {
      assert.equal(await readFile(join(place, 'secrets', seed), 'utf8'), 'SEED\n');
    }
  });
}
