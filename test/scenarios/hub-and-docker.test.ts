// `wgdriver hub` on a host that also runs Docker, whose containers use it as those of any other host do.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { attempt, run, until } from '../../build/host/commands.ts';
import { startDaemon, untilReady } from '../../build/host/daemon.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { hostForTests } from '../../build/host/host.ts';
import { article } from '../../build/host/hub.ts';
import { inFullRun } from '../../build/host/scenarios.ts';

const host = await hostForTests();

test('firewall: docker-user opens the hub’s way through Docker’s drop policy, and is closed again', {
  skip: inFullRun,
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'wgdriver-hub-'));
  const file = join(folder, 'hub.yaml');
  const without = `
interface: wg-beside
port: 51830
networks:
  app: { subnet: ${article.subnet}, seedfile: app.seed, additional: ${article.additional}, peers: 9 }
`;
  await writeFile(file, without);
  await writeFile(join(folder, 'app.seed'), article.seed, { mode: 0o600 });
  const settings = [`--config=${file}`, `--state-dir=${folder}`, `--backend=${host.tunnel.backend}`];
  const hub = startDaemon(wgdriver, ['hub', 'serve', ...settings]);
  const rules = async () =>
    (await run('iptables', ['-S', 'DOCKER-USER'])).match(/wgdriver-hub-wg-beside/g) ?? [];
  const untilRulesAre = (count: number) =>
    until(`there are ${count} rules`, async () => (await rules()).length === count);
  const load = async (text: string) => {
    await writeFile(file, text);
    process.kill(hub.pid, 'SIGHUP');
  };
  const check = async () => (await attempt(wgdriver, ['hub', 'check', `--config=${file}`])).stdout;
  const reaches = async () =>
    (await attempt('docker', ['exec', 'one', 'ping', '-c', '1', '-W', '1', '192.168.5.3'])).status === 0;
  try {
    await untilReady(hub, 'the hub serves', () => hub.output().includes(' serving '));
    const peerkey = await run('wg', ['show', 'wg-beside', 'public-key']);
    await host.createNetwork('wgnet', { options: { peer: '127.0.0.1:51830', peerkey } });
    await host.startContainer('one', '--network=wgnet');
    await host.startContainer('two', '--network=wgnet');
    for (const name of ['one', 'two']) {
      await host.ping(name, '192.168.5.1');
    }

    assert.match(await check(), /Docker has set the policy of iptables’s chain FORWARD to drop/);
    assert.equal(await reaches(), false);
    await load(`${without}firewall: docker-user\n`);
    assert.match(await check(), /no firewall on this host blocks it/);
    await untilRulesAre(2);
    await host.ping('one', '192.168.5.3');
    // Docker leaves its users' chain alone.
    await host.engine.stop();
    await host.engine.start();
    assert.equal((await rules()).length, 2);
    await load(without);
    await untilRulesAre(0);
  } finally {
    await host.clear();
    await hub.stop();
    await attempt(wgdriver, ['hub', 'down', ...settings]);
    await rm(folder, { recursive: true });
  }
});
