import assert from 'node:assert/strict';
import { appendFile } from 'node:fs/promises';
import { test } from 'node:test';
import { attempt, until } from '../../build/host/commands.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { importTestImage, testImage } from '../../build/host/engine.ts';
import { hostForTests } from '../../build/host/host.ts';
import { inFullRun } from '../../build/host/scenarios.ts';

const host = await hostForTests();
const { docker, tryDocker } = host.engine;

test('with userns-remap tunnels and protection are the same, and NET_ADMIN in the container is as much', {
  skip: inFullRun,
}, async () => {
  for (const file of ['/etc/subuid', '/etc/subgid']) {
    await appendFile(file, 'nobody:165536:65536\nnogroup:165536:65536\n');
  }
  await host.engine.stop();
  try {
    await host.engine.start('--userns-remap=nobody:nogroup');
    await importTestImage(host.engine, ['ip', 'nft', 'wg']);
    await host.createNetwork('wgnet');
    await docker('network', 'create', 'zbridge');
    for (const [name, ...args] of [['one'], ['admin', '--cap-add=NET_ADMIN']] as const) {
      await host.startContainer(name, '--network=wgnet', ...args);
      await docker('network', 'connect', 'zbridge', name);
      await host.ping(name, host.hub.address);
      assert.match(await host.exec(name, 'cat', '/proc/self/uid_map'), /^ *0 +165536 +65536$/m);
    }

    // Of the host beyond the bridge, whose own address answers whoever asks for it there.
    const outside = host.hub.endpoint.replace(/2:.*/, '1');
    const reaches = async (name: string) =>
      (await tryDocker('exec', name, 'ping', '-I', 'eth0', '-c', '1', '-W', '1', outside)).status === 0;
    const statuses = async () =>
      (
        JSON.parse((await attempt(wgdriver, ['status', '--json', 'one', 'admin'])).stdout) as {
          killswitch: string;
        }[]
      ).map(({ killswitch }) => killswitch);
    await until('both are protected', async () => (await statuses()).join() === 'up,up');

    for (const [name, isGranted] of [
      ['one', false],
      ['admin', true],
    ] as const) {
      assert.equal(await reaches(name), false, name);
      const { stdout } = await tryDocker('exec', name, 'nft', 'list', 'tables');
      for (const [, table = ''] of stdout.matchAll(/^table (.*wgdriver.*)$/gm)) {
        await docker('exec', name, 'nft', 'delete', 'table', ...table.split(' '));
      }
      assert.equal(await reaches(name), isGranted, name);
      if (host.tunnel.backend !== 'userspace') {
        const shown = await tryDocker('exec', name, 'wg', 'show', 'wg0', 'private-key');
        assert.equal(/^[A-Za-z0-9+/]{43}=$/.test(shown.stdout.trim()), isGranted, `${name}: ${shown.stderr}`);
      }
    }
    const { stderr } = await tryDocker('run', '--rm', '--privileged', '--network=wgnet', testImage, 'true');
    assert.match(stderr, /privileged mode is incompatible with user namespaces/);
    await docker('restart', '-t', '0', 'one');
    await host.ping('one', host.hub.address);
    assert.equal(await reaches('one'), false);
  } finally {
    await host.clear();
    await host.engine.stop();
    await host.engine.start();
  }
});
