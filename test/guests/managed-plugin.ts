import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { run } from '../../build/host/commands.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { article, tunnelIpv6 } from '../../build/host/hub.ts';
import { managedPlugin, pluginFolder } from '../../build/host/plugin.ts';
import type { GuestFiles } from '../../build/lab/index.ts';
import { scratchFolder } from '../../build/lab/scratch.ts';

/** What the seed of the article is in a guest with the managed plugin, as the examples have it. */
export const seedFile = '/etc/wgdriver/app.seed';

/**
 * The managed plugin as this machine's engine has created it, for a guest's engine to find at its start: in a minute and
 * a half less than an emulated machine takes to compress it. `remove` the folder when all guests have booted.
 */
export async function createdPlugin(): Promise<{ files: GuestFiles; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(scratchFolder(), 'wgdriver-plugin-'));
  const script = `
    dockerd --cgroup-parent "$WGDRIVER_TEST_CGROUP" >/run/dockerd.log 2>&1 &
    until docker version >/dev/null 2>&1; do sleep 0.2; done
    docker plugin create ${managedPlugin} "$1"
    kill $!
    wait
    cp -a /var/lib/docker/plugins "$2"`;
  await run(process.execPath, [
    resolve('build/host/sandboxed.ts'),
    'sh',
    '-euc',
    script,
    'sh',
    pluginFolder,
    folder,
  ]);
  return {
    files: {
      '/var/lib/docker/plugins': join(folder, 'plugins'),
      [seedFile]: Buffer.from(`${article.seed}\n`),
    },
    remove: async () => {
      await run('rm', ['-r', folder]);
    },
  };
}

/** What makes a guest a hub for the examples: a peer for each address, of both families, with the default additional. */
export async function exampleHubFiles(): Promise<GuestFiles> {
  const peers = await run(wgdriver, [
    'endpoint-config',
    '--format=setconf',
    `--seed=${article.seed}`,
    `--ipv6=${tunnelIpv6.prefix}`,
    article.subnet,
  ]);
  assert.match(peers, /PublicKey/);
  return { '/root/hub.peers': Buffer.from(`${peers}\n`) };
}

/** Functions of bash(1) for guests with the managed plugin, beside those of guest-host.ts. */
export const pluginFunctions = `
  # Enables the plugin, with settings NAME=VALUE. Its first start reads 120 MB from an emulated disk, which on a busy
  # machine takes longer than the 10 seconds that the engine gives it.
  enable_plugin() {
    chmod 600 ${seedFile}
    mkdir -p /var/lib/wgdriver-plugin
    [ $# = 0 ] || docker plugin set ${managedPlugin} "$@"
    chroot /var/lib/docker/plugins/*/rootfs /usr/bin/wgdriver --version 2>/dev/null
    for try in 1 2 3 4; do
      docker plugin enable ${managedPlugin} 2>/dev/null && return
    done
    docker plugin enable ${managedPlugin}
  }

  plugin_process() { pgrep -f '^/usr/bin/wgdriver serve'; }
`;
