/** Pages word for word, but for where the link, the image and a hub of another machine come from. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { attempt, run, sh } from '../../build/host/commands.ts';
import { examplesImage, importExamplesImage } from '../../build/host/compose.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { hostForTests } from '../../build/host/host.ts';
import { article, withHub } from '../../build/host/hub.ts';
import { inFullRun } from '../../build/host/scenarios.ts';
import { blocksOf } from '../support/page-blocks.ts';

const host = await hostForTests();
await importExamplesImage(host.engine, host.tunnel);
const image = 'alpine';

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

test('the page about a provider’s file works as it is written, up to its provider', {
  skip: inFullRun,
}, async () => {
  const [one = '', several = ''] = blocksOf(await readFile('docs/conf-file.md', 'utf8'), 'sh');
  const settings = { tunnel: host.tunnel, name: 'provider', hop: 3, address: '10.64.0.1/24' };
  await withHub(settings, async (provider) => {
    const privateKey = await sh('wg genkey');
    const publicKey = await sh('echo "$1" | wg pubkey', privateKey);
    await provider.configure(`--seed=${article.seed}`, '--peers=1', '10.64.0.0/24');
    await provider.exec('wg', 'set', 'wg-provider', 'peer', publicKey, 'allowed-ips', '10.64.0.7/32');
    const conffile = [
      `[Interface]\nPrivateKey = ${privateKey}\nAddress = 10.64.0.7/32\nDNS = 10.64.0.1`,
      `[Peer]\nPublicKey = ${provider.publicKey}\nAllowedIPs = 0.0.0.0/0\nEndpoint = ${provider.endpoint}\n`,
    ];
    await runCommands(
      `${one.replace('DNS_OF_THE_FILE', '10.64.0.1').replace('wget -qO- https://example.org', 'ping -c 3 10.64.0.1')}
       docker network rm vpn
       ${several}
       docker exec one ping -c 3 10.64.0.1
       docker rm -f one two; docker network rm vpn; rm /etc/wgdriver/provider.conf`,
      { 'provider.conf': conffile.join('\n') },
    );
  });
});

test('a published port as docs/leaks.md has it', { skip: inFullRun }, async () => {
  const [, published = ''] = (await readFile('docs/leaks.md', 'utf8')).split('## Published ports');
  await host.createNetwork('wgnet');
  const page = 'mkdir /tmp/www; echo hello >/tmp/www/index.html; exec httpd -f -p 80 -h /tmp/www';
  await runCommands(
    `${blocksOf(published, 'sh')[0]?.replace('nginx:alpine', `alpine sh -c '${page}'`)}
     said=$(busybox wget -qO- http://127.0.0.1:8080/) || { sleep 2; said=$(busybox wget -qO- http://127.0.0.1:8080/); }
     docker rm -f web; docker network rm front wgnet
     [ "$said" = hello ]`,
  );
});
