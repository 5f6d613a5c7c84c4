import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attempt, sh, until } from '../../build/host/commands.ts';
import { wgdriver } from '../../build/host/driver.ts';
import { hostForTests } from '../../build/host/host.ts';
import { inFullRun } from '../../build/host/scenarios.ts';

const host = await hostForTests();

/** Of the hub, by no link of this host: only the default route leads there. */
const farHub = '203.0.113.77';

test('a host with a VPN of its own that takes everything: doctor names it, and fwmark leads past it', {
  skip: inFullRun,
}, async () => {
  const [hubAddress = '', port = ''] = host.hub.endpoint.split(':');
  await host.hub.exec('ip', 'address', 'add', `${farHub}/32`, 'dev', 'lo');
  try {
    // As `wg-quick up` leaves it, with a peer that leads nowhere.
    await sh(
      `${host.tunnel.create.replaceAll('$1', 'vpn0')}
       ip route add default via "$1" metric 7
       wg genkey | wg set vpn0 private-key /dev/stdin fwmark 0xca6c \\
         peer "$2" endpoint "$1:9" allowed-ips 0.0.0.0/0
       ip link set vpn0 up
       ip route add default dev vpn0 table 51820
       ip rule add not fwmark 0xca6c table 51820
       ip rule add table main suppress_prefixlength 0`,
      hubAddress,
      host.hub.publicKey,
    );
    const rules = await sh('ip rule; ip route show table all; wg show vpn0 fwmark');
    const peer = `${farHub}:${port}`;
    await host.createNetwork('wgnet', { options: { peer } });
    await host.startContainer('one', '--network=wgnet');
    await until(
      'doctor to name the VPN',
      async () => {
        const { stdout } = await attempt(wgdriver, ['doctor', '--json']);
        const { checks } = JSON.parse(stdout) as { checks: { name: string; fix?: string }[] };
        const { fix = '' } = checks.find(({ name }) => name === 'handshakes') ?? {};
        return /vpn0, a VPN on this host.*-o io\.bestov\.wg\.fwmark=0xca6c$/.test(fix);
      },
      90_000,
    );
    assert.notEqual(
      (await host.engine.tryDocker('exec', 'one', 'ping', '-c1', '-W2', host.hub.address)).status,
      0,
    );

    await host.clear();
    await host.createNetwork('wgnet', { options: { peer, fwmark: '0xca6c' } });
    await host.startContainer('one', '--network=wgnet');
    await host.ping('one', host.hub.address);
    assert.equal((await host.wgShow('one', 'endpoints')).split('\t')[1], peer);
    await host.clear();
    assert.equal(await sh('ip rule; ip route show table all; wg show vpn0 fwmark'), rules);
  } finally {
    await sh(
      `set +e
       ip rule del table main suppress_prefixlength 0
       ip rule del not fwmark 0xca6c table 51820
       ip route del default metric 7
       ip link del vpn0`,
    );
    await host.hub.exec('ip', 'address', 'del', `${farHub}/32`, 'dev', 'lo');
  }
});
