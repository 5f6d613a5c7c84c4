import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../../build/host/commands.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { hostForTests } from '../../build/host/host.ts';
import { article } from '../../build/host/hub.ts';

const host = await hostForTests();

const peers = async (...args: string[]) =>
  (await run(wgdriver, ['endpoint-config', '--format=setconf', ...args])).replaceAll(
    /^(#|ListenPort).*\n/gm,
    '',
  );

test('endpoint-config --network: the hub’s file from the engine, for whatever way the network was made', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-seed-'));
  const seedfile = join(folder, 'seed');
  await writeFile(seedfile, article.seed, { mode: 0o600 });
  const options = {
    peer: host.hub.endpoint,
    peerkey: host.hub.publicKey,
    seedfile,
    additional: article.additional,
  };
  const optionArgs = Object.entries(options).flatMap(([name, value]) => [
    '-o',
    `io.bestov.wg.${name}=${value}`,
  ]);
  const expected = await peers(
    `--seed=${article.seed}`,
    `--additional=${article.additional}`,
    '192.168.6.0/24',
  );
  try {
    await host.createNetwork('by-file', { subnet: '192.168.6.0/24', options: { seed: '', seedfile } });
    assert.equal(await peers('--network=by-file'), expected);
    await host.engine.docker('network', 'rm', 'by-file');

    await host.engine.docker(
      'network',
      'create',
      '--config-only',
      '--subnet=192.168.6.0/24',
      ...optionArgs,
      'config',
    );
    assert.equal(await peers('--network=config'), expected);
    await host.engine.docker(
      'network',
      'create',
      '-d',
      'wireguard-plugin',
      '--config-from=config',
      'from-config',
    );
    assert.equal(await peers('--network=from-config'), expected);

    // A second subnet, and no gateway shown.
    await host.createNetwork('two', {
      subnet: '192.168.7.0/24',
      args: ['--subnet=192.168.8.0/24', '--gateway=192.168.8.9'],
      options: { seed: '', seedfile },
    });
    const hub = await run(wgdriver, ['endpoint-config', '--network=two', '192.168.8.0/24']);
    assert.match(hub, /^Address = 192\.168\.8\.9\/24$/m);
  } finally {
    await rm(folder, { recursive: true });
  }
});
