import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { attempt } from '../host/commands.ts';
import { openComposeExample } from '../host/compose.ts';
import { importTestImage } from '../host/engine.ts';
import { hostForTests, pingUntilAnswered } from '../host/host.ts';

const host = await hostForTests();
const userspace = host.tunnel.backend === 'userspace' ? ['wireguard-go'] : [];
await importTestImage(host.engine, ['ip', 'wg', ...userspace]);

test('the example hub-and-app comes up as its README says, and the app has no other way out', async () => {
  const project = await openComposeExample(resolve('compose-examples/hub-and-app'), host.tunnel);
  await project.run('./setup.sh');
  await project.compose('up', '-d');
  try {
    const inApp = (...words: string[]) => project.compose('exec', '-T', 'app', ...words);
    await inApp('sh', '-c', pingUntilAnswered, 'sh', '192.168.5.1');
    await project.compose('exec', '-T', 'hub', 'ping', '-c', '1', '-W', '5', '192.168.5.2');
    assert.deepEqual((await inApp('ls', '/sys/class/net')).split(/\s+/).sort(), ['lo', 'wg0']);

    const app = await project.compose('ps', '-q', 'app');
    await project.compose('pause', 'hub');
    // The host's own address on the hub's bridge: one hop away, were there another way than the tunnel.
    assert.notEqual(
      (await attempt('docker', ['exec', app, 'ping', '-c', '1', '-W', '2', '172.31.250.1'])).status,
      0,
    );
    await project.compose('unpause', 'hub');
    await inApp('sh', '-c', pingUntilAnswered, 'sh', '192.168.5.1');
  } finally {
    await project.compose('down', '-v');
    await project.remove();
  }
});
