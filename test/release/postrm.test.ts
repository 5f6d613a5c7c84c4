// What a Debian package's purge leaves of tunnels that containers share, in namespaces of its own.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { until } from '../../build/host/commands.ts';
import { beginKeeper, isKept } from '../../src/programs/keeper.ts';
import { enterFreshNamespace } from '../support/fresh-namespace.ts';

const { skip } = await enterFreshNamespace('setsid', 'unshare');

test('purge ends the processes that hold tunnels of its own networks, and takes the state away', {
  skip,
}, async () => {
  assert(!existsSync('/usr/bin/wgdriver'), 'this machine has the package, whose files are in the way');
  const keepers = await Promise.all(
    ['n1', 'n2', 'n1-of-another-driver'].map((id) => beginKeeper(`shared tunnel of network ${id}`)),
  );
  for (const { stay } of keepers) {
    stay();
  }
  const script = `set -e
    for folder in /var/lib /etc; do mount -t tmpfs tmpfs $folder; done
    mkdir -p /var/lib/wgdriver/networks /etc/wgdriver
    touch /var/lib/wgdriver/networks/n1.json /var/lib/wgdriver/networks/n2.json /var/lib/wgdriver/networks/gone.json
    sh build/release/debian/postrm "$1"`;
  const postrm = (word: string) => spawnSync('sh', ['-c', script, 'sh', word], { encoding: 'utf8' });
  const { status, stderr } = postrm('upgrade');
  assert.equal(status, 0, stderr);
  const kept = () => Promise.all(keepers.map(({ keeper }) => isKept(keeper)));
  assert.deepEqual(await kept(), [true, true, true]);
  assert.equal(postrm('purge').status, 0);
  await until('they have ended', async () => (await kept()).join() === 'false,false,true');
  assert(!existsSync('/var/lib/wgdriver'));
  assert(!existsSync('/etc/wgdriver'));
});
