/** Pages word for word, but for where the link, the image and a hub of another machine come from. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { attempt, run, sh } from '../../build/host/commands.ts';
import { examplesImage, importExamplesImage } from '../../build/host/compose.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { hostForTests } from '../../build/host/host.ts';
import { withHub } from '../../build/host/hub.ts';
import { inFullRun } from '../../build/host/scenarios.ts';

const host = await hostForTests();
await importExamplesImage(host.engine, host.tunnel);
const image = 'alpine';

/** The blocks of a language, in their order, without the indentation of the list that they stand in. */
function blocksOf(page: string, language: string): string[] {
  return [...page.matchAll(new RegExp(`^( *)\`\`\`${language}\n([\\s\\S]*?)^ *\`\`\`$`, 'gm'))].map(
    ([, indentation = '', text = '']) => text.replaceAll(new RegExp(`^${indentation}`, 'gm'), ''),
  );
}

/** Runs commands in a folder of their own with `wgdriver` among the programs. */
async function runCommands(commands: string, files: Readonly<Record<string, string>> = {}): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-tutorial-'));
  const programs = join(folder, 'programs');
  const place = join(folder, 'wgdriver-page');
  await run('mkdir', [programs, place]);
  // No link: a driver may look for what it runs beside the file that it was called by.
  await writeFile(join(programs, 'wgdriver'), `#!/bin/sh\nexec ${wgdriver} "$@"\n`, { mode: 0o755 });
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(place, name), text);
  }
  await host.engine.docker('tag', examplesImage, image);
  try {
    await run('sh', ['-euc', `cd ${place}\nPATH=${programs}:$PATH\n${commands}`]);
  } finally {
    await host.engine.docker('rmi', image);
    await rm(folder, { recursive: true });
  }
}

test('the tutorial works as it is written', async () => {
  const text = await readFile('docs/tutorial.md', 'utf8');
  await runCommands(
    blocksOf(text, 'sh')
      .join('\n')
      .replace('ip link add wg0 type wireguard', `(set -- wg0; ${host.tunnel.create})`),
  );
});

test('the README’s first ping works as it is written, from the hub on', async () => {
  const [block = ''] = blocksOf(await readFile('README.md', 'utf8'), 'sh');
  const [, commands = ''] = block.split('# a hub\n');
  await runCommands(
    `${commands.replace('ip link add wg0 type wireguard', `(set -- wg0; ${host.tunnel.create})`)}
     docker network rm wgnet; ip link delete wg0; rm /etc/wgdriver/app.seed /etc/wgdriver/hub.key`,
  );
});

test('the page about Compose works as it is written, up to its hub', { skip: inFullRun }, async () => {
  const text = await readFile('docs/compose.md', 'utf8');
  const seed = '/etc/wgdriver/app.seed';
  await sh('umask 077; mkdir -p "$(dirname "$1")"; "$2" keys seed >"$1"', seed, wgdriver);
  const hasPlugin = (await attempt('docker', ['compose', 'version'])).status === 0;
  const [composeFile = ''] = blocksOf(text, 'yaml');
  const commands = blocksOf(text, 'sh').join('\n');
  try {
    await withHub({ tunnel: host.tunnel, name: 'compose', hop: 5 }, async (hub) => {
      await hub.configure(`--seed-file=${seed}`, '--peers=20', '192.168.5.0/24');
      await runCommands(
        commands
          .replace('=HUB_PUBLIC_KEY', `=${hub.publicKey}`)
          .replaceAll('docker compose', hasPlugin ? 'docker compose' : 'docker-compose')
          .replaceAll('compose exec', 'compose exec -T'),
        { 'compose.yaml': composeFile.replace('hub.example.org:51820', hub.endpoint) },
      );
    });
  } finally {
    await rm(seed);
  }
});
