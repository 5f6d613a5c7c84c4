/**
 * The cases of moby's integration-cli/docker_cli_network_unix_test.go that exercise a network driver, on ours.
 * TestDockerNetworkNullIPAMDriver is in refusals.test.ts: without a subnet there is no key to derive.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startDriver } from '../../build/host/driver.ts';
import { testImage } from '../../build/host/engine.ts';
import { hostForTests } from '../../build/host/host.ts';

const host = await hostForTests();

test('TestDockerNetworkIPAMMultipleNetworks: several subnets, gateways, a range and reserved addresses', async () => {
  await host.createNetwork('test6', { subnet: '10.170.0.0/16', args: ['--subnet=10.171.0.0/16'] });
  await host.createNetwork('test7', {
    subnet: '10.172.0.0/16',
    args: [
      '--subnet=10.173.0.0/16',
      '--gateway=10.172.0.100',
      '--gateway=10.173.0.100',
      '--ip-range=10.172.1.0/24',
      ...['a=10.172.1.0', 'b=10.172.1.1', 'c=10.173.1.5', 'd=10.173.1.6'].map(
        (aux) => `--aux-address=${aux}`,
      ),
    ],
  });
  const networks = (await host.engine.docker('network', 'ls', '--format={{.Name}}')).split('\n');
  assert.ok(networks.includes('test6') && networks.includes('test7'), networks.join());

  // docker's client sends the subnets in the order of a Go map, and the engine asks the first for an address.
  const ipam = await host.engine.docker('network', 'inspect', '--format={{json .IPAM.Config}}', 'test7');
  const isRangeFirst = JSON.parse(ipam)[0].Subnet === '10.172.0.0/16';

  // The gateway is the hub, so each subnet has its own.
  await host.startContainer('second', '--network=test6', '--ip=10.171.0.7');
  await host.startContainer('range', '--network=test7');
  await host.startContainer('gateway', '--network=test7', '--ip=10.173.2.2');
  const places = await Promise.all(
    ['second', 'range', 'gateway'].map((name) =>
      host.exec(name, 'sh', '-c', 'ip -o -4 address show wg0; ip route'),
    ),
  );
  const expected = [
    ['10.171.0.7/16', '10.171.0.1'],
    isRangeFirst ? ['10.172.1.2/16', '10.172.0.100'] : ['10.173.0.1/16', '10.173.0.100'],
    ['10.173.2.2/16', '10.173.0.100'],
  ];
  for (const [index, [address, gateway]] of expected.entries()) {
    assert.match(places[index] ?? '', new RegExp(` ${address} [^]*^default via ${gateway} dev wg0`, 'm'));
  }
  const { stderr } = await host.engine.tryDocker(
    'run',
    '--rm',
    '--network=test7',
    '--ip=10.173.1.5',
    testImage,
    'true',
  );
  assert.match(stderr, /already in use/i, 'a reserved address is not assigned');
});

test('TestDockerNetworkDriverOptions: options reach the driver, and Docker’s own do no harm', async () => {
  await host.createNetwork('testopt', {
    options: { mtu: '1380', keepalive: '7' },
    args: ['-o', 'com.docker.network.bridge.name=drv1'],
  });
  const options = JSON.parse(
    await host.engine.docker('network', 'inspect', '--format={{json .Options}}', 'testopt'),
  );
  assert.equal(options['com.docker.network.bridge.name'], 'drv1');
  assert.equal(options['io.bestov.wg.mtu'], '1380');
  await host.startContainer('one', '--network=testopt');
  assert.match(await host.exec('one', 'ip', 'link', 'show', 'wg0'), / mtu 1380 /);
  assert.match(await host.wgShow('one', 'persistent-keepalive'), /\t7$/);
  await host.ping('one', host.hub.address);
});

test('TestDockerNetworkDriverUngracefulRestart: engine and driver killed, and the same --ip serves again', async (t) => {
  await host.createNetwork('net1');
  const run = (name: string) => host.startContainer(name, '--network=net1', '--ip=192.168.5.10');
  await run('foo');
  await host.engine.stop('SIGKILL');
  await host.driver.stop('SIGKILL');
  const started = performance.now();
  await host.engine.start();
  t.diagnostic(`without the driver the engine started in ${Math.round(performance.now() - started)} ms`);
  host.driver = await startDriver('--backend', host.tunnel.backend);
  await run('bar');
  await host.ping('bar', host.hub.address);
});
