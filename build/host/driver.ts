import { resolve } from 'node:path';
import { type Daemon, startDaemon, untilReady } from './daemon.ts';

/** The bundle under test, from the project's folder; WGDRIVER_TEST_BINARY names another executable. */
export const wgdriver = process.env.WGDRIVER_TEST_BINARY ?? resolve('dist/wgdriver');

/** What `npm run build:exe` makes for this kind of machine. */
export const executable = resolve('dist/wgdriver-linux-x64');

export const pluginSocket = '/run/docker/plugins/wireguard-plugin.sock';
export const stateFolder = '/var/lib/wgdriver';

/** A real `wgdriver serve`, with its defaults, in the namespaces this process is in. */
export function startDriver(...args: readonly string[]): Promise<Daemon> {
  return serving(startDaemon(wgdriver, ['serve', '--log-level', 'debug', ...args]));
}

/** The driver 0.1.0 by its bundle (build/first-release.ts). */
export function startFirstRelease(bundle: string, ...args: readonly string[]): Promise<Daemon> {
  return serving(startDaemon(bundle, ['serve', ...args]));
}

async function serving(daemon: Daemon): Promise<Daemon> {
  await untilReady(daemon, 'wgdriver serves', () => daemon.output().includes(' serving '));
  return daemon;
}
