import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runningPluginSocketOf } from '../../src/commands/plugin-options.ts';

const plugins = async () => [
  { id: 'p1', name: 'wgdriver-none:latest', isEnabled: true, socket: 'wgdriver.sock' },
  { id: 'p2', name: 'wgdriver-off:latest', isEnabled: false, socket: 'wgdriver.sock' },
];

test('the socket of a managed plugin is found where the engine looks for no other', async () => {
  for (const [args, socket] of [
    [{ name: 'wgdriver-none' }, '/run/docker/plugins/p1/wgdriver.sock'],
    [{ name: 'wgdriver-off' }, '/run/docker/plugins/wgdriver-off.sock'],
    [{ name: 'wgdriver-never' }, '/run/docker/plugins/wgdriver-never.sock'],
    [{ name: 'wgdriver-none', socket: '/run/other.sock' }, '/run/other.sock'],
  ] as const) {
    assert.equal(await runningPluginSocketOf(args, { plugins }), socket);
  }
});
