/**
 * The guides that take a hub of its own, word for word on a hub and a Docker host: how to set it up, and IPv6 alone. But
 * for where the image is from, and how files get from one machine to the other.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, test } from 'node:test';
import { testImage } from '../../build/host/engine.ts';
import { type Guest, openLab } from '../../build/lab/index.ts';
import { blocksOf } from '../support/page-blocks.ts';
import { hostFiles, sh } from './guest-host.ts';

const lab = await openLab({ places: 2, isLong: true });
after(() => lab.close());

test('docs/hub.md from the seed to the first ping; then docs/ipv6.md, IPv6 alone', async () => {
  const segment = lab.segment();
  const [hub, host] = await Promise.all([
    lab.boot({
      suite: 'trixie',
      hostname: 'hub',
      init: 'systemd',
      memoryMegabytes: 1024,
      files: hostFiles,
      networks: [{ segment, address: '10.77.0.1/24' }],
    }),
    lab.boot({
      // Older engines have no network without IPv4.
      suite: 'forky',
      hostname: 'host',
      init: 'systemd',
      memoryMegabytes: 1024,
      files: hostFiles,
      networks: [{ segment, address: '10.77.0.2/24' }],
    }),
  ]);
  // The guide's hub has no Docker, whose engine starts in a guest with systemd.
  await sh(hub, 'systemctl stop docker.socket docker; nft flush ruleset');
  await sh(
    host,
    `echo 10.77.0.1 hub.example.org >>/etc/hosts
     wgdriver service install
     import_image; docker tag ${testImage} alpine`,
  );

  const [, setUp = ''] = (await readFile('docs/hub.md', 'utf8')).split('\n## Set it up\n');
  const [seed = '', onHub = '', network = ''] = blocksOf(setUp, 'sh');
  await runOnBoth(host, hub, seed);
  await writeHubFile(hub, setUp);
  const publicKey = /public key (\S+)/.exec(await sh(hub, onHub))?.[1] ?? assert.fail('no public key');
  await sh(host, network.replace('HUB_PUBLIC_KEY', publicKey));
  await sh(host, 'docker network rm wgnet');

  const [, alone = ''] = (await readFile('docs/ipv6.md', 'utf8')).split('\n## IPv6 alone\n');
  const [onHubAlone = '', networkAlone = '', container = ''] = blocksOf(alone, 'sh');
  await writeHubFile(hub, alone);
  assert.match(await sh(hub, onHubAlone), /network app: 0 of 100 peers/);
  await sh(host, networkAlone.replace('HUB_PUBLIC_KEY', publicKey));
  const output = await sh(host, container);
  assert.match(output, /default via fd00:5::1 dev wg0/);
  assert.match(output, / 0% packet loss/);
  await Promise.all([hub, host].map((guest) => guest.powerOff({ hard: true })));
});

/** The page's first file, which names its own path. */
async function writeHubFile(hub: Guest, page: string): Promise<void> {
  const [file = ''] = blocksOf(page, 'yaml');
  assert.match(file, /^# \/etc\/wgdriver\/hub\.yaml\n/);
  await sh(hub, `cat >/etc/wgdriver/hub.yaml <<'END'\n${file}END`);
}

/** Commands of the host; what it runs on the hub by ssh(1), or copies there by scp(1), gets there without them. */
async function runOnBoth(host: Guest, hub: Guest, commands: string): Promise<void> {
  for (const line of commands.trim().split('\n')) {
    const [, onHub] = /^ssh root@\S+ (.*)/.exec(line) ?? [];
    const [, file = '', folder] = /^scp (\S+) root@[^:]+:(\S+)/.exec(line) ?? [];
    if (onHub !== undefined) {
      await sh(hub, onHub);
    } else if (folder !== undefined) {
      const content = await sh(host, `base64 -w 0 ${file}`);
      await sh(hub, `umask 077; base64 -d <<<${content} >${folder}$(basename ${file})`);
    } else {
      await sh(host, line);
    }
  }
}
