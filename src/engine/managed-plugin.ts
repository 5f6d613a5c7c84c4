import type { Plugin } from './api.ts';
import type { Engine } from './client.ts';

/**
 * Is a network's driver the one that is looked at? A managed plugin's name carries its tag, and may carry the registry
 * that it came from: `wireguard-plugin` is `registry.example.org/wireguard-plugin:latest` too.
 */
export function isDriver(candidate: string, driver: string): boolean {
  const name = candidate.split('/').at(-1) ?? '';
  return [candidate, name, name.replace(/:[^:]*$/, '')].includes(driver);
}

/** The managed plugin of the driver's name, an enabled one before others; undefined also if the engine does not tell. */
export async function findManagedPlugin(
  engine: Pick<Engine, 'plugins'>,
  driver: string,
): Promise<Plugin | undefined> {
  const plugins = await engine.plugins().catch(() => []);
  const ours = plugins.filter(({ name: candidate }) => isDriver(candidate, driver));
  return ours.find(({ isEnabled }) => isEnabled) ?? ours[0];
}

/** Where the engine looks for the sockets of plugins (docs.docker.com, Docker Plugin API). */
export const pluginFolder = '/run/docker/plugins';

/** Where the engine puts the socket of a managed plugin (moby, plugin/v2/plugin_linux.go). */
export function socketOfManaged({ id, socket }: Plugin): string {
  return `${pluginFolder}/${id}/${socket}`;
}
