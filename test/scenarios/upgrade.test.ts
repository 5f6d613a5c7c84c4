import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../build/host/commands.ts';
import { startDriver, startFirstRelease, stateFolder } from '../../build/host/driver.ts';
import { testImage } from '../../build/host/engine.ts';
import { hostForTests } from '../../build/host/host.ts';
import { article, tunnelIpv6 } from '../../build/host/hub.ts';
import { asWrittenBy010 } from '../../build/host/state.ts';
import { expectNoTraceSince, takeTraces } from '../../build/host/traces.ts';

const host = await hostForTests();
const { docker } = host.engine;

/** A bundle of 0.1.0, if there is one; else this driver's state is made that of 0.1.0 while it does not run. */
const bundle = process.env.WGDRIVER_TEST_BUNDLE_0_1_0;

async function start010(): Promise<void> {
  if (bundle !== undefined) {
    await host.driver.stop();
    host.driver = await startFirstRelease(bundle, '--backend', host.tunnel.backend);
  }
}

async function upgrade(): Promise<void> {
  await host.driver.stop('SIGKILL');
  if (bundle === undefined) {
    await asWrittenBy010(stateFolder);
  }
  host.driver = await startDriver('--backend', host.tunnel.backend);
}

test('from 0.1.0 over running containers: they keep their tunnels, and come and go as before', async () => {
  const before = await takeTraces();
  await start010();
  await host.createNetwork('wgnet');
  await host.startContainer('one', '--network=wgnet');
  await host.startContainer('two', '--network=wgnet');
  await docker('create', '--name=three', '--network=wgnet', testImage, 'sleep', '100000');
  await host.ping('one', host.hub.address);
  await upgrade();

  await host.hub.exec('ping', '-c', '1', '-W', '5', article.firstAddress);
  await host.ping('one', host.hub.address);
  await docker('restart', '-t', '0', 'one');
  await host.ping('one', host.hub.address);
  await docker('start', 'three');
  await host.ping('three', host.hub.address);
  // The kill switch keeps up with what comes after the upgrade, in a container of before.
  await docker('network', 'create', '--subnet=172.30.7.0/24', 'abridge');
  await docker('network', 'connect', 'abridge', 'two');
  await host.ping('two', host.hub.address);
  await until('the kill switch has followed', async () => {
    const { status } = await host.engine.tryDocker('exec', 'two', 'ping', '-c', '1', '-W', '1', '172.30.7.1');
    return status === 0;
  });
  await docker('network', 'disconnect', 'wgnet', 'two');
  await until('the protection is gone', async () => !/30567/.test(await host.enter('two', 'ip', 'rule')));
  await host.clear();
  // Made anew with IPv6 it has the keys of before: the hub's file still fits.
  await host.createNetwork('wgnet', { options: { ipv6: tunnelIpv6.prefix } });
  await host.startContainer('one', '--network=wgnet');
  await host.ping('one', host.hub.address);
  // With its IPv6 addresses besides, IPv6 passes too.
  await host.hub.keepingPeers(async () => {
    const scheme = [`--seed=${article.seed}`, `--additional=${article.additional}`];
    await host.hub.sync(...scheme, '--peers=20', `--ipv6=${tunnelIpv6.prefix}`, article.subnet);
    await host.hub.exec('ip', 'address', 'replace', `${tunnelIpv6.hub}/120`, 'dev', 'wg-hub');
    await host.ping('one', tunnelIpv6.hub);
    await host.hub.exec('ip', 'address', 'delete', `${tunnelIpv6.hub}/120`, 'dev', 'wg-hub');
  });
  await host.clear();
  await expectNoTraceSince(before);
  assert.doesNotMatch(host.driver.output(), / (?:error|warn) .*(?:state|stale|unfinished)/);
});
