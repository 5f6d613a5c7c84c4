import { fileURLToPath } from 'node:url';
import { until } from './commands.ts';
import { type Daemon, startDaemon } from './daemon.ts';

/** The bundle under test; WGDRIVER_TEST_BINARY names another executable. */
export const wgdriver =
  process.env.WGDRIVER_TEST_BINARY ?? fileURLToPath(new URL('../../dist/wgdriver', import.meta.url));

export const pluginSocket = '/run/docker/plugins/wireguard-plugin.sock';
export const stateFolder = '/var/lib/wgdriver';

/** A real `wgdriver serve`, with its defaults, in the namespaces this process is in. */
export async function startDriver(...args: readonly string[]): Promise<Daemon> {
  const daemon = startDaemon(wgdriver, ['serve', '--log-level', 'debug', ...args]);
  await until('wgdriver serves', () => daemon.output().includes(' serving '), 60_000).catch(
    (error: Error) => {
      throw new Error(`${error.message}\n${daemon.output()}`);
    },
  );
  return daemon;
}
