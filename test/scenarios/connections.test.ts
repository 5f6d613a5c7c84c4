import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { until } from '../../build/host/commands.ts';
import { hostForTests } from '../../build/host/host.ts';
import { article } from '../../build/host/hub.ts';
import { inFullRun } from '../../build/host/scenarios.ts';

const host = await hostForTests();

const isFrom28 = Number.parseInt(host.engine.version, 10) >= 28;

const linksOf = async (container: string) =>
  (await host.exec(container, 'ls', '/sys/class/net')).split(/\s+/).sort();
const defaultRoutes = async (container: string) =>
  (await host.exec(container, 'ip', 'route')).split('\n').filter((line) => line.startsWith('default'));

test('two containers reach one another through the hub, by address, name and alias; their network is not removed', async () => {
  await host.createNetwork('wgnet');
  await host.startContainer('one', '--network=wgnet');
  await host.startContainer('two', '--network=wgnet', '--network-alias=second');
  await host.ping('one', '192.168.5.3');
  await host.ping('two', '192.168.5.2');
  await host.ping('one', 'two');
  await host.ping('one', 'second');

  const { status, stderr } = await host.engine.tryDocker('network', 'rm', 'wgnet');
  assert.notEqual(status, 0);
  assert.match(stderr, /has active endpoints/);
  await host.ping('one', host.hub.address);
});

test('disconnect takes the link away, connect brings it back', async () => {
  await host.createNetwork('wgnet');
  await host.startContainer('one', '--network=wgnet');
  await host.engine.docker('network', 'disconnect', 'wgnet', 'one');
  assert.deepEqual(await linksOf('one'), ['lo']);
  await host.engine.docker('network', 'connect', 'wgnet', 'one');
  // Engines up to 27 count on.
  assert.deepEqual(await linksOf('one'), ['lo', isFrom28 ? 'wg0' : 'wg1']);
  await host.ping('one', host.hub.address);
});

// several-networks.test.ts connects it to one that is on a bridge.
test('connect adds the network to a running container', { skip: inFullRun }, async () => {
  await host.createNetwork('wgnet');
  await host.startContainer('one', '--network=none');
  await host.engine.docker('network', 'disconnect', 'none', 'one');
  await host.engine.docker('network', 'connect', '--ip=192.168.5.7', 'wgnet', 'one');
  assert.match(await host.exec('one', 'ip', 'address', 'show', 'wg0'), /192\.168\.5\.7\/24/);
  await host.ping('one', host.hub.address);
});

test('an internal network reaches its subnet and has no default route', async () => {
  await host.createNetwork('wgnet', { args: ['--internal'] });
  await host.startContainer('one', '--network=wgnet');
  assert.deepEqual(await defaultRoutes('one'), []);
  assert.deepEqual(await linksOf('one'), ['lo', 'wg0']);
  await host.ping('one', host.hub.address);
});

const parts = ['64.0.0.0/2', '32.0.0.0/3', '16.0.0.0/4', '8.0.0.0/5', '4.0.0.0/6', '2.0.0.0/7', '1.0.0.0/8'];
// How each is split is of test/networks/routing.test.ts; here are the routes that an engine makes of it.
for (const [allowedips, expected, skip] of [
  ['10.20.0.0/16,128.0.0.0/2', ['10.20.0.0/16', '128.0.0.0/2', '192.168.5.0/24'], inFullRun],
  ['0.0.0.0/1', [...parts, '192.168.5.0/24'], false],
  ['128.0.0.0/1', ['128.0.0.0/1', '192.168.5.0/24'], inFullRun],
] as const) {
  test(`allowed IPs that are not everything, ${allowedips}: without the kill switch a route for each, and no default`, {
    skip,
  }, async () => {
    await host.createNetwork('wgnet', { options: { allowedips, killswitch: 'off' } });
    await host.startContainer('one', '--network=wgnet');
    assert.deepEqual(await defaultRoutes('one'), []);
    const routes = (await host.exec('one', 'ip', 'route')).split('\n').map((line) => line.split(' dev ')[0]);
    assert.deepEqual(routes.sort(), [...expected].sort());
    await host.ping('one', host.hub.address);
  });
}

test('allowed IPs that hold the subnet of a bridge, which is connected to a running container all the same', async () => {
  await host.createNetwork('wgnet', { options: { allowedips: '0.0.0.0/1,128.0.0.0/2,192.168.5.0/24' } });
  await host.startContainer('one', '--network=wgnet');
  const wayTo = async (address: string) => {
    const route = await host.enter('one', 'ip', 'route', 'get', address).catch(() => '');
    return / dev (\w+) /.exec(route)?.[1];
  };
  await until('the tunnel has what is for it', async () => (await wayTo('172.29.9.9')) === 'wg0');
  assert.deepEqual(await defaultRoutes('one'), []);
  await host.engine.docker('network', 'create', '--subnet=172.29.1.0/24', 'abridge');
  await host.engine.docker('network', 'connect', 'abridge', 'one');
  await until('its neighbours are reached', async () => {
    const { status } = await host.engine.tryDocker('exec', 'one', 'ping', '-c', '1', '-W', '1', '172.29.1.1');
    return status === 0;
  });
  assert.equal(await wayTo('172.29.1.9'), 'eth0');
  assert.equal(await wayTo('172.29.9.9'), 'wg0');
  await host.ping('one', host.hub.address);
});

// Before wgnet in the alphabet a bridge has the engine’s default route; after it, it is the easier case.
for (const [bridge, skip] of [
  ['abridge', false],
  ['zbridge', inFullRun],
] as const) {
  test(`a container on a bridge called ${bridge} besides reaches the hub, and keeps its address over a restart`, {
    skip,
  }, async () => {
    await host.createNetwork('wgnet');
    await host.engine.docker('network', 'create', bridge);
    await host.startContainer('one', '--network=wgnet');
    await host.engine.docker('network', 'connect', bridge, 'one');
    assert.deepEqual(await linksOf('one'), ['eth0', 'lo', 'wg0']);
    await host.ping('one', host.hub.address);
    await host.engine.docker('restart', '-t', '0', 'one');
    await host.ping('one', host.hub.address);
    assert.match(await host.exec('one', 'ip', '-4', 'address', 'show'), / inet 192\.168\.5\.2\/24 .* wg/);
  });
}

// As the tutorial has it too.
test('the seed may stay in a file on the host', { skip: inFullRun }, async () => {
  await writeFile('/run/seed', `${article.seed}\n`, { mode: 0o600 });
  await host.createNetwork('wgnet', { options: { seed: '', seedfile: '/run/seed' } });
  await host.startContainer('one', '--network=wgnet');
  await host.ping('one', host.hub.address);
  assert.doesNotMatch(await host.engine.docker('network', 'inspect', 'wgnet'), new RegExp(article.seed));
});
