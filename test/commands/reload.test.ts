import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createNetworkRequest, peerKeyText, seedText } from '../support/networks.ts';
import { type ServedDriver, serveDriver } from '../support/served-driver.ts';
import { answers, serveUnix } from '../support/unix-server.ts';
import { wgdriver } from '../support/wgdriver.ts';

const networkId = 'a'.repeat(64);
const endpointId = 'b'.repeat(64);
let served: ServedDriver;
before(async () => {
  served = await serveDriver();
});
after(() => served.close());

const reload = (...words: string[]) =>
  wgdriver(['reload', '--socket', served.socket, '--docker-socket', '/nowhere', ...words]);

test('the driver reads its files again, and it says what came of it', async () => {
  assert.deepEqual((await reload()).stdout, 'This driver has no networks.\n');
  const seed = join(served.folder, 'app.seed');
  await writeFile(seed, seedText);
  const options = { peer: '192.0.2.1:51820', peerkey: peerKeyText, seedfile: 'app.seed' };
  await served.call('NetworkDriver.CreateNetwork', createNetworkRequest({ id: networkId, options }));
  await served.call('NetworkDriver.CreateEndpoint', {
    NetworkID: networkId,
    EndpointID: endpointId,
    Interface: { Address: '192.168.5.2/24' },
    Options: {},
  });
  await served.call('NetworkDriver.Join', { NetworkID: networkId, EndpointID: endpointId, SandboxKey: '' });
  await writeFile(seed, 'bmV3c2VlZG5ld3NlZWRuZXdzZWVk');
  assert.deepEqual(await reload('aaaa'), {
    status: 0,
    stdout: 'network aaaaaaaaaaaa: 1 running links reloaded, 1 with a new key\n',
    stderr: '',
  });
  await writeFile(seed, 'no seed');
  const failed = await reload();
  assert.equal(failed.status, 1);
  assert.match(
    failed.stderr,
    /^wgdriver: network aaaaaaaaaaaa was not reloaded: seed file .*app\.seed: expected base64/,
  );
});

test('names are the engine’s', async (t) => {
  const engine = await serveUnix(
    t,
    answers({
      '/networks': [{ Id: networkId, Name: 'app', Driver: 'wireguard-plugin' }],
      '/containers/json': [
        {
          Names: ['/web'],
          Id: 'c1',
          NetworkSettings: { Networks: { app: { NetworkID: networkId, EndpointID: endpointId } } },
        },
      ],
    }),
  );
  try {
    await writeFile(join(served.folder, 'app.seed'), seedText);
    served.links.fail('change', new Error('change link: EPERM'));
    const { status, stdout, stderr } = await reload('app', '--docker-socket', engine.socketPath);
    assert.equal(stdout, 'network app: 0 running links reloaded, 0 with a new key\n');
    assert.equal(stderr, 'wgdriver: container web was not reloaded: change link: EPERM\n');
    assert.equal(status, 1);
  } finally {
    served.links.fail('change', undefined);
  }
});

test('a network that is none of the driver’s, and a driver that is away', async () => {
  const unknown = await reload('web');
  assert.deepEqual([unknown.status, unknown.stderr], [1, 'wgdriver: this driver has no network web\n']);
  const away = await wgdriver(['reload', '--socket', '/nowhere', '--docker-socket', '/nowhere']);
  assert.match(away.stderr, /^wgdriver: the driver does not answer on \/nowhere .*ENOENT/);
});
