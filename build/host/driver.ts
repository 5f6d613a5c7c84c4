import { resolve } from 'node:path';
import { type Daemon, startDaemon, untilReady } from './daemon.ts';

/** The bundle under test, from the project's folder; WGDRIVER_TEST_BINARY names another executable. */
export const wgdriver = process.env.WGDRIVER_TEST_BINARY ?? resolve('dist/wgdriver');

/** What `npm run build:exe` makes for this kind of machine. */
export const executable = resolve('dist/wgdriver-linux-x64');

export const pluginSocket = '/run/docker/plugins/wireguard-plugin.sock';
export const stateFolder = '/var/lib/wgdriver';

/** A real `wgdriver serve`, with its defaults, in the namespaces this process is in. */
export async function startDriver(...args: readonly string[]): Promise<Daemon> {
  const daemon = startDaemon(wgdriver, ['serve', '--log-level', 'debug', ...args]);
  await untilReady(daemon, 'wgdriver serves', () => daemon.output().includes(' serving '));
  return daemon;
}
