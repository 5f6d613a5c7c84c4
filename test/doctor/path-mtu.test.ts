// The search by itself, and what is said of it; test/driver/hub-uplinks.test.ts has real packets on a real path.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { examinePath, judgePath, largestPassing } from '../../src/doctor/path-mtu.ts';
import { createEngine } from '../../src/engine/client.ts';
import { parseAddress } from '../../src/wireguard/address.ts';
import { answers, serveUnix } from '../support/unix-server.ts';

for (const limit of [0, 575, 576, 577, 1000, 1319, 1328, 1419, 1420, 9000]) {
  test(`a path that takes ${limit} bytes`, async () => {
    let probes = 0;
    const passes = async (bytes: number) => {
      probes++;
      assert(bytes >= 576 && bytes <= 1420, String(bytes));
      return bytes <= limit;
    };
    assert.equal(await largestPassing(passes, 576, 1420), limit < 576 ? undefined : Math.min(limit, 1420));
    assert(probes <= 12, String(probes));
  });
}

test('what to do about it', () => {
  const hub = parseAddress('192.168.5.1') ?? assert.fail();
  const path = { subject: 'app', network: 'wgnet', container: 'app', hub, mtu: 1420 };
  assert.deepEqual(judgePath({ ...path, bytes: 1328 }), {
    name: 'mtu',
    status: 'warn',
    cause: 'app: packets of up to 1328 bytes reach 192.168.5.1 and come back, and its link takes 1420',
    fix:
      'create the network with -o io.bestov.wg.mtu=1328, or for this container alone `docker network connect ' +
      '--driver-opt io.bestov.wg.mtu=1328 wgnet app`',
  });
  assert.equal(judgePath({ ...path, bytes: 1420 }).status, 'pass');
  const { status, fix } = judgePath({ ...path, bytes: undefined });
  assert.equal(status, 'fail');
  assert.match(fix ?? '', /--ping ADDRESS/);
});

test('a container that is not there, does not run, is on no network of ours, or has no link', async (t) => {
  const networkOf = (id: string, driver: string) => ({ Id: id, Name: id, Driver: driver });
  const settings = (SandboxKey: string, NetworkID: string) => ({
    SandboxKey,
    Networks: { [NetworkID]: { NetworkID, EndpointID: 'e1', Gateway: '192.168.5.1' } },
  });
  const { socketPath } = await serveUnix(
    t,
    answers({
      '/networks': [networkOf('wgnet', 'wireguard-plugin'), networkOf('web', 'bridge')],
      '/containers/stopped/json': { Id: '1', Name: '/stopped', NetworkSettings: settings('', 'wgnet') },
      '/containers/other/json': { Id: '2', Name: '/other', NetworkSettings: settings('/x', 'web') },
      '/containers/bare/json': { Id: '3', Name: '/bare', NetworkSettings: settings('/x', 'wgnet') },
    }),
  );
  const examine = async (container: string) => {
    const findings = [];
    const options = { container, driver: 'wireguard-plugin' };
    for await (const finding of examinePath(createEngine(socketPath), async () => undefined, options)) {
      findings.push(finding);
    }
    return findings.map(({ status, cause }) => `${status}: ${cause}`);
  };
  await assert.rejects(examine('nobody'), /^Error: Docker has no container nobody/);
  assert.deepEqual(await examine('stopped'), ['fail: stopped does not run']);
  assert.deepEqual(await examine('other'), ['fail: other is on no network of wireguard-plugin']);
  assert.deepEqual(await examine('bare'), ['fail: bare has no link']);
});

test('on a network of IPv6 alone the hub is the container’s IPv6 gateway', async (t) => {
  const Networks = { wgnet: { NetworkID: 'wgnet', EndpointID: 'e1', Gateway: '', IPv6Gateway: 'fd00:5::1' } };
  const { socketPath } = await serveUnix(
    t,
    answers({
      '/networks': [{ Id: 'wgnet', Name: 'wgnet', Driver: 'wireguard-plugin' }],
      '/containers/app/json': { Id: '1', Name: '/app', NetworkSettings: { SandboxKey: '/none', Networks } },
    }),
  );
  const link = { name: 'wg0', mtu: 1420, publicKey: undefined, listenPort: 0, fwmark: 0, peers: [] };
  const examined = examinePath(createEngine(socketPath), async () => link, {
    container: 'app',
    driver: 'wireguard-plugin',
  });
  const { value } = await examined.next();
  // There is no such namespace, so nothing passes.
  assert.match(value?.cause ?? '', /fd00:5::1/);
});
