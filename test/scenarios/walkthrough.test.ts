import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostForTests } from '../../build/host/host.ts';
import { article } from '../../build/host/hub.ts';

const host = await hostForTests();

test('the walk-through of the article: one network, one container, pings both ways, nothing left', async () => {
  await host.createNetwork('wgnet');
  await host.startContainer('one', '--network=wgnet');

  const links = await host.exec('one', 'ls', '/sys/class/net');
  assert.deepEqual(links.split(/\s+/).sort(), ['lo', 'wg0']);
  const address = await host.exec('one', 'ip', '-o', '-4', 'address', 'show', 'wg0');
  assert.match(address, new RegExp(` ${article.firstAddress}/24 `));
  assert.match(await host.exec('one', 'ip', 'route'), /^default via 192\.168\.5\.1 dev wg0/m);
  assert.match(await host.exec('one', 'ip', 'link', 'show', 'wg0'), / mtu 1420 /);

  await host.ping('one', host.hub.address);
  await host.hub.exec('ping', '-c', '1', '-W', '5', article.firstAddress);
  const peers = await host.hub.exec('wg', 'show', 'wg-hub', 'latest-handshakes');
  const [, handshake] =
    peers
      .split('\n')
      .map((line) => line.split('\t'))
      .find(([key]) => key === article.firstPublicKey) ?? [];
  assert.ok(Number(handshake) > 0, 'the hub has shaken hands with the expected key');
});

test('the first packet may come from the hub: the container’s keepalive has told it where to', async () => {
  await host.createNetwork('wgnet');
  await host.startContainer('one', '--network=wgnet');
  // Not a packet is sent from the container by hand.
  await host.hub.exec(
    'sh',
    '-c',
    'for i in 1 2 3 4 5 6 7 8; do ping -c 1 -W 1 "$1" && exit; done; exit 1',
    'sh',
    article.firstAddress,
  );
});
