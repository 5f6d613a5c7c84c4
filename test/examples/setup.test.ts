// The set-up scripts of the Compose examples, with programs that work or fail in the place of wgdriver and wg.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const examples = fileURLToPath(new URL('../../compose-examples', import.meta.url));

for (const [example, seeds, args] of [
  ['dual-stack', ['secrets/seed'], []],
  ['hub-and-app', ['secrets/seed'], []],
  ['hub-on-this-host', ['secrets/seed', 'secrets/phone.seed'], ['host.example']],
  ['remote-hub', ['secrets/seed'], ['hub.example:51820', 'KEY']],
  ['seed-file', ['etc/app.seed'], []],
  ['split-tunnel', ['secrets/seed'], []],
  ['two-networks', ['secrets/blue.seed', 'secrets/green.seed'], []],
] as const) {
  test(`${example}: a set-up that fails leaves no empty seed, and one that succeeds keeps the seed there is`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'wgdriver-setup-'));
    t.after(() => rm(folder, { recursive: true }));
    const programs = join(folder, 'programs');
    const place = join(folder, example);
    await mkdir(programs);
    await mkdir(place);
    const text = await readFile(join(examples, example, 'setup.sh'), 'utf8');
    await writeFile(join(place, 'setup.sh'), text.replaceAll('/etc/wgdriver', join(place, 'etc')));
    const setUp = () =>
      spawnSync('sh', [join(place, 'setup.sh'), ...args], {
        env: { ...process.env, PATH: `${programs}:${process.env.PATH}` },
      }).status;
    const program = (name: string, line: string) =>
      writeFile(join(programs, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });

    await program('wg', 'echo KEY');
    // What would change this machine.
    for (const name of ['ip', 'iptables', 'sysctl', 'wireguard-go']) {
      await program(name, 'exit 0');
    }
    await program('wgdriver', 'exit 127');
    assert.notEqual(setUp(), 0);
    for (const seed of seeds) {
      assert(!(await readdir(join(place, dirname(seed)))).includes(basename(seed)), seed);
    }

    // As a version before this one left it.
    await writeFile(join(place, seeds[0]), '');
    await program('wgdriver', 'echo SEED');
    assert.equal(setUp(), 0);
    await program('wgdriver', 'echo ANOTHER');
    assert.equal(setUp(), 0);
    for (const seed of seeds) {
      assert.equal(await readFile(join(place, seed), 'utf8'), 'SEED\n');
    }
  });
}
