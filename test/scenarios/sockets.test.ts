import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { hostForTests } from '../../build/host/host.ts';
import { article } from '../../build/host/hub.ts';

const host = await hostForTests();

interface UdpSocket {
  /** As the kernel prints it: 32 bits of this machine's byte order in hexadecimal. */
  readonly address: string;
  readonly port: number;
}

const loopbackOfTheResolver = '0B00007F';

/** Parses /proc/net/udp or /proc/net/udp6 (proc_net(5)). */
function udpSockets(text: string): UdpSocket[] {
  return [...text.matchAll(/^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) /gm)].map(([, address = '', port = '']) => ({
    address,
    port: Number.parseInt(port, 16),
  }));
}

test('the link is in the container and its UDP socket on the host, where the hub sees it', async () => {
  await host.createNetwork('wgnet');
  await host.startContainer('one', '--network=wgnet');
  await host.ping('one', host.hub.address);

  assert.deepEqual((await host.exec('one', 'ls', '/sys/class/net')).split(/\s+/).sort(), ['lo', 'wg0']);
  const port = Number(await host.wgShow('one', 'listen-port'));
  assert.ok(port > 0, `wg show says port ${port}`);

  const onHost = udpSockets(await readFile('/proc/net/udp', 'utf8'));
  assert.ok(
    onHost.some((socket) => socket.port === port),
    `UDP port ${port} is open on the host`,
  );
  // Of the container's namespace, not of this process's: the engine's own resolver is all there is.
  const inside = udpSockets(await host.exec('one', 'cat', '/proc/net/udp', '/proc/net/udp6'));
  assert.deepEqual(
    inside.filter(({ address }) => address !== loopbackOfTheResolver),
    [],
  );

  const endpoints = await host.hub.exec('wg', 'show', 'wg-hub', 'endpoints');
  const hostAddress = host.hub.endpoint.replace(/\d+:\d+$/, '1');
  assert.ok(
    endpoints.split('\n').includes(`${article.firstPublicKey}\t${hostAddress}:${port}`),
    `the hub hears the container from ${hostAddress}:${port}:\n${endpoints}`,
  );
});
